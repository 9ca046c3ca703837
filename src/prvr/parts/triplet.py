"""Triplet loss with a margin, in both directions; one negative each, random or among the hardest."""

from __future__ import annotations

import torch
from torch import Tensor

from prvr.parts.nce import own_pairs


def query_triplet(
    scores: Tensor,
    video_of_query: Tensor,
    *,
    margin: float,
    pool: int | None,
    generator: torch.Generator | None = None,
    ranks: Tensor | None = None,
) -> Tensor:
    """Each query: its video must beat another one by the margin.

    scores (Q, V), video_of_query (Q,). The other is drawn evenly from the `pool` best scored wrong videos (None = from
    all of them), or is the one at `ranks` (Q,), 0 = best scored. Returns (Q,), 0 where there is no other video.
    """
    own = own_pairs(video_of_query, scores.shape[1])
    positive = scores.gather(1, video_of_query[:, None]).squeeze(1)
    ranks = draw_ranks(own, pool, generator) if ranks is None else ranks
    return _hinge(positive, scores, own, ranks, margin)


def video_triplet(
    scores: Tensor,
    video_of_query: Tensor,
    *,
    margin: float,
    pool: int | None,
    generator: torch.Generator | None = None,
    ranks: Tensor | None = None,
) -> Tensor:
    """Each video: its queries must on average beat another video's query by the margin.

    As `query_triplet`, seen from the columns. Returns (V,), 0 where there is no other query; every video must have one
    of its own.
    """
    own = own_pairs(video_of_query, scores.shape[1]).T  # (V, Q)
    positive = (scores.T * own).sum(1) / own.sum(1)
    ranks = draw_ranks(own, pool, generator) if ranks is None else ranks
    return _hinge(positive, scores.T, own, ranks, margin)


def draw_ranks(own: Tensor, pool: int | None, generator: torch.Generator | None = None) -> Tensor:
    """A place in each row's list of negatives, best scored first, drawn evenly from the first `pool` (None = all).

    own (R, C) bool, True = not a negative -> (R,) int64.
    """
    count = (~own).sum(1)
    if pool is not None:
        count = count.clamp(max=pool)
    draw = torch.rand(len(own), generator=generator, device=own.device)
    return (draw * count).long().clamp(max=(count - 1).clamp(min=0))


def _hinge(positive: Tensor, scores: Tensor, own: Tensor, ranks: Tensor, margin: float) -> Tensor:
    """max(0, margin + negative - positive), (R,), where the negative of a row is at a rank of its negatives."""
    descending = scores.detach().masked_fill(own, -torch.inf).argsort(dim=1, descending=True, stable=True)
    negative = scores.gather(1, descending.gather(1, ranks[:, None])).squeeze(1)
    return (margin + negative - positive).clamp(min=0).masked_fill(own.all(1), 0.0)
