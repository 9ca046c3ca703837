"""Queries of one video should not say the same: they are pushed apart (GMMFormer and GMMFormer v2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.parts.masked import masked_logsumexp


def query_diversity(query: Tensor, video_of_query: Tensor, *, margin: float, scale: float) -> Tensor:
    """ln(1 + Σ exp(scale · (cosine + margin))) over the other queries of the same video (GMMFormer, its Eq. 9).

    query (Q, D), video_of_query (Q,). Returns (Q,), not averaged, 0 for a query that is alone.
    """
    cosine, others = _siblings(query, video_of_query)
    return F.softplus(masked_logsumexp(scale * (cosine + margin), others, 1))


def focal_diversity(query: Tensor, video_of_query: Tensor, *, margin: float, scale: float, power: float) -> Tensor:
    """Σ (1 + cosine)^power · ln(1 + exp(scale · (cosine + margin))) over the other queries of the same video (v2).

    The more two queries are alike the more they count. query (Q, D), video_of_query (Q,). Returns (Q,), not averaged.
    """
    cosine, others = _siblings(query, video_of_query)
    # rounding may leave a cosine just below -1, and the slope of a root is infinite at 0
    weight = (1 + cosine).clamp(min=torch.finfo(cosine.dtype).eps) ** power
    return (weight * F.softplus(scale * (cosine + margin))).masked_fill(~others, 0.0).sum(1)


def _siblings(query: Tensor, video_of_query: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines of all pairs, and which are two different queries of one video: (Q, Q) each."""
    unit = F.normalize(query, dim=-1)
    same = video_of_query[:, None] == video_of_query
    return unit @ unit.T, same & ~torch.eye(len(query), dtype=torch.bool, device=query.device)
