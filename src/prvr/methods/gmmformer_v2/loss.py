"""What GMMFormer v2 learns from: the retrieval loss, diverse queries, and their assignment to clips."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Tensor

from prvr.core.types import Batch, Made, VideoTokens
from prvr.methods.family import (
    ComparedTwice,
    DiverseLoss,
    check_weights,
    compare_twice,
    diversity_term,
    matching_term,
    retrieval_terms,
)
from prvr.methods.gmmformer_v2.network import GMMFormerV2Config
from prvr.methods.recipe import RunSettings
from prvr.parts.objective import Objective, weighted
from prvr.parts.towers import TwiceRead
from prvr.parts.uniform import UniformConfig
from prvr.parts.videos import ClipVideos


@dataclass(frozen=True, kw_only=True)
class GMMFormerV2Loss(DiverseLoss):
    """The retrieval loss, the diversity of a video's queries, and their assignment to its clips."""

    matching: float = 0.11  # reads videos with several queries; 0 where every video of a batch has one

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights(self, "matching")


Settings = RunSettings[GMMFormerV2Config, UniformConfig, GMMFormerV2Loss]


def objective(settings: Settings) -> Objective[Made[TwiceRead, VideoTokens], ComparedTwice]:
    """The terms whose weight is not 0, by the names that the log shows."""
    loss = settings.loss

    def matching(seen: ComparedTwice, batch: Batch[ClipVideos], _: int) -> Tensor:
        return matching_term(seen.query.again, seen.video, batch.video_of_query)

    terms = retrieval_terms(loss) | {"diversity": partial(diversity_term, loss), "matching": matching}
    return weighted(compare_twice, terms, loss)
