"""Windows in seconds, of many queries at once: overlap, average precision, suppression.

P predicted windows and G annotated ones a query, the shorter lists padded at the end. Two formulas of overlap live side
by side because the published evaluators use both; they differ for windows without length only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""0.5, 0.55 … 0.95: what mAP is averaged over."""


class Windows(NamedTuple):
    """The windows of Q queries."""

    spans: Array  # (Q, P, 2) start and end, seconds
    scores: Array  # (Q, P); annotated windows have none and hold 0
    valid: Mask  # (Q, P) False = padding

    def take(self, rows: Mask | NDArray[np.int64]) -> Windows:
        """The windows of some queries."""
        return Windows(self.spans[rows], self.scores[rows], self.valid[rows])


def pad(lists: Sequence[Array]) -> Windows:
    """Q lists of windows, (n, 2) or with scores (n, 3) each -> Windows, each list in its own order."""
    filled = [rows for rows in lists if len(rows)]
    return padded(np.concatenate(filled or [np.empty((0, 2))]), np.array([len(rows) for rows in lists], dtype=np.int64))


def padded(rows: Array, number: NDArray[np.int64]) -> Windows:
    """The same lists end to end, (n, 2) or with scores (n, 3), number (Q,) of each."""
    valid = np.arange(max(1, int(number.max(initial=0)))) < number[:, None]
    table = np.zeros((*valid.shape, 3))
    table[..., : rows.shape[1]][valid] = rows
    return Windows(table[..., :2], table[..., 2], valid)


def any_of(mask: Mask) -> Mask:
    """Whether anything in a row holds: (Q, P) -> (Q,)."""
    return np.asarray(mask.any(axis=1))


def overlap(one: Array, other: Array) -> Array:
    """Shared seconds over seconds covered by either: spans (..., 2) each, broadcast -> (...); NaN for 0 / 0."""
    shared = _shared(one, other)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = shared / (_length(one) + _length(other) - shared)
    return found


def hull_overlap(one: Array, other: Array) -> Array:
    """Shared seconds over seconds from the first start to the last end; 0 where that is nothing. (..., 2) -> (...)."""
    hull = np.maximum(one[..., 1], other[..., 1]) - np.minimum(one[..., 0], other[..., 0])
    found: Array = np.divide(_shared(one, other), hull, out=np.zeros_like(hull), where=hull != 0)
    return found


def by_score(windows: Windows) -> Windows:
    """The best first; equal scores keep their order, padding stays behind."""
    order = np.argsort(np.where(windows.valid, -windows.scores, np.inf), axis=1, kind="stable")
    return _reorder(windows, order)


def average_precision(
    predicted: Windows, truth: Windows, *, thresholds: Sequence[float] = THRESHOLDS, empty_hits: bool = True
) -> Array:
    """Area under the precision-recall curve of each query at each threshold of overlap (Pascal VOC's, all points).

    Predictions are walked through by score; each takes the free annotated window that it overlaps most, if by the
    threshold or more, and else is wrong. `empty_hits`: two equal windows of no length, whose overlap is 0 / 0, match,
    as in the published evaluator. -> (Q, S) from 0 to 1, NaN where nothing is annotated.
    """
    ranked = by_score(predicted)
    found = overlap(ranked.spans[:, :, None], truth.spans[:, None])  # (Q, P, G)
    found = np.where(truth.valid[:, None], np.where(np.isnan(found), np.inf if empty_hits else 0.0, found), -np.inf)
    least = np.asarray(thresholds)[:, None]
    hit = np.zeros((*ranked.valid.shape, len(thresholds)))  # (Q, P, S)
    free = np.ones((len(found), len(thresholds), found.shape[2]), dtype=bool)
    for rank in range(found.shape[1]):
        open_to = free & (found[:, None, rank] >= least) & ranked.valid[:, rank, None, None]  # (Q, S, G)
        best = np.where(open_to, found[:, None, rank], -np.inf)
        taken = best.shape[2] - 1 - best[..., ::-1].argmax(2, keepdims=True)  # of equals the later one
        hit[:, rank] = np.take_along_axis(open_to, taken, 2)[..., 0]
        np.put_along_axis(free, taken, np.take_along_axis(free & ~open_to, taken, 2), 2)
    return _area(hit, ranked.valid, truth.valid.sum(1))


