"""What GMMFormer v2 learns from: the retrieval loss, diverse queries, and their assignment to clips."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from prvr.core.types import Batch, Made, VideoTokens
from prvr.methods.family import ComparedTwice, RetrievalLoss, check_weights, compare_twice, retrieval_terms
from prvr.methods.gmmformer_v2.network import GMMFormerV2Config
from prvr.methods.recipe import RunSettings
from prvr.parts.diversity import focal_diversity
from prvr.parts.matching import optimal_matching
from prvr.parts.objective import Objective, weighted
from prvr.parts.towers import TwiceRead
from prvr.parts.uniform import UniformConfig
from prvr.parts.videos import ClipVideos


@dataclass(frozen=True, kw_only=True)
class GMMFormerV2Loss(RetrievalLoss):
    """The retrieval loss, the diversity of a video's queries, and their assignment to its clips."""

    diversity: float = 0.003
    diversity_margin: float = 0.2
    diversity_scale: float = 32.0
    diversity_power: float = 1.0
    matching: float = 0.11  # reads videos with several queries; 0 where every video of a batch has one

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights(self, "diversity", "diversity_power", "matching")


Settings = RunSettings[GMMFormerV2Config, UniformConfig, GMMFormerV2Loss]


def objective(settings: Settings) -> Objective[Made[TwiceRead, VideoTokens], ComparedTwice]:
    """The terms whose weight is not 0, by the names that the log shows."""
    loss = settings.loss

    def diversity(seen: ComparedTwice, batch: Batch[ClipVideos], _: int) -> Tensor:
        return focal_diversity(
            seen.query.again,
            batch.video_of_query,
            margin=loss.diversity_margin,
            scale=loss.diversity_scale,
            power=loss.diversity_power,
        ).mean()

    def matching(seen: ComparedTwice, batch: Batch[ClipVideos], _: int) -> Tensor:
        """Over all matched pairs of the batch; where no video has several captions there is nothing to match."""
        video = seen.video
        far, matched = optimal_matching(seen.query.again, video.clips, video.clip_valid, batch.video_of_query)
        return far.sum() / matched.sum().clamp(min=1)

    return weighted(compare_twice, retrieval_terms(loss) | {"diversity": diversity, "matching": matching}, loss)
