"""Queries without an answer: the measures of generalized moment retrieval, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from prvr.evaluation.absent import absent_report, best_threshold, rejection, separation, set_overlap
from prvr.evaluation.windows import pad

PRESENT, ABSENT = np.array([0.9, 0.6, 0.4]), np.array([0.5, 0.4, 0.1])


def test_separation_by_hand() -> None:
    # 0.9 and 0.6 stand above all three, 0.4 above one and beside one: (3 + 3 + 1.5) / 9
    assert separation(PRESENT, ABSENT) == pytest.approx(7.5 / 9)
    assert separation(ABSENT, PRESENT) == pytest.approx(1.5 / 9)
    assert separation(np.ones(4), np.ones(3)) == 0.5


def test_rejection_by_hand() -> None:
    # below 0.45: 0.4 and 0.1 rightly, 0.4 wrongly; 0.5 is missed
    assert rejection(PRESENT, ABSENT, 0.45) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert rejection(PRESENT, ABSENT, 0.0) == (0.0, 0.0, 0.0)  # nothing is refused
    assert rejection(PRESENT, ABSENT, math.inf) == pytest.approx((1 / 2, 1, 2 / 3))


def test_the_threshold_is_the_best_for_rejection() -> None:
    # F1 below 0.25, 0.45, 0.55, 0.75, ∞: 2/4, 4/6, 6/7, 6/8, 6/9
    assert best_threshold(PRESENT, ABSENT) == pytest.approx(0.55)
    assert best_threshold(np.array([0.8]), np.array([0.8])) == math.inf  # no bound tells them apart


def test_sets_of_windows_by_hand() -> None:
    predicted = pad(
        [
            np.array([[0, 10, 0.9], [20, 30, 0.8]]),  # first exact, second half over
            np.array([[0, 10, 0.2], [50, 60, 0.9]]),  # the better one is wrong
            np.empty((0, 3)),
            np.array([[0, 10, 0.5]]),
            np.empty((0, 3)),
            np.array([[0, 10, 0.9], [1, 10, 0.8]]),  # both lie on one
        ]
    )
    truth = pad(
        [
            np.array([[0, 10], [25, 30], [70, 80]], dtype=float),
            np.array([[0.0, 10.0]]),
            np.array([[0.0, 10.0]]),
            np.empty((0, 2)),
            np.empty((0, 2)),
            np.array([[0.0, 10.0]]),
        ]
    )
    #        two pairs, 1 + 0.5 over 2 + 3 - 2;  1 over 2 + 1 - 1;  missed;  imagined;  both empty;  one of two counts
    assert set_overlap(predicted, truth, most=5) == pytest.approx([0.5, 0.5, 0, 0, 1, 0.5])
    assert set_overlap(predicted, truth, most=1) == pytest.approx([1 / 3, 0, 0, 0, 1, 1])


def test_windows_are_paired_by_the_best_overlap_first() -> None:
    """Not in the order of scores, which would give 0.5 to the first and leave the second without."""
    predicted, truth = pad([np.array([[0, 10, 0.9], [5, 10, 0.8]])]), pad([np.array([[5.0, 10.0]])])
    assert set_overlap(predicted, truth, most=2) == pytest.approx([1 / 2])


def test_a_report_by_hand() -> None:
    windows = pad([np.array([[0, 10, 0.9]]), np.array([[0, 5, 0.6]]), np.array([[0, 10, 0.4]])])
    truth = pad([np.array([[0.0, 10.0]]), np.array([[0.0, 10.0], [20.0, 30.0]]), np.array([[0.0, 10.0]])])
    found = absent_report(
        "test", PRESENT, ABSENT, windows, truth, library=(PRESENT, ABSENT), threshold=0.45, chosen_on="val"
    )
    assert (found.num_one, found.num_several, found.num_absent) == (2, 1, 3)
    assert found.auroc == found.library_auroc == pytest.approx(750 / 9)
    assert (found.precision, found.recall, found.rejection_f1) == pytest.approx((200 / 3,) * 3)
    # own: 1; half of one of two: 0.5 / 2; wrongly refused: 0. Of the absent ones two are refused.
    assert found.g_miou == pytest.approx(dict.fromkeys((1, 3, 5), 100 * (1 + 0.25 + 0 + 2) / 6))
    assert found.g_miou_one == pytest.approx(dict.fromkeys((1, 3, 5), 50))
    assert found.g_miou_several == pytest.approx(dict.fromkeys((1, 3, 5), 25))
    assert "| several moments (1) | 25.0 | 25.0 | 25.0 |" in found.table()
    singles, scores = truth.take(np.array([0, 2, 0])), (PRESENT, ABSENT)
    alone = absent_report("test", PRESENT, ABSENT, windows, singles, library=scores, threshold=0.45, chosen_on="val")
    assert alone.to_dict()["g_miou_several"] == {"1": None, "3": None, "5": None}
    assert "| several moments (0) | n/a | n/a | n/a |" in alone.table()
