"""AMDNet (TMM 2025): its benchmarks, with the features of the MSC paper's tables and with the authors' own.

`tvr()` and the others read CLIP-L/14, `tvr_clip_b()` and the others CLIP-B/32, which the authors released it with;
nothing else differs. For QVHighlights no settings were published: they are those of ActivityNet Captions.

It reads one sentence vector a query, of the space of a CLIP-type encoder. Features whose words come from another model
(RoBERTa) have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, Outputs, VideoBatch, VideoFeatures
from prvr.methods.amdnet.loss import mask_diversity, moment_relevance
from prvr.methods.amdnet.network import OFFICIAL, AMDNet, AMDNetConfig, AMDOutputs, prepare_means, undecayed
from prvr.methods.family import OptimConfig, nce_term, trained, weighted
from prvr.methods.needs import check_sentences
from prvr.methods.recipe import Recipe
from prvr.parts.objective import Objective
from prvr.parts.videos import cat_videos
from prvr.training.loop import TrainConfig


@dataclass(frozen=True, kw_only=True)
class MeansConfig:
    """How a video is cut."""

    frames: int = 32  # means of equal stretches; frames repeat where there are fewer

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ConfigError(f"prepare.frames={self.frames}: must be at least 1")


@dataclass(frozen=True, kw_only=True)
class AMDNetLoss:
    """Weights of the terms and what they read; a weight of 0 leaves a term out."""

    nce: float = 0.02
    diversity: float = 1.0
    diversity_diagonal: float = 0.15  # λ, the wanted sum of squares of a window; 0.15: about half of the video
    relevance: float = 25.0
    relevance_margin: float = 0.02  # δ

    def __post_init__(self) -> None:
        for name in ("nce", "diversity", "diversity_diagonal", "relevance", "relevance_margin"):
            if getattr(self, name) < 0:
                raise ConfigError(f"loss.{name}={getattr(self, name)}: must not be negative")


@dataclass(frozen=True, kw_only=True)
class AMDNetSettings:
    """All of a run."""

    model: AMDNetConfig
    prepare: MeansConfig = field(default_factory=MeansConfig)
    loss: AMDNetLoss = field(default_factory=AMDNetLoss)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=lambda: TrainConfig(patience=15, seed=3407))
    batch_videos: int = 128


def qvhighlights() -> Recipe:
    """AMDNet on QVHighlights: SlowFast and CLIP-B frames side by side, CLIP-B sentences."""
    model = AMDNetConfig(video_width=2816, text_width=512, hidden=256)
    return recipe("prvr.methods.amdnet.runs:qvhighlights", "AMDNet", AMDNetSettings(model=model))


def tvr() -> Recipe:
    """AMDNet on TVR: CLIP-L/14 frames and sentences."""
    settings = AMDNetSettings(
        model=AMDNetConfig(video_width=768, text_width=768),
        loss=AMDNetLoss(nce=0.04),
        optim=OptimConfig(lr=3e-4, schedule_epochs=200),
        train=TrainConfig(epochs=200, patience=15, seed=9527),
    )
    return recipe("prvr.methods.amdnet.runs:tvr", "AMDNet", settings)


def activitynet() -> Recipe:
    """AMDNet on ActivityNet Captions: CLIP-L/14 frames and sentences."""
    model = AMDNetConfig(video_width=768, text_width=768, hidden=256)
    return recipe("prvr.methods.amdnet.runs:activitynet", "AMDNet", AMDNetSettings(model=model))


def charades() -> Recipe:
    """AMDNet on Charades-STA: CLIP-L/14 frames and sentences."""
    settings = AMDNetSettings(
        model=AMDNetConfig(video_width=768, text_width=768, hidden=256, input_dropout=0.15, dropout=0.15),
        train=TrainConfig(patience=10, seed=3407),
    )
    return recipe("prvr.methods.amdnet.runs:charades", "AMDNet", settings)


def tvr_clip_b() -> Recipe:
    """TVR with CLIP-B/32 frames and sentences."""
    return _with_clip_b(tvr())


def activitynet_clip_b() -> Recipe:
    """ActivityNet Captions with CLIP-B/32 frames and sentences."""
    return _with_clip_b(activitynet())


def charades_clip_b() -> Recipe:
    """Charades-STA with CLIP-B/32 frames and sentences."""
    return _with_clip_b(charades())


def recipe(target: str, title: str, settings: AMDNetSettings) -> Recipe:
    """Any AMDNet settings as a Recipe; `target` is the function that makes it."""
    return trained(
        target,
        title,
        settings,
        AMDNet,
        objective,
        fit=check_sentences,
        prepare=_prepare,
        undecayed=undecayed,
        official=OFFICIAL,
    )


def objective(settings: AMDNetSettings) -> Objective:
    """The terms whose weight is not 0, by the names that the log shows."""
    loss = settings.loss

    def diversity(outputs: Outputs, _: Batch, __: int) -> Tensor:
        return mask_diversity(cast(AMDOutputs, outputs).masks, diagonal=loss.diversity_diagonal).mean()

    def relevance(outputs: Outputs, batch: Batch, _: int) -> Tensor:
        seen, truth = cast(AMDOutputs, outputs), batch.video_of_query
        return moment_relevance(seen.query, seen.whole, seen.moments, truth, margin=loss.relevance_margin).mean()

    return weighted({"nce": partial(nce_term, "frame"), "diversity": diversity, "relevance": relevance}, loss)


def _with_clip_b(clip_l: Recipe) -> Recipe:
    model = replace(clip_l.settings.model, video_width=512, text_width=512)
    return recipe(f"{clip_l.target}_clip_b", f"{clip_l.title}, CLIP-B/32", replace(clip_l.settings, model=model))


def _prepare(settings: AMDNetSettings, videos: Sequence[VideoFeatures]) -> VideoBatch:
    return cat_videos([prepare_means(video, settings.prepare.frames) for video in videos])
