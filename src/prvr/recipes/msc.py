"""MSC (NeurIPS 2025) and its ablation rows, on the generated world.

The paper's four benchmarks follow the same pattern with the published settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, FeatureSpec, Outputs, VideoBatch, VideoFeatures
from prvr.models.msc import MSC, MSCConfig
from prvr.models.msc_official import stack_depth, undecayed
from prvr.nn.prepare import PrepareConfig, cat_videos, prepare_video
from prvr.objectives.cbva import cbva
from prvr.objectives.nce import query_nce, video_nce
from prvr.objectives.objective import Objective, Term
from prvr.objectives.tcpl import tcpl_angle, tcpl_distance
from prvr.objectives.triplet import query_triplet, video_triplet
from prvr.recipes.recipe import Recipe
from prvr.training.bert_adam import BertAdam, decay_groups
from prvr.training.loop import TrainConfig


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the terms (sheet: MSC total loss) and the settings that they read. A weight of 0 leaves a term out."""

    nce_clip: float = 0.02
    nce_frame: float = 0.04
    margin: float = 0.2  # of the triplet terms, in cosine
    hard_from_epoch: int = 20  # random negatives before, hard ones from here on
    hard_pool: int = 20  # hardest videos among which a query's negative is drawn
    tcpl_distance: float = 15.0  # λ_E
    tcpl_angle: float = 30.0  # λ_A
    cbva: float = 0.1  # λ_CBVA

    def __post_init__(self) -> None:
        for name in ("nce_clip", "nce_frame", "tcpl_distance", "tcpl_angle", "cbva", "margin"):
            if getattr(self, name) < 0:
                raise ConfigError(f"loss.{name}={getattr(self, name)}: must not be negative")


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """BertAdam, as the authors use it."""

    lr: float = 2.5e-4
    warmup: float = 0.01  # share of all steps
    schedule_epochs: int = 100  # the rate falls to 0 over so many epochs
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ConfigError(f"optim.lr={self.lr}: must be positive")


@dataclass(frozen=True, kw_only=True)
class MSCSettings:
    """All of a run."""

    model: MSCConfig
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    batch_videos: int = 128


def world() -> Recipe:
    """MSC on the generated world, all terms: a small network and few epochs, for two cores.

    Loss weights are the published ones; hard negatives begin after the same share of all epochs.
    """
    model = MSCConfig(video_width=128, text_width=128, hidden=96, heads=4, max_words=32)
    settings = MSCSettings(
        model=model,
        loss=LossConfig(hard_from_epoch=2),
        optim=OptimConfig(lr=1e-3, schedule_epochs=11),
        train=TrainConfig(epochs=9, patience=9, seed=0),
        batch_videos=32,
    )
    return recipe("prvr.recipes.msc:world", "+ TCPL + CBVA", settings)


def world_tcpl() -> Recipe:
    """The same without CBVA: row (b) of the paper's Table 1."""
    full = world().settings
    return recipe("prvr.recipes.msc:world_tcpl", "+ TCPL", replace(full, loss=replace(full.loss, cbva=0.0)))


def world_baseline() -> Recipe:
    """The same network with the retrieval loss alone: row (a)."""
    full = world().settings
    loss = replace(full.loss, cbva=0.0, tcpl_distance=0.0, tcpl_angle=0.0)
    return recipe("prvr.recipes.msc:world_baseline", "baseline", replace(full, loss=loss))


def recipe(target: str, title: str, settings: MSCSettings) -> Recipe:
    """Any MSC settings as a Recipe; `target` is the function that makes it."""
    return Recipe(
        target=target,
        title=title,
        settings=settings,
        fit=_fit,
        width=_width,
        prepare=_prepare,
        build=_build,
        objective=objective,
        optimizer=_optimizer,
    )


def _fit(settings: MSCSettings, features: FeatureSpec) -> None:
    for name in ("video_width", "text_width"):
        if getattr(settings.model, name) != getattr(features, name):
            raise ConfigError(
                f"features are {getattr(features, name)} wide ({features.name}), but the model expects "
                f"{getattr(settings.model, name)}; add `--set model.{name}={getattr(features, name)}`"
            )


def _width(settings: MSCSettings, _: FeatureSpec) -> int:
    return settings.model.hidden


def _prepare(settings: MSCSettings, videos: Sequence[VideoFeatures]) -> VideoBatch:
    return cat_videos([prepare_video(video, settings.prepare) for video in videos])


def _build(settings: MSCSettings) -> nn.Module:
    torch.manual_seed(settings.train.seed)
    return MSC(settings.model)


def objective(settings: MSCSettings) -> Objective:
    """The terms whose weight is not 0, by the names that the log shows."""
    loss = settings.loss

    def nce(scores: Tensor, batch: Batch) -> Tensor:
        return query_nce(scores, batch.video_of_query).mean() + video_nce(scores, batch.video_of_query).mean()

    def triplet(scores: Tensor, batch: Batch, epoch: int) -> Tensor:
        hard, truth = epoch >= loss.hard_from_epoch, batch.video_of_query
        by_query = query_triplet(scores, truth, margin=loss.margin, pool=loss.hard_pool if hard else None)
        by_video = video_triplet(scores, truth, margin=loss.margin, pool=1 if hard else None)
        return by_query.mean() + by_video.mean()

    def aligned(outputs: Outputs, videos: VideoBatch) -> Tensor:
        return cbva(
            outputs.aligned_frames,
            outputs.aligned_clips,
            slot=videos.slot,
            segment=videos.segment,
            clip_size=videos.clip_size,
            frame_valid=videos.frame_valid,
        ).mean()

    terms: dict[str, Term] = {
        "nce_clip": lambda outputs, batch, _: nce(outputs.dot.clip, batch),
        "nce_frame": lambda outputs, batch, _: nce(outputs.dot.frame, batch),
        "triplet_clip": lambda outputs, batch, epoch: triplet(outputs.cosine.clip, batch, epoch),
        "triplet_frame": lambda outputs, batch, epoch: triplet(outputs.cosine.frame, batch, epoch),
        "tcpl_distance": lambda outputs, batch, _: tcpl_distance(outputs.query, batch.queries.sentence).mean(),
        "tcpl_angle": lambda outputs, batch, _: tcpl_angle(outputs.query, batch.queries.sentence).mean(),
        "cbva": lambda outputs, batch, _: aligned(outputs, batch.videos),
    }
    weights = {name: getattr(loss, name, 1.0) for name in terms}  # the triplets have no weight of their own
    used = {name: weight for name, weight in weights.items() if weight}
    return Objective(terms={name: terms[name] for name in used}, weights=used)


def _optimizer(settings: MSCSettings, model: nn.Module, steps_an_epoch: int) -> Optimizer:
    return BertAdam(
        decay_groups(model.named_parameters(), settings.optim.weight_decay, undecayed=undecayed, stacked=stack_depth),
        lr=settings.optim.lr,
        total_steps=settings.optim.schedule_epochs * steps_an_epoch,
        warmup=settings.optim.warmup,
    )
