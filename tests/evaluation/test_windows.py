from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prvr.evaluation.windows import (
    THRESHOLDS,
    Array,
    Windows,
    average_precision,
    best_overlap,
    by_score,
    coverage,
    hull_overlap,
    overlap,
    pad,
    suppress,
)

Window = tuple[float, float, float]


def span(start: float, end: float) -> Array:
    return np.array([start, end], dtype=np.float64)


def lists(windows: Windows) -> list[list[Window]]:
    return [
        [(float(s), float(e), float(x)) for (s, e), x, real in zip(*row, strict=True) if real]
        for row in zip(*windows, strict=True)
    ]


def random_windows(rng: np.random.Generator, queries: int, most: int) -> list[Array]:
    """Whole seconds, so that ties, equal windows and windows of no length come up."""
    found = []
    for _ in range(queries):
        start = rng.integers(0, 12, rng.integers(0, most + 1))
        rows = np.stack([start, start + rng.integers(0, 9, len(start)), rng.integers(0, 4, len(start))], 1)
        found.append(rows.astype(np.float64))
    return found


def test_two_formulas_of_overlap_by_hand() -> None:
    """They differ where hull and union do: for windows apart, inverted or of no length."""
    assert overlap(span(0, 10), span(5, 20)) == pytest.approx(5 / 20)
    assert hull_overlap(span(0, 10), span(5, 20)) == pytest.approx(5 / 20)
    assert overlap(span(0, 4), span(6, 9)) == hull_overlap(span(0, 4), span(6, 9)) == 0
    assert overlap(span(9, 3), span(2, 10)) == hull_overlap(span(9, 3), span(2, 10)) == 0
    assert np.isnan(overlap(span(5, 5), span(5, 5)))
    assert hull_overlap(span(5, 5), span(5, 5)) == 0


def test_precision_by_hand() -> None:
    """Right, wrong, right of two: (1 + 2 / 3) / 2. Then a window said twice, which is right once; then nothing."""
    truth = pad([np.array([[0.0, 10], [20, 30]])] * 2 + [np.empty((0, 2))])
    predicted = pad(
        [
            np.array([[50.0, 60, 0.5], [0, 10, 0.9], [20, 30, 0.1]]),
            np.array([[0.0, 10, 0.9], [0, 10, 0.8], [22, 30, 0.7]]),
            np.array([[0.0, 10, 0.9]]),
        ]
    )
    found = average_precision(predicted, truth, thresholds=(0.5, 0.9))
    assert found[0].tolist() == pytest.approx([5 / 6, 5 / 6])
    assert found[1].tolist() == pytest.approx([5 / 6, 1 / 2])  # 8 of 10 seconds are too few for 0.9
    assert np.isnan(found[2]).all()
    nothing = average_precision(pad([np.empty((0, 3))]), pad([np.array([[0.0, 1]])]))
    assert not nothing.any()


def slow_precision(predicted: list[Window], truth: list[tuple[float, float]], least: float, empty_hits: bool) -> float:
    """One query and one threshold as a person would do it."""
    taken: set[int] = set()
    points = [(0.0, 1.0)]
    for rank, (start, end, _) in enumerate(sorted(predicted, key=lambda window: -window[2]), 1):
        found = []
        for place, (a, b) in enumerate(truth):
            shared = max(0.0, min(end, b) - max(start, a))
            union = (end - start) + (b - a) - shared
            share = shared / union if union else (math.inf if empty_hits else 0.0)
            if share >= least and place not in taken:
                found.append((share, place))
        if found:
            taken.add(max(found)[1])
        points.append((len(taken) / len(truth), len(taken) / rank))
    area = 0.0
    for at in range(1, len(points)):
        best = max(precision for _, precision in points[at:])
        area += (points[at][0] - points[at - 1][0]) * best
    return area


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.booleans())
def test_precision_equals_the_loop(seed: int, empty_hits: bool) -> None:
    rng = np.random.default_rng(seed)
    predicted, truth = pad(random_windows(rng, 6, 7)), pad(random_windows(rng, 6, 4))
    found = average_precision(predicted, truth, empty_hits=empty_hits)
    for row, (ours, theirs) in enumerate(zip(lists(predicted), lists(truth), strict=True)):
        pairs = [(start, end) for start, end, _ in theirs]
        for column, least in enumerate(THRESHOLDS):
            if pairs:
                assert found[row, column] == pytest.approx(slow_precision(ours, pairs, least, empty_hits), abs=1e-12)
            else:
                assert np.isnan(found[row, column])


