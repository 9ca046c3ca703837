"""From the scores of a video's tokens to the moments in it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from prvr.core.types import Candidate, Span


class Curve(NamedTuple):
    """Relevance over time: constant between two edges."""

    edges: Tensor  # (M+1,) seconds, increasing
    values: Tensor  # (M,) fused score


def relevance(candidate: Candidate, *, clip_weight: float, duration_s: float) -> Curve:
    """Fused score of every instant: the best frame token and the best clip token that cover it, weighted.

    Token spans may overlap (several positions of a short video show the same frame). An instant that no token of a
    branch covers takes that branch's lowest score.
    """
    spans, scores = candidate.bank.spans.clamp(0, duration_s), candidate.token_scores
    edges = torch.unique(torch.cat([spans.flatten(), spans.new_tensor([0.0, duration_s])]))  # (M+1,) sorted
    middle = (edges[1:] + edges[:-1]) / 2
    covers = (spans[None, :, 0] <= middle[:, None]) & (middle[:, None] < spans[None, :, 1])  # (M, N)
    branches = torch.arange(len(scores)) >= candidate.bank.num_frames  # (N,) True = clip
    values = torch.zeros(len(middle))
    for branch, weight in ((~branches, 1 - clip_weight), (branches, clip_weight)):
        if weight and branch.any():
            best = torch.where(covers & branch, scores, -torch.inf).amax(1)
            values += weight * torch.where(best.isinf(), scores[branch].min(), best)
    return Curve(edges, values)


def moments(curve: Curve, *, most: int = 3, height: float = 0.5) -> tuple[Span, ...]:
    """The stretches where the curve stands above `height` of the way from its median to its peak, best peak first.

    They never overlap and lie inside the video. A flat curve is one moment, the whole video.
    """
    edges, values = curve
    length = edges[1:] - edges[:-1]
    order = values.argsort()
    half = int(torch.searchsorted(length[order].cumsum(0), length.sum() / 2).clamp(max=len(values) - 1))
    middle, peak = values[order[half]], values.max()  # the median over time, not over tokens
    above = values >= middle + height * (peak - middle)
    rises = torch.cat([above[:1], above[1:] & ~above[:-1]])
    run = rises.cumsum(0) - 1  # (M,) which stretch each interval belongs to
    count = int(rises.sum())
    inside, which = above.nonzero().squeeze(1), run[above]
    start = edges.new_full((count,), torch.inf).scatter_reduce(0, which, edges[inside], "amin")
    end = edges.new_full((count,), -torch.inf).scatter_reduce(0, which, edges[inside + 1], "amax")
    best = values.new_full((count,), -torch.inf).scatter_reduce(0, which, values[inside], "amax")
    ranked = best.argsort(descending=True, stable=True)[:most]
    return tuple((float(start[i]), float(end[i])) for i in ranked)
