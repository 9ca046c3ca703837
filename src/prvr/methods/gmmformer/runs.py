"""GMMFormer (AAAI 2024): its benchmarks, with the features of the MSC paper's tables and with the authors' own.

`tvr()` and the others read CLIP-L/14, `tvr_i3d()` and the others what the authors released it with; nothing else
differs. For QVHighlights no settings were published: they are those of ActivityNet Captions, as MSC chose for itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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
from prvr.methods.gmmformer.network import OFFICIAL, GMMFormer, GMMFormerConfig
from prvr.methods.recipe import Recipe
from prvr.parts.diversity import query_diversity
from prvr.parts.objective import Objective
from prvr.parts.uniform import UniformConfig
from prvr.training.loop import TrainConfig

NEVER = 100
"""An epoch that no run reaches."""


@dataclass(frozen=True, kw_only=True)
class GMMFormerLoss(RetrievalLoss):
    """The retrieval loss, and the diversity of a video's queries."""

    diversity: float = 0.015  # λ
    diversity_margin: float = 0.2  # δ
    diversity_scale: float = 32.0  # α

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.diversity < 0:
            raise ConfigError(f"loss.diversity={self.diversity}: must not be negative")


@dataclass(frozen=True, kw_only=True)
class GMMFormerSettings:
    """All of a run."""

    model: GMMFormerConfig
    prepare: UniformConfig = field(default_factory=UniformConfig)
    loss: GMMFormerLoss = field(default_factory=GMMFormerLoss)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    batch_videos: int = 128


def qvhighlights() -> Recipe:
    """GMMFormer on QVHighlights: SlowFast and CLIP-B frames side by side, one every 2 s, CLIP-B words."""
    model = GMMFormerConfig(video_width=2816, text_width=512, max_words=77, gaussian_length=75)
    settings = GMMFormerSettings(model=model, prepare=UniformConfig(frames=75))  # 150 s, which no video exceeds
    return recipe("prvr.methods.gmmformer.runs:qvhighlights", "GMMFormer", settings)


def tvr() -> Recipe:
    """GMMFormer on TVR: CLIP-L/14 frames and words."""
    settings = GMMFormerSettings(
        model=GMMFormerConfig(video_width=768, text_width=768, max_words=77),
        loss=GMMFormerLoss(
            nce_clip=0.05, nce_frame=0.04, margin=0.1, hard_from_epoch=30, diversity=0.001, diversity_margin=0.15
        ),
        optim=OptimConfig(lr=3e-4),
    )
    return recipe("prvr.methods.gmmformer.runs:tvr", "GMMFormer", settings)


def activitynet() -> Recipe:
    """GMMFormer on ActivityNet Captions: CLIP-L/14 frames and words."""
    settings = GMMFormerSettings(model=GMMFormerConfig(video_width=768, text_width=768, max_words=77))
    return recipe("prvr.methods.gmmformer.runs:activitynet", "GMMFormer", settings)


def charades() -> Recipe:
    """GMMFormer on Charades-STA: CLIP-L/14 frames and words."""
    settings = GMMFormerSettings(
        model=GMMFormerConfig(video_width=768, text_width=768, max_words=77, input_dropout=0.15, dropout=0.15),
        loss=GMMFormerLoss(
            nce_clip=0.02, nce_frame=0.02, hard_from_epoch=NEVER, diversity=0.005, diversity_margin=0.15
        ),
    )
    return recipe("prvr.methods.gmmformer.runs:charades", "GMMFormer", settings)


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
    """GMMFormer on the generated world: a small network."""
    settings = GMMFormerSettings(
        model=GMMFormerConfig(video_width=128, text_width=128, hidden=96, max_words=32),
        loss=GMMFormerLoss(hard_from_epoch=2),
    )
    return recipe("prvr.methods.gmmformer.runs:world", "GMMFormer", on_world(settings))


def recipe(target: str, title: str, settings: GMMFormerSettings) -> Recipe:
    """Any GMMFormer settings as a Recipe; `target` is the function that makes it."""
    return trained(target, title, settings, GMMFormer, objective, official=OFFICIAL)


def objective(settings: GMMFormerSettings) -> Objective:
    """The terms whose weight is not 0, by the names that the log shows."""
    loss = settings.loss

    def diversity(outputs: Outputs, batch: Batch, _: int) -> Tensor:
        margin, scale = loss.diversity_margin, loss.diversity_scale
        return query_diversity(outputs.query, batch.video_of_query, margin=margin, scale=scale).mean()

    return weighted(retrieval_terms(loss) | {"diversity": diversity}, loss)
