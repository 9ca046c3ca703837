"""What MS-SL learns from: clips against videos, frames as pairs of queries and what they are guided to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prvr.core.types import Batch, Made
from prvr.methods.family import RetrievalLoss, retrieval_terms
from prvr.methods.mssl.anchoring import Anchored, anchored
from prvr.methods.mssl.network import Guides, MSSLConfig
from prvr.methods.recipe import RunSettings
from prvr.parts.objective import Objective, Term, weighted
from prvr.parts.triplet import query_triplet
from prvr.parts.uniform import UniformConfig
from prvr.parts.videos import ClipVideos

Settings = RunSettings[MSSLConfig, UniformConfig, RetrievalLoss]


def objective(settings: Settings) -> Objective[Made[Tensor, Guides], Anchored]:
    """The terms whose weight is not 0, by the names that the log shows."""

    def see(made: Made[Tensor, Guides], batch: Batch[ClipVideos], _: int) -> Anchored:
        """Each query finds the proposal of its own video that guides it to frames."""
        return anchored(made, batch.video_of_query, matching=False)

    return weighted(see, terms(settings.loss), settings.loss)


def terms(loss: RetrievalLoss) -> dict[str, Term[Anchored]]:
    """By the names that the log shows; those of frames read frame scores (Q, Q)."""

    def nce_frame(seen: Anchored, _: Batch[Any], __: int) -> Tensor:
        return pair_nce(seen.dot.frame).mean()

    def triplet_frame(seen: Anchored, _: Batch[Any], epoch: int) -> Tensor:
        """Other captions of the same video are negatives here, as released."""
        scores = seen.cosine.frame
        own, pool = torch.arange(len(scores), device=scores.device), loss.hard_pool
        ways = [
            query_triplet(x, own, margin=loss.margin, pool=pool if epoch >= loss.hard_from_epoch else None)
            for x in (scores, scores.T)
        ]
        return torch.cat(ways).mean() * 2

    return retrieval_terms(loss) | {"nce_frame": nce_frame, "triplet_frame": triplet_frame}


def pair_nce(scores: Tensor) -> Tensor:
    """Each diagonal entry against the row and the column that cross in it, in one sum.

    scores (Q, Q). Returns (Q,), not averaged. The right pair stands in row and in column and so counts twice, as
    released.
    """
    return torch.logaddexp(scores.logsumexp(1), scores.logsumexp(0)) - scores.diagonal()
