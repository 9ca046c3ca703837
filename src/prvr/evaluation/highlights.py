"""Highlights as the QVHighlights evaluator counts them: a score for every clip of two seconds, three annotators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prvr.evaluation.windows import Array, Mask

CLIP_S = 2
"""Seconds of a clip."""

LEVELS = {"Fair": 2, "Good": 3, "VeryGood": 4}
"""The rating from which on a clip is a highlight."""


@dataclass(frozen=True, kw_only=True)
class HighlightScores:
    """Of one level, shares from 0 to 1."""

    num_queries: int
    mean_precision: float  # average precision, a mean over annotators and queries
    hit: float  # the clip of the highest score is a highlight for any annotator


def highlight_scores(
    saliency: Sequence[Array], num_clips: NDArray[np.int64], clips: Sequence[Array], ratings: Sequence[Array]
) -> dict[str, HighlightScores]:
    """Scores (any number) of Q queries, clips of their videos (Q,), rated clips (n,) and ratings (n, 3) -> by level.

    Precision reads the first `num_clips` scores, missing ones are 0; the hit reads the first maximum of them all.
    """
    wide = int(num_clips.max(initial=1))
    inside = np.arange(wide) < num_clips[:, None]  # (Q, N)
    scores = np.zeros((len(saliency), wide))
    rated = np.zeros((len(saliency), 3, wide))
    top = np.full(len(saliency), wide)
    for row, (given, at, levels) in enumerate(zip(saliency, clips, ratings, strict=True)):
        known = at < num_clips[row]
        scores[row, : len(given)] = given[:wide]
        rated[row][:, at[known].astype(np.int64)] = levels[known].T
        top[row] = given.argmax() if len(given) else wide
    hits = np.take_along_axis(np.pad(rated.max(1), ((0, 0), (0, 1))), np.minimum(top, wide)[:, None], 1)[:, 0]
    hits = np.where(top < num_clips, hits, -1)
    found = {}
    for name, least in LEVELS.items():
        precision = tied_precision(scores, rated >= least, inside)
        found[name] = HighlightScores(
            num_queries=len(saliency),
            mean_precision=float(precision.mean()) if len(precision) else float("nan"),
            hit=float((hits >= least).mean()) if len(hits) else float("nan"),
        )
    return found


def tied_precision(scores: Array, positive: Mask, inside: Mask) -> Array:
    """Average precision where equal scores are one step: scores (Q, N), positive (Q, A, N), inside (Q, N) -> (Q, A).

    Precision is made to not fall towards high scores, and is averaged over the steps at which recall rises, each of
    them once; 0 without a positive.
    """
    order = np.argsort(np.where(inside, -scores, np.inf), axis=1, kind="stable")
    ranked, real = np.take_along_axis(scores, order, 1), np.take_along_axis(inside, order, 1)
    last = np.ones_like(real)  # of a run of equal scores
    last[:, :-1] = (ranked[:, :-1] != ranked[:, 1:]) | ~real[:, 1:]
    last &= real
    true = np.take_along_axis(positive & inside[:, None], order[:, None], 2).cumsum(2)  # (Q, A, N)
    precision = np.where(last[:, None], true / np.arange(1, scores.shape[1] + 1), 0.0)
    ceiling = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
    before = np.maximum.accumulate(np.where(last[:, None], true, 0), axis=2)  # true positives at the last step so far
    rises = last[:, None] & (true > np.pad(before, ((0, 0), (0, 0), (1, 0)))[..., :-1])
    mean: Array = (ceiling * rises).sum(2) / np.maximum(rises.sum(2), 1)
    return mean
