from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from prvr.core.errors import DataError
from prvr.evaluation.collapse import Similarity
from prvr.evaluation.metrics import Recalls
from prvr.evaluation.report import Report, table, versions


def recalls(r1: float) -> Recalls:
    return Recalls(r1=r1, r5=50.04, r10=60.04, r100=90.04, med_r=5.5, mean_r=20, mean_ap=30)


def report(*, r1: float = 20.04, seed: int | None = 0, full: bool = True) -> Report:
    bare = Report(split="test", num_videos=80, num_queries=400, fused=recalls(r1), seed=seed)
    if not full:
        return bare
    return replace(
        bare,
        frame=recalls(18),
        clip=recalls(16),
        text=Similarity(intra=0.2198, total=0.0813),
        text_encoder=Similarity(intra=0.5, total=0.25),
        video=Similarity(intra=0.5531, total=0.0812),
        video_released=Similarity(intra=0.55, total=0.09),
        correlation_truth=0.6818,
        correlation_encoder=0.35404,
        selected_on="val",
        versions=versions(),
    )


@pytest.mark.parametrize("full", [True, False])
def test_json_there_and_back(full: bool) -> None:
    one = report(full=full)
    plain: dict[str, Any] = json.loads(json.dumps(one.to_dict(), allow_nan=False))
    assert Report.from_dict(plain) == one
    assert plain["fused"]["SumR"] == pytest.approx(20.04 + 50.04 + 60.04 + 90.04)
    assert plain["ties"] == "a tie counts against us"
    if full:
        assert plain["text"]["difference"] == pytest.approx(0.4600, abs=1e-4)  # the paper's Table 8
        assert plain["versions"]["torch"] == torch.__version__


def test_what_is_no_report_is_refused() -> None:
    plain = report().to_dict()
    with pytest.raises(DataError, match=r"no 'prvr report 2' \(format: None\).*measure again with"):
        Report.from_dict({})
    with pytest.raises(DataError, match="the report is damaged .*num_videos"):
        Report.from_dict({name: value for name, value in plain.items() if name != "num_videos"})
    with pytest.raises(DataError, match="the report is damaged"):
        Report.from_dict({**plain, "fused": {"R@1": 1}})


def test_one_seed_as_a_table() -> None:
    assert table({"MSC": [report()]}) == (
        "|     |  R@1 |  R@5 | R@10 | R@100 |  SumR | MedR | SumR frame | SumR clip |\n"
        "| --- | ---: | ---: | ---: | ----: | ----: | ---: | ---------: | --------: |\n"
        "| MSC | 20.0 | 50.0 | 60.0 |  90.0 | 220.2 |  5.5 |      218.1 |     216.1 |\n"
        "\n"
        "|     | text intra | text total | text diff | ρ truth | ρ encoder | video intra | video total | video diff |\n"
        "| --- | ---------: | ---------: | --------: | ------: | --------: | ----------: | ----------: | ---------: |\n"
        "| MSC |      0.220 |      0.081 |     0.460 |   0.682 |     0.354 |       0.553 |       0.081 |      0.744 |\n"
        "\n"
        "test: 80 videos, 400 queries; a tie counts against us; SumR is summed before rounding.\n"
        "MSC: checkpoint chosen on val; one seed (0)."
    )


def test_seeds_are_a_mean_and_a_spread_and_what_is_missing_is_said() -> None:
    """20, 21 and 22.5: mean 21.1667, sample deviation 1.2583."""
    seeds = [report(r1=r1, seed=seed) for seed, r1 in enumerate((20.0, 21.0, 22.5))]
    text = table({"zero-shot": [report(seed=None, full=False)], "MSC": seeds, "half": [report(), report(full=False)]})
    lines = text.splitlines()
    assert lines[3].startswith("| MSC       | 21.2 ± 1.3 | 50.0 ± 0.0 |")
    bare = next(line for line in lines[5:] if line.startswith("| zero-shot"))
    assert set(bare.split("|")[2:-1]) == {cell for cell in bare.split("|")[2:-1] if cell.strip() == "n/a"}
    assert "| half      |" in text
    assert "n/a" in next(line for line in lines[6:] if line.startswith("| half"))
    assert lines[-3:] == [
        "zero-shot: nothing trained or chosen.",
        "MSC: checkpoint chosen on val; mean ± sample s.d. over seeds 0, 1, 2.",
        "half: checkpoint chosen on val; mean ± sample s.d. over seeds 0, 0.",
    ]


def test_it_fits_a_terminal() -> None:
    seeds = [report(r1=r1, seed=seed) for seed, r1 in enumerate((20.0, 21.0, 22.5))]
    rows = {"zero-shot encoder": [report(seed=None, full=False)], "+ TCPL + CBVA": seeds}
    for width in (120, 105):
        assert max(map(len, table(rows, width=width).splitlines())) <= width
    assert table(rows, width=400).count("\n\n") == 1


def test_columns_that_nobody_measured_are_left_out() -> None:
    text = table({"zero-shot": [report(seed=None, full=False)]})
    assert "n/a" not in text
    assert "ρ" not in text
