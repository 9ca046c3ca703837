"""GMMFormer v2: its benchmarks, with the features of the MSC paper's tables and with the authors' own.

`tvr()` and the others read CLIP-L/14, `tvr_i3d()` and the others what the authors released it with; nothing else
differs. For QVHighlights no settings were published: they are those of ActivityNet Captions, as MSC chose for itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, Outputs
from prvr.methods.family import (
    OptimConfig,
    RetrievalLoss,
    on_i3d,
    on_world,
    retrieval_terms,
    trained,
    weighted,
)
from prvr.methods.gmmformer_v2.network import OFFICIAL, GMMFormerV2, GMMFormerV2Config
from prvr.methods.msc.official import stack_depth, undecayed
from prvr.methods.recipe import Recipe
from prvr.parts.diversity import focal_diversity
from prvr.parts.matching import optimal_matching
from prvr.parts.objective import Objective
from prvr.parts.uniform import UniformConfig
from prvr.training.loop import TrainConfig


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
        for name in ("diversity", "diversity_power", "matching"):
            if getattr(self, name) < 0:
                raise ConfigError(f"loss.{name}={getattr(self, name)}: must not be negative")


@dataclass(frozen=True, kw_only=True)
class GMMFormerV2Settings:
    """All of a run."""

    model: GMMFormerV2Config
    prepare: UniformConfig = field(default_factory=UniformConfig)
    loss: GMMFormerV2Loss = field(default_factory=GMMFormerV2Loss)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    batch_videos: int = 128


def qvhighlights() -> Recipe:
    """GMMFormer v2 on QVHighlights: SlowFast and CLIP-B frames side by side, CLIP-B words."""
    settings = GMMFormerV2Settings(model=replace(_clip_model(0.31, 0.6), video_width=2816, text_width=512))
    return recipe("prvr.methods.gmmformer_v2.runs:qvhighlights", "GMMFormer v2", settings)


def tvr() -> Recipe:
    """GMMFormer v2 on TVR: CLIP-L/14 frames and words."""
    settings = GMMFormerV2Settings(
        model=_clip_model(0.2, 0.09),
        loss=GMMFormerV2Loss(
            nce_clip=0.05, nce_frame=0.04, margin=0.1, diversity=8e-5, diversity_margin=0.15, matching=0.09
        ),
        optim=OptimConfig(lr=3e-4),
    )
    return recipe("prvr.methods.gmmformer_v2.runs:tvr", "GMMFormer v2", settings)


def activitynet() -> Recipe:
    """GMMFormer v2 on ActivityNet Captions: CLIP-L/14 frames and words."""
    settings = GMMFormerV2Settings(model=_clip_model(0.31, 0.6))
    return recipe("prvr.methods.gmmformer_v2.runs:activitynet", "GMMFormer v2", settings)


def charades() -> Recipe:
    """GMMFormer v2 on Charades-STA: CLIP-L/14 frames and words."""
    settings = GMMFormerV2Settings(
        model=_clip_model(0.25, 0.6), loss=GMMFormerV2Loss(matching=0.1), optim=OptimConfig(lr=2e-4)
    )
    return recipe("prvr.methods.gmmformer_v2.runs:charades", "GMMFormer v2", settings)


def tvr_i3d() -> Recipe:
    """TVR with ResNet and I3D frames side by side and RoBERTa words."""
    return on_i3d(tvr(), video_width=3072, text_width=768)


def activitynet_i3d() -> Recipe:
    """ActivityNet Captions with I3D frames and RoBERTa words."""
    return on_i3d(activitynet(), video_width=1024, text_width=1024)


def charades_i3d() -> Recipe:
    """Charades-STA with I3D frames and RoBERTa words."""
    return on_i3d(charades(), video_width=1024, text_width=1024)


def world() -> Recipe:
    """GMMFormer v2 on the generated world: a small network."""
    settings = GMMFormerV2Settings(
        model=GMMFormerV2Config(video_width=128, text_width=128, hidden=96, max_words=32),
        loss=GMMFormerV2Loss(hard_from_epoch=2),
    )
    return recipe("prvr.methods.gmmformer_v2.runs:world", "GMMFormer v2", on_world(settings))


def recipe(target: str, title: str, settings: GMMFormerV2Settings) -> Recipe:
    """Any GMMFormer v2 settings as a Recipe; `target` is the function that makes it."""
    return trained(
        target,
        title,
        settings,
        GMMFormerV2,
        objective,
        undecayed=undecayed,
        stacked=stack_depth,
        official=OFFICIAL,
    )


def objective(settings: GMMFormerV2Settings) -> Objective:
    """The terms whose weight is not 0, by the names that the log shows."""
    loss = settings.loss

    def diversity(outputs: Outputs, batch: Batch, _: int) -> Tensor:
        return focal_diversity(
            outputs.query,
            batch.video_of_query,
            margin=loss.diversity_margin,
            scale=loss.diversity_scale,
            power=loss.diversity_power,
        ).mean()

    def matching(outputs: Outputs, batch: Batch, _: int) -> Tensor:
        """Over all matched pairs of the batch; where no video has several captions there is nothing to match."""
        video = outputs.video
        far, matched = optimal_matching(outputs.query, video.clips, video.clip_valid, batch.video_of_query)
        return far.sum() / matched.sum().clamp(min=1)

    return weighted(retrieval_terms(loss) | {"diversity": diversity, "matching": matching}, loss)


def _clip_model(dropout: float, sft_factor: float) -> GMMFormerV2Config:
    return GMMFormerV2Config(
        video_width=768, text_width=768, max_words=77, input_dropout=dropout, dropout=dropout, sft_factor=sft_factor
    )
