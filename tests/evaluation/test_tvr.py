from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prvr.core.errors import DataError
from prvr.evaluation.tvr import TASKS, CorpusTruth, Ranked, Submission, evaluate, suppress_ranked


def rows(*found: Sequence[float]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array(found, dtype=np.float64).reshape(len(found), -1) if found else np.empty((0, 3))


VIDEOS = {"a": 0, "b": 1}
FIRST = CorpusTruth(1, "a", rows((0, 10)), "v")
SECOND = CorpusTruth(2, "b", rows((20, 30)), "vt")


def test_three_tasks_by_hand() -> None:
    """Query 1: a wrong video first, then the right one with 6 and with 10 of 10 seconds. Query 2: never."""
    lists = [Ranked(1, rows((1, 0, 10), (0, 0, 6), (0, 0, 10))), Ranked(2, rows((0, 20, 30)))]
    found = evaluate(Submission(VIDEOS, dict.fromkeys(TASKS, lists)), [FIRST, SECOND])
    vcmr, svmr, vr = (found.tasks[task] for task in TASKS)
    assert [vcmr[name] for name in ("0.5-r1", "0.5-r5", "0.7-r1", "0.7-r5")] == [0, 50, 0, 50]
    assert [svmr[name] for name in ("0.5-r1", "0.5-r5", "0.7-r1", "0.7-r5")] == [50, 50, 0, 50]
    assert vr == {"r1": 0.0, "r5": 50.0, "r10": 50.0, "r100": 50.0}
    assert (found.by_type["VR"]["v-r5"], found.by_type["VR"]["vt-r5"], found.by_type["VR"]["t-r5"]) == (100, 0, None)
    assert found.shares == "v 50.0 t 0.0 vt 50.0"


def test_what_the_published_code_stumbles_over_is_said() -> None:
    right = [Ranked(1, rows((0, 0, 10))), Ranked(2, rows((1, 20, 30)))]
    with pytest.raises(DataError, match=r"VR: 1 annotated queries have no prediction .*first: 2"):
        evaluate(Submission(VIDEOS, {"VR": [right[0], Ranked(2, rows())]}), [FIRST, SECOND])
    with pytest.raises(DataError, match="video 'b' has no number"):
        evaluate(Submission({"a": 0}, {"VR": right}), [FIRST, SECOND])
    with pytest.raises(DataError, match="query 1: has 2 annotated spans"):
        evaluate(Submission(VIDEOS, {"VR": right}), [FIRST._replace(spans=rows((0, 1), (0, 2))), SECOND])


def test_not_strict_counts_what_is_missing_as_wrong_and_says_so() -> None:
    twice = FIRST._replace(spans=rows((0, 10), (0, 4)))  # of two annotators both must agree
    third = CorpusTruth(3, "nowhere", rows((0, 1)), "t")
    given = Submission(VIDEOS, {"VCMR": [Ranked(1, rows((0, 0, 10))), Ranked(9, rows((0, 0, 1)))]})
    found = evaluate(given, [twice, SECOND, third], strict=False)
    assert found.tasks["VCMR"]["0.5-r1"] == 0
    assert (found.not_answered["VCMR"], found.not_annotated["VCMR"]) == (2, 1)
    assert evaluate(given, [FIRST, SECOND, third], strict=False).tasks["VCMR"]["0.5-r1"] == 33.33
    assert evaluate(given, [], strict=False).tasks == {"VCMR": {}}


def slow(
    lists: dict[int, list[list[float]]], asked: Sequence[CorpusTruth], task: str, least: float, place: int
) -> float:
    """Share of queries that are answered in the first `place`, in single precision as published."""
    right = 0
    for one in asked:
        found = [row for row in lists[int(one.query_id)][:100] if task != "SVMR" or row[0] == VIDEOS[one.video_id]]
        for video, *times in found[:place]:
            start, end = map(np.float32, times)
            a, b = map(np.float32, one.spans[0])
            shared, hull = max(np.float32(0), min(end, b) - max(start, a)), max(end, b) - min(start, a)
            fits = task == "VR" or (hull != 0 and shared / hull >= np.float32(least))
            if video == VIDEOS[one.video_id] and fits:
                right += 1
                break
    return 100 * right / len(asked)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_recalls_equal_the_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    asked, lists = [], {}
    for query in range(7):
        start = float(rng.integers(0, 5))
        asked.append(CorpusTruth(query, "ab"[rng.integers(2)], rows((start, start + float(rng.integers(0, 6)))), "v"))
        number = int(rng.integers(1, 13)) if query else 105
        begin = rng.integers(0, 5, number)
        lists[query] = np.stack([rng.integers(0, 2, number), begin, begin + rng.integers(0, 6, number)], 1).tolist()
    ranked = [Ranked(query, rows(*found)) for query, found in lists.items()]
    found = evaluate(Submission(VIDEOS, dict.fromkeys(TASKS, ranked)), asked)
    for task in TASKS:
        for name, value in found.tasks[task].items():
            least, _, place = name.rpartition("r")
            assert value == pytest.approx(slow(lists, asked, task, float(least.strip("-") or 0), int(place)), abs=0.01)


def test_suppression_keeps_the_order_of_equal_scores() -> None:
    given = rows((1, 0, 10, 0.5), (0, 0, 10, 0.5), (1, 0, 9, 0.5), (0, 50, 60, 0.7))
    assert suppress_ranked(given, 0.5)[:, 0].tolist() == [0, 1, 0]
    assert suppress_ranked(given, 0.5, before=1, most=3).tolist() == [[1, 0, 10, 0.5]]
    assert len(suppress_ranked(rows(), 0.5)) == 0
