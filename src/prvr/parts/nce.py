"""InfoNCE in both directions."""

from __future__ import annotations

import torch
from torch import Tensor


def query_nce(scores: Tensor, video_of_query: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Each query against all videos of the batch; its own is the hit.

    scores (Q, V), video_of_query (Q,) row -> column of its video. Returns (Q,), not averaged.
    """
    logits = scores / temperature
    return logits.logsumexp(1) - logits.gather(1, video_of_query[:, None]).squeeze(1)


def video_nce(scores: Tensor, video_of_query: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Each video of the batch against all queries; every query of its own is a hit.

    scores (Q, V), video_of_query (Q,). Returns (V,), not averaged; every video must have a query.
    """
    own = own_pairs(video_of_query, scores.shape[1])
    logits = scores / temperature
    return logits.logsumexp(0) - logits.masked_fill(~own, -torch.inf).logsumexp(0)


def own_pairs(video_of_query: Tensor, num_videos: int) -> Tensor:
    """Which query belongs to which video: (Q,) -> (Q, V) bool."""
    return video_of_query[:, None] == torch.arange(num_videos, device=video_of_query.device)