def best_overlap(first: Array, truth: Windows) -> Array:
    """How well one window a query, (Q, 2), overlaps the annotated window that it overlaps most -> (Q,), 0 to 1."""
    found = overlap(first[:, None], truth.spans)
    found = np.where(truth.valid, np.where(np.isnan(found), np.inf, found), -np.inf)
    chosen = np.take_along_axis(truth.spans, found.argmax(1)[:, None, None], 1)[:, 0]
    return np.where(any_of(truth.valid), hull_overlap(first, chosen), 0.0)


def suppress(
    windows: Windows, threshold: float, *, most: int = 100, group: NDArray[np.int64] | None = None, each: int = 100
) -> tuple[Windows, NDArray[np.int64]]:
    """Temporal non-maximum suppression: the best window stays, all that overlap it by more than `threshold` go.

    At most `most` windows are left. With `group` (Q, P), the video of each window, only windows of one video suppress
    each other, at most `each` of a video are left, and equal scores come in the order in which their videos do.
    -> what is left, best first, (Q, K), and at which place each stood, (Q, K).
    """
    same = np.ones((1, 1, 1), dtype=bool) if group is None else group[:, :, None] == group[:, None]
    seen = same.argmax(2) if group is not None else np.zeros_like(windows.scores)  # first window of its video
    order = np.lexsort((seen, np.where(windows.valid, -windows.scores, np.inf)), axis=1)
    ranked = _reorder(windows, order)
    if group is not None:
        group = np.take_along_axis(group, order, 1)
        same = group[:, :, None] == group[:, None]
    rival = (hull_overlap(ranked.spans[:, :, None], ranked.spans[:, None]) > threshold) & same  # (Q, P, P)
    stays = ranked.valid.copy()
    for rank in range(stays.shape[1] - 1):
        stays[:, rank + 1 :] &= ~(stays[:, rank, None] & rival[:, rank, rank + 1 :])
    if group is not None:
        stays &= np.tril(same & stays[:, None]).sum(2) <= each
    stays &= stays.cumsum(1) <= most
    wide = max(1, int(stays.sum(1).max(initial=0)))
    first = np.argsort(~stays, axis=1, kind="stable")[:, :wide]
    return _reorder(Windows(ranked.spans, ranked.scores, stays), first), np.take_along_axis(order, first, 1)


def coverage(windows: Windows, duration_s: Array) -> Array:
    """The share of a video that the windows of a query cover, overlaps counted once: duration_s (Q,) -> (Q,).

    NaN where there is no window of some length inside the video, or no known duration.
    """
    known = np.isfinite(duration_s) & (duration_s > 0)
    length = np.where(known, duration_s, 1.0)
    inside = np.clip(windows.spans, 0.0, length[:, None, None])
    start = np.where(windows.valid, inside[..., 0], np.inf)
    order = np.argsort(start, axis=1)
    start = np.take_along_axis(start, order, 1)
    end = np.take_along_axis(np.where(windows.valid, inside[..., 1], 0.0), order, 1)
    before = np.maximum.accumulate(np.pad(end, ((0, 0), (1, 0)))[:, :-1], axis=1)  # where the earlier ones end
    share: Array = np.maximum(end - np.maximum(start, before), 0.0).sum(1) / length
    return np.where(known & (share > 0), share, np.nan)


def _area(hit: Array, valid: Mask, number: NDArray[np.int64]) -> Array:
    """hit (Q, P, S), valid (Q, P), number (Q,) of annotated windows -> (Q, S)."""
    true = hit.cumsum(1)
    precision = true / np.arange(1, hit.shape[1] + 1)[:, None] * valid[..., None]
    ceiling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    with np.errstate(invalid="ignore"):
        recall = true / number[:, None, None]
    rise = np.diff(recall, axis=1, prepend=0.0)
    area: Array = (rise * ceiling).sum(1)
    return area


def _reorder(windows: Windows, order: NDArray[np.int64]) -> Windows:
    """order (Q, P) -> the windows of each query in that order."""
    return Windows(
        np.take_along_axis(windows.spans, order[..., None], 1),
        np.take_along_axis(windows.scores, order, 1),
        np.take_along_axis(windows.valid, order, 1),
    )


def _shared(one: Array, other: Array) -> Array:
    least = np.minimum(one[..., 1], other[..., 1]) - np.maximum(one[..., 0], other[..., 0])
    shared: Array = np.maximum(least, 0.0)
    return shared


def _length(span: Array) -> Array:
    length: Array = span[..., 1] - span[..., 0]
    return length
