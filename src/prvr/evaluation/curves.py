"""Moments inside the right video: from the scores of its tokens, over time, to windows, for many queries at once.

The rule is that of search: relevance at an instant is the best frame and the best clip that cover it, weighted; a
moment is a stretch that stands above half the way from the median over time to the peak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from prvr.evaluation.windows import THRESHOLDS, Windows, any_of, average_precision, best_overlap

MOST = 10
"""Moments read from a curve, as many as the evaluator of QVHighlights looks at."""


class TokenScores(NamedTuple):
    """One branch of Q queries' own videos, a token after the other."""

    scores: Tensor  # (Q, N) cosine with the query
    spans: Tensor  # (Q, N, 2) seconds
    valid: Tensor  # (Q, N) bool
    weight: float  # of the branch

    def rows(self, part: slice) -> TokenScores:
        """Those of some queries."""
        return TokenScores(self.scores[part], self.spans[part], self.valid[part], self.weight)


class Curves(NamedTuple):
    """Relevance over time, constant between two edges; shorter curves end in intervals that are not valid."""

    edges: Tensor  # (Q, M + 1) seconds, not decreasing
    values: Tensor  # (Q, M)
    valid: Tensor  # (Q, M) bool


@dataclass(frozen=True, kw_only=True)
class Moments:
    """How well the moments of the right videos are found, in percent, as the QVHighlights evaluator counts."""

    num_queries: int  # with annotated windows and known times
    r1_50: float  # the best moment overlaps an annotated window by a half or more
    r1_70: float
    mean_precision: float  # mAP over the overlaps 0.5, 0.55 … 0.95
    mean_overlap: float  # of the best moment with the annotated window that it fits best
    whole_video: float  # the same, if the whole video were the answer


def own_cosines(queries: Tensor, tokens: Tensor, video: Tensor, *, chunk: int = 64) -> Tensor:
    """Each query with its own video: queries (Q, D), tokens (V, N, D), video (Q,) its row -> (Q, N) on the CPU."""
    queries, unit = (functional.normalize(x, dim=-1, eps=1e-12) for x in (queries, tokens))
    pieces = zip(torch.split(queries, chunk), torch.split(video.to(tokens.device), chunk), strict=True)
    found = [torch.bmm(unit[rows], query[..., None]).squeeze(2) for query, rows in pieces]
    return torch.cat(found).cpu() if found else torch.empty(0, tokens.shape[1])


def relevance_curves(branches: Sequence[TokenScores], duration_s: Tensor) -> Curves:
    """Branches of the same Q queries, one at least, duration_s (Q,) of their videos -> their relevance over time.

    Spans may overlap. An instant that no token of a branch covers takes that branch's lowest score.
    """
    branches = [branch for branch in branches if branch.weight]
    ends = duration_s[:, None, None]
    spans = [torch.minimum(one.spans, ends).clamp(min=0).where(one.valid[..., None], 0.0) for one in branches]
    bounds = torch.stack([torch.zeros_like(duration_s), duration_s], 1)
    every, order = torch.cat([*(span.flatten(1) for span in spans), bounds], 1).sort(1)
    place = functional.pad(every.diff(dim=1) > 0, (1, 0)).cumsum(1)  # which edge each bound is
    count = place[:, -1:]  # of intervals
    edges = duration_s[:, None].repeat(1, int(count.amax()) + 1).scatter(1, place, every)
    at = torch.empty_like(place).scatter(1, order, place)[:, :-2].reshape(len(place), -1, 2)  # (Q, ΣN, 2)
    values = torch.zeros_like(edges[:, 1:])
    for one, part in zip(branches, torch.split(at, [span.shape[1] for span in spans], dim=1), strict=True):
        best = _best_cover(one.scores, part, values.shape[1])
        least = one.scores.where(one.valid, torch.inf).amin(1, keepdim=True)
        values += one.weight * best.where(~best.isinf(), least.where(least.isfinite(), 0.0))
    return Curves(edges, values, torch.arange(values.shape[1]) < count)


def peaks(curves: Curves, *, most: int = MOST, height: float = 0.5) -> Windows:
    """The stretches above `height` of the way from a curve's median over time to its peak, highest first.

    Scores are the highest value of each. A flat curve is one moment, the whole video.
    """
    edges, values, valid = curves
    length = edges.diff(dim=1) * valid
    ordered, order = values.where(valid, torch.inf).sort(1)
    below = (length.gather(1, order).cumsum(1) < length.sum(1, keepdim=True) / 2).sum(1, keepdim=True)
    middle = ordered.gather(1, torch.minimum(below, valid.sum(1, keepdim=True) - 1))
    peak = values.where(valid, -torch.inf).amax(1, keepdim=True)
    above = (values >= middle + height * (peak - middle)) & valid
    rises = above & ~functional.pad(above, (1, 0))[:, :-1]
    run = (rises.cumsum(1) - 1).clamp(min=0)  # (Q, M) which stretch an interval above belongs to
    count = rises.sum(1)
    shape = (len(values), max(1, int(count.max())) if len(values) else 1)

    def fold(x: Tensor, how: str) -> Tensor:
        nothing = torch.inf if how == "amin" else -torch.inf
        return x.new_full(shape, nothing).scatter_reduce(1, run, x.where(above, nothing), how)

    score = fold(values, "amax")
    ranked = score.argsort(dim=1, descending=True, stable=True)[:, :most]
    spans = torch.stack([fold(edges[:, :-1], "amin"), fold(edges[:, 1:], "amax")], 2)
    there = torch.arange(ranked.shape[1]) < count[:, None]
    spans = spans.gather(1, ranked[..., None].expand(-1, -1, 2)).where(there[..., None], 0.0)
    return Windows(spans.double().numpy(), score.gather(1, ranked).where(there, 0.0).double().numpy(), there.numpy())


def moment_scores(predicted: Windows, truth: Windows, duration_s: Tensor) -> Moments | None:
    """Moments of Q right videos, best first, against what is annotated; duration_s (Q,). None of no query."""
    known = any_of(truth.valid) & any_of(predicted.valid)
    if not known.any():
        return None
    predicted, truth = predicted.take(known), truth.take(known)
    best = best_overlap(predicted.spans[:, 0], truth)
    whole = np.stack([np.zeros(len(best)), duration_s.double().numpy()[known]], 1)
    return Moments(
        num_queries=len(best),
        r1_50=100 * float((best >= THRESHOLDS[0]).mean()),
        r1_70=100 * float((best >= THRESHOLDS[4]).mean()),
        mean_precision=100 * float(average_precision(predicted, truth, empty_hits=False).mean()),
        mean_overlap=100 * float(best.mean()),
        whole_video=100 * float(best_overlap(whole, truth).mean()),
    )


def _best_cover(scores: Tensor, at: Tensor, number: int) -> Tensor:
    """scores (Q, N) of tokens, the two edges each lies between, at (Q, N, 2) -> best of each interval, (Q, number)."""
    first, length = at[..., 0].flatten(), (at[..., 1] - at[..., 0]).clamp(min=0).flatten()
    token = torch.arange(len(first)).repeat_interleave(length)  # (P,) one entry for every interval that a token covers
    step = torch.arange(len(token)) - (length.cumsum(0) - length)[token]
    interval = token // scores.shape[1] * number + first[token] + step
    best = scores.new_full((len(scores) * number,), -torch.inf)
    return best.scatter_reduce(0, interval, scores.flatten()[token], "amax").view(-1, number)