def test_padding_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    predicted, truth = pad(random_windows(rng, 9, 5)), pad(random_windows(rng, 9, 3))

    def padded(windows: Windows) -> Windows:
        junk = np.full((9, 2, 2), 7.0)
        return Windows(
            np.concatenate([windows.spans, junk], 1),
            np.concatenate([windows.scores, junk[..., 0]], 1),
            np.concatenate([windows.valid, np.zeros((9, 2), dtype=bool)], 1),
        )

    more = padded(predicted), padded(truth)
    np.testing.assert_array_equal(average_precision(*more), average_precision(predicted, truth))
    np.testing.assert_array_equal(
        best_overlap(predicted.spans[:, 0], more[1]), best_overlap(predicted.spans[:, 0], truth)
    )
    assert lists(suppress(more[0], 0.3)[0]) == lists(suppress(predicted, 0.3)[0])
    np.testing.assert_array_equal(coverage(more[1], np.full(9, 15.0)), coverage(truth, np.full(9, 15.0)))


def test_the_best_annotated_window_counts() -> None:
    truth = pad([np.array([[0.0, 4], [10, 20]]), np.empty((0, 2))])
    first = np.array([[12.0, 20], [0, 1]])
    assert best_overlap(first, truth).tolist() == [0.8, 0.0]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 1), st.integers(1, 4))
def test_suppression_equals_the_loop(seed: int, threshold: float, most: int) -> None:
    given_windows = pad(random_windows(np.random.default_rng(seed), 5, 8))
    found, place = suppress(given_windows, threshold, most=most)
    for row, windows in enumerate(lists(by_score(given_windows))):
        kept: list[Window] = []
        for window in windows:
            one = span(*window[:2])
            if all(hull_overlap(one, span(*other[:2])) <= threshold for other in kept) and len(kept) < most:
                kept.append(window)
        assert lists(found)[row] == kept
        original = given_windows.spans[row][place[row]][found.valid[row]]
        np.testing.assert_array_equal(original, found.spans[row][found.valid[row]])


def test_windows_of_different_videos_do_not_suppress_each_other() -> None:
    rows = np.array([[0.0, 10, 0.5], [0, 10, 0.9], [1, 10, 0.8], [0, 10, 0.5]])
    group = np.array([[7, 3, 3, 3]])
    found, place = suppress(pad([rows]), 0.5, group=group)
    assert place[0][found.valid[0]].tolist() == [1, 0]
    both, _ = suppress(pad([rows]), 0.95, group=group, each=1)
    assert lists(both)[0] == [(0, 10, 0.9), (0, 10, 0.5)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31))
def test_coverage_equals_counting_seconds(seed: int) -> None:
    windows = pad(random_windows(np.random.default_rng(seed), 6, 4))
    found = coverage(windows, np.full(6, 10.0))
    for share, row in zip(found, lists(windows), strict=True):
        seconds = {second for start, end, _ in row for second in range(int(start), int(end)) if second < 10}
        assert share == pytest.approx(len(seconds) / 10) if seconds else np.isnan(share)


def test_coverage_of_an_unknown_length_is_not_known() -> None:
    windows = pad([np.array([[0.0, 5]])] * 4)
    found = coverage(windows, np.array([10.0, np.nan, 0.0, -1.0]))
    assert found[0] == 0.5
    assert np.isnan(found[1:]).all()
