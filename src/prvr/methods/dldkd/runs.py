"""DL-DKD (ICCV 2023) and DL-DKD++: their benchmarks, on CLIP-L/14 features and on the authors' own.

The authors' student reads I3D and RoBERTa and learns from CLIP-B/32: `tvr_i3d()` and the others, with the features of
an image-text encoder given as the teacher's (`--teacher`). Where none is given, what the student reads teaches it too:
the frozen encoder's own frames and sentences, in their common space. Features without such a space have no teacher to
offer, and training without one is a setting (`loss.distill=0`, hard labels).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, FeatureSpec, Outputs, Teacher, VideoBatch, VideoFeatures
from prvr.methods.dldkd.distillation import frame_distillation, own_cosines, soft_nce
from prvr.methods.dldkd.fade import exponential_fade, linear_fade, sigmoid_fade, soft_label_fade
from prvr.methods.dldkd.network import DLDKD, OFFICIAL, OFFICIAL_PLUS, DLDKDConfig
from prvr.methods.family import (
    OptimConfig,
    RetrievalLoss,
    bert_adam,
    check_widths,
    on_i3d,
    retrieval_terms,
    weighted,
)
from prvr.methods.needs import check_teacher
from prvr.methods.official import stack_depth, undecayed
from prvr.methods.recipe import Recipe
from prvr.parts.objective import Objective
from prvr.parts.scoring import best_token
from prvr.parts.uniform import UniformConfig, prepare_frames
from prvr.parts.videos import cat_videos
from prvr.training.loop import TrainConfig

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
        if self.distill < 0:
            raise ConfigError(f"loss.distill={self.distill}: must not be negative")
        for name in ("temperature", "teacher_scale"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"loss.{name}={getattr(self, name)}: must be positive")


@dataclass(frozen=True, kw_only=True)
class DLDKDSettings:
    """All of a run."""

    model: DLDKDConfig
    prepare: UniformConfig = field(default_factory=UniformConfig)
    loss: DLDKDLoss = field(default_factory=DLDKDLoss)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=lambda: TrainConfig(seed=2018))
    batch_videos: int = 128


def tvr() -> Recipe:
    """DL-DKD on TVR."""
    settings = DLDKDSettings(model=_model(0.1), loss=DLDKDLoss(margin=0.1))
    return recipe("prvr.methods.dldkd.runs:tvr", "DL-DKD", settings)


def activitynet() -> Recipe:
    """DL-DKD on ActivityNet Captions."""
    return recipe("prvr.methods.dldkd.runs:activitynet", "DL-DKD", DLDKDSettings(model=_model(0.1)))


def tvr_plus() -> Recipe:
    """DL-DKD++ on TVR."""
    return recipe("prvr.methods.dldkd.runs:tvr_plus", "DL-DKD++", _plus(dropout=0.2, margin=0.1, lr=3e-4))


def activitynet_plus() -> Recipe:
    """DL-DKD++ on ActivityNet Captions."""
    return recipe("prvr.methods.dldkd.runs:activitynet_plus", "DL-DKD++", _plus(dropout=0.25, margin=0.2, lr=2.5e-4))


def charades_plus() -> Recipe:
    """DL-DKD++ on Charades-STA."""
    return recipe("prvr.methods.dldkd.runs:charades_plus", "DL-DKD++", _plus(dropout=0.15, margin=0.2, lr=2.4e-4))


def tvr_i3d() -> Recipe:
    """DL-DKD on TVR with ResNet and I3D frames side by side and RoBERTa words; needs a teacher."""
    return on_i3d(tvr(), video_width=3072, text_width=768)


def activitynet_i3d() -> Recipe:
    """DL-DKD on ActivityNet Captions with I3D frames and RoBERTa words; needs a teacher."""
    return on_i3d(activitynet(), video_width=1024, text_width=1024)


def tvr_plus_i3d() -> Recipe:
    """DL-DKD++ on TVR with ResNet and I3D frames side by side and RoBERTa words; needs a teacher."""
    return on_i3d(tvr_plus(), video_width=3072, text_width=768)


def activitynet_plus_i3d() -> Recipe:
    """DL-DKD++ on ActivityNet Captions with I3D frames and RoBERTa words; needs a teacher."""
    return on_i3d(activitynet_plus(), video_width=1024, text_width=1024)


def charades_plus_i3d() -> Recipe:
    """DL-DKD++ on Charades-STA with I3D frames and RoBERTa words; needs a teacher."""
    return on_i3d(charades_plus(), video_width=1024, text_width=1024)


def world() -> Recipe:
    """DL-DKD on the generated world: a small network and few epochs, for two cores."""
    settings = DLDKDSettings(
        model=DLDKDConfig(video_width=128, text_width=128, hidden=96, max_words=32),
        loss=DLDKDLoss(),
        optim=OptimConfig(lr=1e-3, schedule_epochs=11),
        train=TrainConfig(epochs=9, patience=9, seed=0),
        batch_videos=32,
    )
    return recipe("prvr.methods.dldkd.runs:world", "DL-DKD", settings)


def recipe(target: str, title: str, settings: DLDKDSettings) -> Recipe:
    """Any DL-DKD settings as a Recipe; `target` is the function that makes it."""
    return Recipe(
        target=target,
        title=title,
        settings=settings,
        fit=check_widths,
        width=_width,
        prepare=_prepare,
        build=_build,
        objective=objective,
        optimizer=_optimizer,
        trainable=_trainable,
        official=OFFICIAL if settings.model.shared_words else OFFICIAL_PLUS,
    )


def teacher_of(batch: Batch, scale: float) -> Teacher:
    """The teacher of a batch; without one, what the student reads, its sentences `scale` long."""
    return batch.teacher or Teacher(frames=batch.videos.frames, sentence=batch.queries.sentence * scale)


def objective(settings: DLDKDSettings) -> Objective:
    """The terms whose weight is not 0, by the names that the log shows."""
    loss = settings.loss

    def distill(outputs: Outputs, batch: Batch, epoch: int) -> Tensor:
        own, seen = batch.video_of_query, teacher_of(batch, 1.0)
        theirs = own_cosines(seen.sentence, seen.frames, own)
        ours = own_cosines(outputs.query.chunk(2, dim=-1)[0], outputs.video.frames, own)
        valid = outputs.video.frame_valid[own]
        return FADES[loss.fade](epoch) * frame_distillation(ours, theirs, valid, temperature=loss.temperature).sum()

    def soft_frame(outputs: Outputs, batch: Batch, epoch: int) -> Tensor:
        """The inheritance branch takes its soft labels from the teacher."""
        seen, share_and_trust = teacher_of(batch, loss.teacher_scale), soft_label_fade(epoch)
        targets = best_token(seen.sentence, seen.frames, outputs.video.frame_valid)[0]
        return _soft(outputs.dot.frame, targets, batch, *share_and_trust)

    def soft_clip(outputs: Outputs, batch: Batch, epoch: int) -> Tensor:
        """The exploration branch takes its soft labels from itself."""
        scores = outputs.dot.clip
        targets = scores if loss.self_targets == "live" else scores.detach()
        return _soft(scores, targets, batch, *soft_label_fade(epoch))

    terms = retrieval_terms(loss) | {"distill": distill}
    if loss.labels == "soft":
        terms |= {"nce_frame": soft_frame, "nce_clip": soft_clip}
    return weighted(terms, loss)


def _soft(scores: Tensor, targets: Tensor, batch: Batch, share: float, trust: float) -> Tensor:
    return soft_nce(scores, targets, batch.video_of_query, share=share, trust=trust)


def _model(dropout: float, *, shared_words: bool = True) -> DLDKDConfig:
    return DLDKDConfig(
        video_width=768,
        text_width=768,
        max_words=77,
        input_dropout=dropout,
        dropout=dropout,
        shared_words=shared_words,
    )


def _plus(*, dropout: float, margin: float, lr: float) -> DLDKDSettings:
    return DLDKDSettings(
        model=_model(dropout, shared_words=False),
        loss=DLDKDLoss(margin=margin, labels="soft"),
        optim=OptimConfig(lr=lr, schedule_epochs=120),
        train=TrainConfig(epochs=120),
    )


def _trainable(settings: DLDKDSettings, features: FeatureSpec) -> None:
    if settings.loss.distill > 0 or settings.loss.labels == "soft":
        check_teacher(features)


def _width(settings: DLDKDSettings, _: FeatureSpec) -> int:
    return 2 * settings.model.hidden


def _prepare(settings: DLDKDSettings, videos: Sequence[VideoFeatures]) -> VideoBatch:
    return cat_videos([prepare_frames(video, settings.prepare) for video in videos])


def _build(settings: DLDKDSettings) -> nn.Module:
    torch.manual_seed(settings.train.seed)
    return DLDKD(settings.model)


def _optimizer(settings: DLDKDSettings, model: nn.Module, steps_an_epoch: int) -> Optimizer:
    return bert_adam(settings.optim, model, steps_an_epoch, undecayed=undecayed, stacked=stack_depth)
