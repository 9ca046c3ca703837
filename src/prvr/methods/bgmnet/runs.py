"""BGM-Net (TOMM 2024): its benchmarks, with the features of the MSC paper's tables and with the authors' own.

`tvr()` and the others read CLIP-L/14, `tvr_i3d()` and the others what the authors released it with; nothing else
differs. For QVHighlights no settings were published: they are those of ActivityNet Captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, FeatureSpec, Outputs, VideoBatch, VideoFeatures
from prvr.methods.bgmnet.network import OFFICIAL, BGMNet, BGMNetConfig, prepare_interpolated
from prvr.methods.family import OptimConfig, RetrievalLoss, check_widths, on_i3d, trained
from prvr.methods.mssl import runs as mssl
from prvr.methods.mssl.anchoring import AnchoredOutputs, alignment, anchored
from prvr.methods.recipe import Recipe
from prvr.parts.objective import Objective
from prvr.parts.uniform import UniformConfig
from prvr.parts.videos import cat_videos
from prvr.training.bert_adam import warmup_cosine
from prvr.training.loop import Objective as Learned
from prvr.training.loop import TrainConfig


@dataclass(frozen=True, kw_only=True)
class BGMNetLoss(RetrievalLoss):
    """MS-SL's loss, with matched moments from some epoch on, and the alignment of queries and moments."""

    align: float = 1.0
    match_from_epoch: int = 20  # each query takes the moment it likes best before, queries share them out from here on

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("align", "match_from_epoch"):
            if getattr(self, name) < 0:
                raise ConfigError(f"loss.{name}={getattr(self, name)}: must not be negative")


@dataclass(frozen=True, kw_only=True)
class BGMNetSettings:
    """All of a run."""

    model: BGMNetConfig
    prepare: UniformConfig = field(default_factory=lambda: UniformConfig(clips=48))
    loss: BGMNetLoss = field(default_factory=BGMNetLoss)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=lambda: TrainConfig(seed=2018))
    batch_videos: int = 128


def qvhighlights() -> Recipe:
    """BGM-Net on QVHighlights: SlowFast and CLIP-B frames side by side, CLIP-B words."""
    model = BGMNetConfig(video_width=2816, text_width=512, max_words=77, clips=48)
    return recipe("prvr.methods.bgmnet.runs:qvhighlights", "BGM-Net", BGMNetSettings(model=model))


def tvr() -> Recipe:
    """BGM-Net on TVR: CLIP-L/14 frames and words."""
    settings = BGMNetSettings(
        model=BGMNetConfig(video_width=768, text_width=768, max_words=77),
        prepare=UniformConfig(),
        loss=BGMNetLoss(margin=0.1, match_from_epoch=0),
    )
    return recipe("prvr.methods.bgmnet.runs:tvr", "BGM-Net", settings)


def activitynet() -> Recipe:
    """BGM-Net on ActivityNet Captions: CLIP-L/14 frames and words."""
    model = BGMNetConfig(video_width=768, text_width=768, max_words=77, clips=48)
    return recipe("prvr.methods.bgmnet.runs:activitynet", "BGM-Net", BGMNetSettings(model=model))


def charades() -> Recipe:
    """BGM-Net on Charades-STA: CLIP-L/14 frames and words."""
    settings = BGMNetSettings(
        model=BGMNetConfig(video_width=768, text_width=768, max_words=77, clips=48, clip_weight=0.6),
        loss=BGMNetLoss(match_from_epoch=5),
        batch_videos=16,
    )
    return recipe("prvr.methods.bgmnet.runs:charades", "BGM-Net", settings)


def tvr_i3d() -> Recipe:
    """TVR with ResNet and I3D frames side by side and RoBERTa words."""
    return on_i3d(tvr(), video_width=3072, text_width=768)


def activitynet_i3d() -> Recipe:
    """ActivityNet Captions with I3D frames and RoBERTa words."""
    return on_i3d(activitynet(), video_width=1024, text_width=1024)


def charades_i3d() -> Recipe:
    """Charades-STA with I3D frames and RoBERTa words."""
    return on_i3d(charades(), video_width=1024, text_width=1024)


def recipe(target: str, title: str, settings: BGMNetSettings) -> Recipe:
    """Any BGM-Net settings as a Recipe; `target` is the function that makes it."""
    return trained(
        target,
        title,
        settings,
        BGMNet,
        objective,
        fit=_fit,
        prepare=_prepare,
        schedule=warmup_cosine,
        official=OFFICIAL,
    )


def objective(settings: BGMNetSettings) -> Learned:
    """The queries find their moments, then MS-SL's terms and the alignment, by the names that the log shows."""
    loss = settings.loss
    shared = mssl.objective(mssl.MSSLSettings(model=settings.model, loss=loss))

    def align(outputs: Outputs, _: Batch, __: int) -> Tensor:
        return alignment(outputs.query, cast(AnchoredOutputs, outputs).anchors).mean()

    terms, weights = dict(shared.terms), dict(shared.weights)
    if loss.align:
        terms["align"], weights["align"] = align, loss.align
    judged = Objective(terms=terms, weights=weights)

    def learned(outputs: Outputs, batch: Batch, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        matching = epoch >= loss.match_from_epoch
        return judged(anchored(outputs, batch.video_of_query, matching=matching), batch, epoch)

    return learned


def _fit(settings: BGMNetSettings, features: FeatureSpec) -> None:
    check_widths(settings, features)
    if settings.model.clips < settings.prepare.clips:
        raise ConfigError(
            f"prepare.clips={settings.prepare.clips}, but model.clips={settings.model.clips}; "
            f"add `--set model.clips={settings.prepare.clips}`"
        )


def _prepare(settings: BGMNetSettings, videos: Sequence[VideoFeatures]) -> VideoBatch:
    return cat_videos([prepare_interpolated(video, settings.prepare) for video in videos])
