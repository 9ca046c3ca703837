"""What DL-DKD and DL-DKD++ learn from: the retrieval loss of both branches, and a teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, BranchScores, FeatureSpec, Made, Teacher, VideoTokens
from prvr.methods.dldkd.distillation import (
    exponential_fade,
    frame_distillation,
    linear_fade,
    sigmoid_fade,
    soft_label_fade,
    soft_nce,
)
from prvr.methods.dldkd.network import BranchQueries, DLDKDConfig
from prvr.methods.family import Compared, RetrievalLoss, check_weights, retrieval_terms
from prvr.methods.recipe import RunSettings
from prvr.parts.needs import check_teacher
from prvr.parts.objective import Objective, weighted
from prvr.parts.scoring import best_cosine, best_token, own_cosines
from prvr.parts.uniform import UniformConfig
from prvr.parts.videos import FrameVideos

FADES: dict[str, Callable[[int], float]] = {
    "exponential": exponential_fade,
    "linear": linear_fade,
    "sigmoid": sigmoid_fade,
}


@dataclass(frozen=True, kw_only=True)
class DLDKDLoss(RetrievalLoss):
    """The retrieval loss of both branches (frame: inheritance, clip: exploration), and what the teacher adds."""

    nce_clip: float = 0.04
    nce_frame: float = 0.04
    hard_from_epoch: int = 0
    distill: float = 0.1  # of the divergence, which is summed over the queries of a batch
    temperature: float = 0.2  # of both distributions over frames
    fade: Literal["exponential", "linear", "sigmoid"] = "exponential"  # of `distill`, from epoch to epoch
    labels: Literal["hard", "soft"] = "hard"  # of InfoNCE; DL-DKD++: soft
    self_targets: Literal["live", "detached"] = "live"  # whether the exploration branch's own soft labels learn
    teacher_scale: float = 100.0  # of products with the student's own features, which have length 1, in soft labels;
    # raw CLIP vectors, as a teacher of its own has them, are about 10 long

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights(self, "distill")
        for name in ("temperature", "teacher_scale"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"loss.{name}={getattr(self, name)}: must be positive")


Settings = RunSettings[DLDKDConfig, UniformConfig, DLDKDLoss]


DLDKDSeen = Compared[BranchQueries, VideoTokens]
"""What the terms read: frame is the inheritance branch, clip the exploration branch."""


def see(made: Made[BranchQueries, VideoTokens], _: Batch[Any], __: int) -> DLDKDSeen:
    """Every query against every video, branch by branch; no weight is read."""
    query, video = made
    cosine, dot = (
        BranchScores(
            frame=best(query.inherit, video.frames, video.frame_valid)[0],
            clip=best(query.explore, video.clips, video.clip_valid)[0],
        )
        for best in (best_cosine, best_token)
    )
    return Compared(query, video, cosine, dot)


def objective(settings: Settings) -> Objective[Made[BranchQueries, VideoTokens], DLDKDSeen]:
    """The terms whose weight is not 0, by the names that the log shows."""
    loss = settings.loss

    def distill(seen: DLDKDSeen, batch: Batch[FrameVideos], epoch: int) -> Tensor:
        own, taught = batch.video_of_query, teacher_of(batch, 1.0)
        theirs = own_cosines(taught.sentence, taught.frames, own)
        ours, valid = own_cosines(seen.query.inherit, seen.video.frames, own), seen.video.frame_valid[own]
        return FADES[loss.fade](epoch) * frame_distillation(ours, theirs, valid, temperature=loss.temperature).sum()

    def soft_frame(seen: DLDKDSeen, batch: Batch[FrameVideos], epoch: int) -> Tensor:
        """The inheritance branch takes its soft labels from the teacher."""
        taught, share_and_trust = teacher_of(batch, loss.teacher_scale), soft_label_fade(epoch)
        targets = best_token(taught.sentence, taught.frames, seen.video.frame_valid)[0]
        return _soft(seen.dot.frame, targets, batch, *share_and_trust)

    def soft_clip(seen: DLDKDSeen, batch: Batch[FrameVideos], epoch: int) -> Tensor:
        """The exploration branch takes its soft labels from itself."""
        scores = seen.dot.clip
        targets = scores if loss.self_targets == "live" else scores.detach()
        return _soft(scores, targets, batch, *soft_label_fade(epoch))

    terms = retrieval_terms(loss) | {"distill": distill}
    if loss.labels == "soft":
        terms |= {"nce_frame": soft_frame, "nce_clip": soft_clip}
    return weighted(see, terms, loss)


def teacher_of(batch: Batch[FrameVideos], scale: float) -> Teacher:
    """The teacher of a batch; without one, what the student reads, its sentences `scale` long."""
    return batch.teacher or Teacher(frames=batch.videos.frames, sentence=batch.queries.sentence * scale)


def check_taught(settings: Settings, features: FeatureSpec) -> None:
    """Raises ConfigError where these settings want a teacher and the features have none to offer."""
    if settings.loss.distill > 0 or settings.loss.labels == "soft":
        check_teacher(features)


def _soft(scores: Tensor, targets: Tensor, batch: Batch[FrameVideos], share: float, trust: float) -> Tensor:
    return soft_nce(scores, targets, batch.video_of_query, share=share, trust=trust)
