"""Pairs that were never labelled but may well fit: found by similarity and uncertainty, then softer positives (ARL).

A pair is uncertain where both sides are generic, that is, like everything else in the training set. The two criteria
are the paper's; thresholds and the losses' formulas are our reconstruction.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.parts.masked import masked_logsumexp
from prvr.parts.nce import own_pairs
from prvr.parts.triplet import draw_ranks, query_triplet


@torch.no_grad()
def ambiguous_videos(scores: Tensor, uncertainty: Tensor, video_of_query: Tensor, *, most: int) -> Tensor:
    """Wrong videos as similar as right ones are on average, and no less uncertain than a pair is on average.

    scores, uncertainty (Q, V), video_of_query (Q,) -> (Q, V) bool, the `most` best scored of each query at most.
    """
    own = own_pairs(video_of_query, scores.shape[1])
    alike = scores >= scores[own].mean()
    found = alike & (uncertainty >= uncertainty.mean()) & ~own
    ranks = scores.masked_fill(~found, -torch.inf).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return found & (ranks < most)


@torch.no_grad()
def ambiguous_frames(scores: Tensor, uncertainty: Tensor, valid: Tensor, *, slack: float) -> Tensor:
    """Frames of a query's own video almost as similar as the best one, and no less uncertain than a frame is there.

    scores (Q, T), uncertainty (Q, T) of the frames alone: a query's own half moves both sides of the comparison alike;
    valid (Q, T) -> (Q, T) bool. The best frame itself may be among them.
    """
    best = scores.masked_fill(~valid, -torch.inf).amax(1, keepdim=True)
    mean = (uncertainty * valid).sum(1, keepdim=True) / valid.sum(1, keepdim=True)
    return (scores >= best - slack) & (uncertainty >= mean) & valid


def many_nce(scores: Tensor, hits: Tensor, valid: Tensor | None = None) -> Tensor:
    """InfoNCE of each row with several hits, of which the mean counts.

    scores (R, C), hits (R, C) bool, at least one a row, valid (R, C) or None for all. Returns (R,), not averaged.
    """
    every = scores if valid is None else scores.masked_fill(~valid, -torch.inf)
    return every.logsumexp(1) - scores.masked_fill(~hits, 0.0).sum(1) / hits.sum(1)


def any_nce(scores: Tensor, hits: Tensor) -> Tensor:
    """InfoNCE of each row with several hits, any of which will do: what videos are asked of their queries.

    scores (R, C), hits (R, C) bool, at least one a row. Returns (R,), not averaged.
    """
    return scores.logsumexp(1) - masked_logsumexp(scores, hits, 1)


def dual_margin(
    positive: Tensor,
    scores: Tensor,
    *,
    ambiguous: Tensor,
    clean: Tensor,
    margin: float,
    ambiguous_margin: float,
    pool: int | None,
) -> Tensor:
    """Right must beat wrong by the margin, and what may be right by a smaller one.

    positive (R,) the right score of each row, scores (R, C), ambiguous and clean (R, C) bool. Of the clean one is drawn
    among the `pool` best scored (None = all), of the ambiguous any. Returns (R,), not averaged; a part is 0 where there
    is none.
    """
    of_clean = _margin(positive, scores, clean, margin, pool)
    return of_clean + _margin(positive, scores, ambiguous, ambiguous_margin, None)


def _margin(positive: Tensor, scores: Tensor, negative: Tensor, margin: float, pool: int | None) -> Tensor:
    """The triplet of a row whose right one stands before its wrong ones."""
    table = torch.cat([positive[:, None], scores.masked_fill(~negative, -torch.inf)], dim=1)
    first, others = negative.new_zeros(len(table), dtype=torch.int64), F.pad(~negative, (1, 0), value=True)
    hinge = query_triplet(table, first, margin=margin, pool=None, ranks=draw_ranks(others, pool))
    return hinge.masked_fill(~negative.any(1), 0.0)
