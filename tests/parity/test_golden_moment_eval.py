"""Moments and highlights against what the published evaluators print (reference files moment_eval)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prvr.cli import main
from prvr.core.errors import DataError
from prvr.evaluation import qvhighlights, submissions, tvr
from prvr.evaluation.windows import pad, suppress


def cases(folder: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "moment_eval" / name).read_text())
    assert found
    return found


def same(ours: Any, theirs: Any, *, within: float, where: str) -> None:
    """Two trees of numbers; the files write NaN as a text, and a group without queries is None here."""
    if isinstance(theirs, Mapping):
        assert set(ours) == set(theirs), where
        for key in theirs:
            same(ours[key], theirs[key], within=within, where=f"{where}/{key}")
    elif theirs == "nan":
        assert ours is None or math.isnan(ours), where
    elif isinstance(theirs, str):
        assert ours == theirs, where
    else:
        assert ours == pytest.approx(theirs, abs=within), where


def qvh(case: dict[str, Any], *, strict: bool = True) -> Any:
    """One case by the function that it names."""
    given = [submissions.prediction(row, where="here") for row in case["submission"]]
    asked = [submissions.truth(row, where="here") for row in case["ground_truth"]]
    options = case["kwargs"]
    if case["function"] == "eval_submission":
        match_ids = options.get("match_number", True)
        return qvhighlights.evaluate(given, asked, strict=strict, match_ids=match_ids).to_dict()
    if case["function"] == "eval_highlight":
        found = qvhighlights.highlights_of(given, asked, strict=strict)
        whole = qvhighlights.QVHighlightsScores(
            moments=None, highlights=found, left_out=qvhighlights.LeftOut()
        ).to_dict()
        return {key: value for key, value in whole.items() if key != "brief"}
    if case["function"] == "compute_mr_r1":
        return qvhighlights.percents(qvhighlights.recall_of(given, asked, strict=strict))
    assert case["function"] == "compute_mr_ap"
    most = options.get("max_pred_windows", qvhighlights.MOST)
    values = qvhighlights.precision_of(given, asked, most=most, strict=strict)
    return {**qvhighlights.percents(values), "average": qvhighlights.percent(float(np.mean(values)))}


def corpus(case: dict[str, Any], *, strict: bool = True) -> dict[str, Any]:
    given = submissions.submission(case["submission"], where="here")
    asked = [submissions.corpus_truth(row, where="here") for row in case["ground_truth"]]
    return tvr.evaluate(given, asked, by_type=case["kwargs"].get("use_desc_type", True), strict=strict).to_dict()


@pytest.mark.parametrize(("sample", "ending", "within"), [("qvh", "jsonl", 0.0), ("tvr", "json", 0.01)])
@pytest.mark.parametrize("lenient", [[], ["--lenient"]], ids=["strict", "lenient"])
def test_the_command_prints_what_the_evaluators_print(
    golden: Path, capsys: pytest.CaptureFixture[str], sample: str, ending: str, within: float, lenient: list[str]
) -> None:
    folder = golden / "moment_eval"
    submission, truth = folder / f"{sample}_sample_submission.{ending}", folder / f"{sample}_sample_gt.jsonl"
    assert main(["evaluate", "--submission", str(submission), "--data", str(truth), "--json", *lenient]) == 0
    said = capsys.readouterr()
    same(json.loads(said.out), json.loads((folder / f"{sample}_sample_metrics.json").read_text()), within=within,
         where=sample)  # fmt: skip
    assert not said.err


@pytest.mark.parametrize(
    ("name", "run", "within"), [("qvh_edge_cases.json", qvh, 0.0), ("tvr_edge_cases.json", corpus, 0.01)]
)
def test_edge_cases_and_their_failures(golden: Path, name: str, run: Callable[..., Any], within: float) -> None:
    """Where the published code fails we say what is wrong; not strict, nothing fails."""
    for case in cases(golden, name):
        if "error" in case:
            with pytest.raises(DataError):
                run(case)
        else:
            same(run(case), case["result"], within=within, where=case["name"])
        run(case, strict=False)


def test_suppression(golden: Path) -> None:
    for case in cases(golden, "nms_cases.json"):
        if case["function"] == "temporal_nms":
            given = pad([np.array(case["windows"], dtype=np.float64).reshape(-1, 3)])
            found, place = suppress(given, case["nms_thd"], most=case["max_after_nms"])
            ours = np.column_stack([found.spans[0], found.scores[0]])[found.valid[0]]
            again = np.array(case["windows"], dtype=np.float64).reshape(-1, 3)[place[0][found.valid[0]]]
            np.testing.assert_array_equal(ours, again, err_msg=case["name"])
        else:
            assert case["function"] == "filter_vcmr_by_nms"
            rows = np.array(case["predictions"], dtype=np.float64)
            limits = {"before": case["max_before_nms"], "most": case["max_after_nms"]}
            ours = tvr.suppress_ranked(rows, case["nms_thd"], **limits)
        want = np.array(case["result"], dtype=np.float64).reshape(-1, ours.shape[1])
        np.testing.assert_array_equal(ours, want, err_msg=case["name"])
