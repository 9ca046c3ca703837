"""Scores and moments of one video after the other, as anyone can read them: twin of `prvr.core.ranking`."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from prvr.core.types import Candidate, Span


def highest_cosines(query: Tensor, tokens: Tensor, valid: Tensor) -> list[list[float]]:
    """query (Q, D), tokens (V, N, D), valid (V, N) -> the best cosine, Q rows of V."""

    def cosine(a: Tensor, b: Tensor) -> float:
        return float(a @ b / (a.norm() * b.norm()))

    return [
        [
            max(cosine(q, t) for t, real in zip(video, mask, strict=True) if real)
            for video, mask in zip(tokens, valid, strict=True)
        ]
        for q in query
    ]


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
    edges, place = torch.unique(torch.cat([spans.flatten(), spans.new_tensor([0.0, duration_s])]), return_inverse=True)
    first, last = place[:-2].view(-1, 2).unbind(1)  # (N,) edges that a token begins and ends at
    token, interval = covered(first, last - first)
    branch = (token >= candidate.bank.num_frames).long()  # 1 = clip
    best = scores.new_full((2 * (len(edges) - 1),), -torch.inf)
    best = best.scatter_reduce(0, 2 * interval + branch, scores[token], "amax").view(-1, 2)
    values = torch.zeros(len(edges) - 1)
    parts = scores[: candidate.bank.num_frames], scores[candidate.bank.num_frames :]
    for column, (part, weight) in enumerate(zip(parts, (1 - clip_weight, clip_weight), strict=True)):
        if weight and len(part):
            values += weight * torch.where(best[:, column].isinf(), part.min(), best[:, column])
    return Curve(edges, values)


def covered(first: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs (token, place) of N tokens that cover `length` (N,) places from `first` (N,) on -> (P,) each."""
    token = torch.arange(len(first)).repeat_interleave(length)
    return token, first[token] + torch.arange(len(token)) - (length.cumsum(0) - length)[token]


def per_second(curve: Curve) -> tuple[float, ...]:
    """The mean of the curve over every second of the video; the last one may be short."""
    edges, values = curve.edges.double(), curve.values.double()
    area = torch.cat([values.new_zeros(1), (values * edges.diff()).cumsum(0)])  # up to each edge
    times = torch.arange(math.ceil(float(edges[-1])) + 1, dtype=edges.dtype).clamp(max=edges[-1])
    at = torch.searchsorted(edges, times, right=True).clamp(1, len(values)) - 1
    upto = area[at] + values[at] * (times - edges[at])
    return tuple((upto.diff() / times.diff()).tolist())


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
