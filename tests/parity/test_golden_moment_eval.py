"""Moments and highlights against what the published evaluators print (reference files moment_eval)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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


def test_qvhighlights_sample_exactly(golden: Path, tmp_path: Path) -> None:
    folder = golden / "moment_eval"
    given = submissions.read_predictions(folder / "qvh_sample_submission.jsonl")
    asked = submissions.read_truths(folder / "qvh_sample_gt.jsonl")
    want = json.loads((folder / "qvh_sample_metrics.json").read_text())
    same(qvhighlights.evaluate(given, asked).to_dict(), want, within=0.0, where="sample")
    loose = qvhighlights.evaluate(given, asked, strict=False)
    same(loose.to_dict(), want, within=0.0, where="sample, not strict")
    assert loose.left_out.notes() == []
    submissions.write_predictions(tmp_path / "again" / "submission.jsonl", given)
    again = submissions.read_predictions(tmp_path / "again" / "submission.jsonl")
    same(qvhighlights.evaluate(again, asked).to_dict(), want, within=0.0, where="written and read")


def test_tvr_sample(golden: Path, tmp_path: Path) -> None:
    folder = golden / "moment_eval"
    given = submissions.read_submission(folder / "tvr_sample_submission.json")
    asked = submissions.read_corpus_truths(folder / "tvr_sample_gt.jsonl")
    want = json.loads((folder / "tvr_sample_metrics.json").read_text())
    same(tvr.evaluate(given, asked).to_dict(), want, within=0.01, where="sample")
    same(tvr.evaluate(given, asked, strict=False).to_dict(), want, within=0.01, where="sample, not strict")
    submissions.write_submission(tmp_path / "submission.json", given)
    again = submissions.read_submission(tmp_path / "submission.json")
    assert again.video_index == given.video_index
    for task, lists in given.tasks.items():
        for one, other in zip(lists, again.tasks[task], strict=True):
            assert one.query_id == other.query_id
            np.testing.assert_array_equal(one.rows, other.rows)


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
