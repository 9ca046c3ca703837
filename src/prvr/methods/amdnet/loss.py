"""What AMDNet learns from: InfoNCE, windows that differ, and moments that are worth more than the whole."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.types import Batch, Made
from prvr.methods.amdnet.network import AMDNetConfig, MeansConfig, VideoParts, ranked
from prvr.methods.family import Compared, check_weights, compared, nce_term
from prvr.methods.recipe import RunSettings
from prvr.parts.objective import Objective, weighted
from prvr.parts.towers import TwiceRead
from prvr.parts.videos import FrameVideos


@dataclass(frozen=True, kw_only=True)
class AMDNetLoss:
    """Weights of the terms and what they read; a weight of 0 leaves a term out."""

    nce: float = 0.02
    diversity: float = 1.0
    diversity_diagonal: float = 0.15  # λ, the wanted sum of squares of a window; 0.15: about half of the video
    relevance: float = 25.0
    relevance_margin: float = 0.02  # δ

    def __post_init__(self) -> None:
        check_weights(self, "nce", "diversity", "diversity_diagonal", "relevance", "relevance_margin")


Settings = RunSettings[AMDNetConfig, MeansConfig, AMDNetLoss]


AMDNetSeen = Compared[TwiceRead, VideoParts]
"""What the terms read; there are no clips, and `query.again` is what is compared with the moments."""


def see(made: Made[TwiceRead, VideoParts], _: Batch[Any], __: int) -> AMDNetSeen:
    """Every query against every video."""
    return compared(made, made.queries.query, ranked(made.videos))


def objective(settings: Settings) -> Objective[Made[TwiceRead, VideoParts], AMDNetSeen]:
    """The terms whose weight is not 0, by the names that the log shows."""
    loss = settings.loss

    def diversity(seen: AMDNetSeen, _: Batch[FrameVideos], __: int) -> Tensor:
        return mask_diversity(seen.video.masks, diagonal=loss.diversity_diagonal).mean()

    def relevance(seen: AMDNetSeen, batch: Batch[FrameVideos], _: int) -> Tensor:
        query, video, margin = seen.query.again, seen.video, loss.relevance_margin
        return moment_relevance(query, video.whole, video.moments, batch.video_of_query, margin=margin).mean()

    return weighted(see, {"nce": partial(nce_term, "frame"), "diversity": diversity, "relevance": relevance}, loss)


def mask_diversity(masks: Tensor, *, diagonal: float) -> Tensor:
    """How far masks of one video overlap, and how far they are from a common width: |diagonal · I - M Mᵀ|².

    masks (V, H, N), which are divided by their sums. Returns (V,), not averaged. A diagonal of 0.15 corresponds to
    windows of about half the video.
    """
    share = masks / masks.sum(2, keepdim=True)
    wanted = diagonal * torch.eye(masks.shape[1], dtype=masks.dtype, device=masks.device)
    return (wanted - share @ share.mT).square().sum((1, 2))


def moment_relevance(query: Tensor, whole: Tensor, moments: Tensor, video_of_query: Tensor, *, margin: float) -> Tensor:
    """Each query: the best moment of its video must beat the video as a whole by the margin, by cosine.

    query (Q, D), whole (V, D), moments (V, H, D), video_of_query (Q,). Returns (Q,), not averaged.
    """
    unit = F.normalize(query, dim=1)
    to_whole = (unit * F.normalize(whole, dim=1)[video_of_query]).sum(1)
    to_moment = torch.einsum("qd,qhd->qh", unit, F.normalize(moments, dim=2)[video_of_query])
    return (margin + to_whole - to_moment.amax(1)).clamp(min=0)
