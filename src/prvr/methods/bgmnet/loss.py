"""What BGM-Net learns from: MS-SL's terms by matched moments, and an alignment of queries with their moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from prvr.core.types import Batch, Made
from prvr.methods.family import RetrievalLoss, check_weights
from prvr.methods.mssl.anchoring import Anchored, alignment, anchored
from prvr.methods.mssl.loss import terms
from prvr.methods.mssl.network import Guides, MSSLConfig
from prvr.methods.recipe import RunSettings
from prvr.parts.objective import Objective, weighted
from prvr.parts.uniform import UniformConfig
from prvr.parts.videos import ClipVideos


@dataclass(frozen=True, kw_only=True)
class BGMNetLoss(RetrievalLoss):
    """MS-SL's loss, with matched moments from some epoch on, and the alignment of queries and moments."""

    align: float = 1.0
    match_from_epoch: int = 20  # each query takes the moment it likes best before, queries share them out from here on

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights(self, "align", "match_from_epoch")


Settings = RunSettings[MSSLConfig, UniformConfig, BGMNetLoss]


def objective(settings: Settings) -> Objective[Made[Tensor, Guides], Anchored]:
    """The queries find their moments, then MS-SL's terms and the alignment, by the names that the log shows."""
    loss = settings.loss

    def see(made: Made[Tensor, Guides], batch: Batch[ClipVideos], epoch: int) -> Anchored:
        return anchored(made, batch.video_of_query, matching=epoch >= loss.match_from_epoch)

    def align(seen: Anchored, _: Batch[Any], __: int) -> Tensor:
        return alignment(seen.query, seen.video).mean()

    return weighted(see, terms(loss) | {"align": align}, loss)
