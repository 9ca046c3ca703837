"""What GMMFormer learns from: the retrieval loss, and queries of a video that differ."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from prvr.core.types import Batch, Made, VideoTokens
from prvr.methods.family import ComparedTwice, RetrievalLoss, check_weights, compare_twice, retrieval_terms
from prvr.methods.gmmformer.network import GMMFormerConfig
from prvr.methods.recipe import RunSettings
from prvr.parts.diversity import query_diversity
from prvr.parts.objective import Objective, weighted
from prvr.parts.towers import TwiceRead
from prvr.parts.uniform import UniformConfig
from prvr.parts.videos import ClipVideos


@dataclass(frozen=True, kw_only=True)
class GMMFormerLoss(RetrievalLoss):
    """The retrieval loss, and the diversity of a video's queries."""

    diversity: float = 0.015  # λ
    diversity_margin: float = 0.2  # δ
    diversity_scale: float = 32.0  # α

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights(self, "diversity")


Settings = RunSettings[GMMFormerConfig, UniformConfig, GMMFormerLoss]


def objective(settings: Settings) -> Objective[Made[TwiceRead, VideoTokens], ComparedTwice]:
    """The terms whose weight is not 0, by the names that the log shows."""
    loss = settings.loss

    def diversity(seen: ComparedTwice, batch: Batch[ClipVideos], _: int) -> Tensor:
        margin, scale = loss.diversity_margin, loss.diversity_scale
        return query_diversity(seen.query.again, batch.video_of_query, margin=margin, scale=scale).mean()

    return weighted(compare_twice, retrieval_terms(loss) | {"diversity": diversity}, loss)
