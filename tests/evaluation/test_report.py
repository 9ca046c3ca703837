from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from prvr.core.errors import DataError
from prvr.evaluation.collapse import Similarity
from prvr.evaluation.curves import MomentReport
from prvr.evaluation.intervals import bootstrap, compare
from prvr.evaluation.metrics import Recalls
from prvr.evaluation.ratios import RatioGroup
from prvr.evaluation.report import Report, comparison_table, interval_table, table, versions


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


def whole() -> Report:
    """With all that a data set can have."""
    ranks = torch.tensor([1, 4, 30, 500])
    return replace(
        report(),
        by_ratio=(
            RatioGroup(above=0.0, upto=0.2, num_queries=3, recalls=recalls(10)),
            RatioGroup(above=0.2, upto=0.4, num_queries=0, recalls=None),
            RatioGroup(above=0.4, upto=1.0, num_queries=1, recalls=recalls(30)),
        ),
        moments=MomentReport(
            num_queries=4, r1_50=40.04, r1_70=20.04, mean_precision=25.04, mean_overlap=41.0, whole_video=22.0
        ),
        intervals=bootstrap(ranks, resamples=20),
        intervals_video=bootstrap(ranks, video_of_query=torch.tensor([0, 0, 1, 1]), resamples=20),
        protocol="published",
        recipe="prvr.methods.msc.runs:tvr",
        settings="0123456789ab",
        features="clip@abc",
        data="ba9876543210",
        simulated=True,
    )


@pytest.mark.parametrize("full", [True, False])
def test_json_there_and_back(full: bool) -> None:
    one = report(full=full)
    plain: dict[str, Any] = json.loads(json.dumps(one.to_dict(), allow_nan=False))
    assert Report.from_dict(plain) == one
    assert plain["fused"]["SumR"] == pytest.approx(20.04 + 50.04 + 60.04 + 90.04)
    assert plain["ties"] == "a tie counts against us"
    complete = whole()
    assert Report.from_dict(json.loads(json.dumps(complete.to_dict(), allow_nan=False))) == complete
    assert complete.to_dict()["by_ratio"][0]["recalls"]["SumR"] == pytest.approx(210.12)
    if full:
        assert plain["text"]["difference"] == pytest.approx(0.4600, abs=1e-4)  # the paper's Table 8
        assert plain["versions"]["torch"] == torch.__version__


def test_what_is_no_report_is_refused() -> None:
    plain = report().to_dict()
    with pytest.raises(DataError, match=r"no 'prvr report 2' \(format: None\).*measure again with"):
        Report.from_dict({})
    with pytest.raises(DataError, match=r"\(format: 'prvr report 1'\)"):
        Report.from_dict({**plain, "format": "prvr report 1"})
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


def test_moments_and_ratios_have_their_columns_and_simulated_features_a_note() -> None:
    lines = table({"MSC": [whole()]}).splitlines()
    head = next(number for number, line in enumerate(lines) if "R1@0.5" in line)
    cells = dict(zip(*([cell.strip() for cell in lines[at].split("|")] for at in (head, head + 2)), strict=True))
    assert (cells["R1@0.5"], cells["R1@0.7"], cells["moment mAP"]) == ("40.0", "20.0", "25.0")
    assert (cells["SumR (0, 0.2]"], cells["SumR (0.2, 0.4]"], cells["SumR (0.4, 1]"]) == ("210.1", "n/a", "230.1")
    assert lines[-2:] == [
        "MSC: checkpoint chosen on val (published protocol); one seed (0).",
        "simulated: MSC: features made from annotations; nothing here is about real videos.",
    ]
    assert "simulated: b:" in table({"a": [report()], "b": [report(), whole()]})
    assert "simulated" not in table({"a": [report()]})


def test_intervals_stand_beside_their_values() -> None:
    found = whole()
    assert found.intervals_video is not None
    low, high = found.intervals_video.of["R@5"]
    text = interval_table({"MSC": [found], "bare": [report(full=False), report(full=False, seed=4)]})
    assert f"50.0 [{low:.1f}, {high:.1f}]" in text.splitlines()[2]
    assert text.count("n/a") == 16
    assert "bare, seed 4" in text
    assert "[ ]: 95% bootstrap over videos, each with all its queries, 20 resamples, seed 0." in text
    assert text.splitlines()[-1].startswith("simulated: MSC")
    assert "bootstrap over queries 20 resamples" in interval_table({"MSC": [found]}, unit="query")


def test_a_comparison_as_a_table() -> None:
    ours, theirs = torch.tensor([5] * 6 + [1] * 4), torch.tensor([1] * 5 + [5] + [1] * 4)
    lines = comparison_table("CBVA - baseline", compare(ours, theirs, resamples=100)).splitlines()
    assert [cell.strip() for cell in lines[0].split("|")][2:4] == ["CBVA - baseline", "95% interval"]
    assert [cell.strip() for cell in lines[2].split("|")][1:3] == ["R@1", "+50.00"]
    assert lines[2].split("|")[-2].strip() == "0.062"  # 2 / 32
    assert lines[-1].endswith("(R@K: McNemar's exact test; SumR: paired permutation test).")
    assert lines[7].split("|")[-2].strip() == "n/a"
