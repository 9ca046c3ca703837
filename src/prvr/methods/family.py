"""What the recipes of several systems share: the loss of two branches, the optimiser, and how features must be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, FeatureSpec, Outputs, VideoBatch, VideoFeatures
from prvr.methods.official import Official, stack_depth, undecayed
from prvr.methods.recipe import Recipe
from prvr.parts.nce import query_nce, video_nce
from prvr.parts.objective import Objective, Term
from prvr.parts.triplet import query_triplet, video_triplet
from prvr.parts.uniform import prepare_frames, prepare_uniform
from prvr.parts.videos import cat_videos
from prvr.training.bert_adam import BertAdam, Schedule, decay_groups, warmup_linear
from prvr.training.loop import Objective as Learned
from prvr.training.loop import TrainConfig

Branch = Literal["frame", "clip"]


@dataclass(frozen=True, kw_only=True)
class RetrievalLoss:
    """InfoNCE on dot products and triplets on cosines, in both branches; a weight of 0 leaves a term out."""

    nce_clip: float = 0.02
    nce_frame: float = 0.04
    margin: float = 0.2  # of the triplet terms, in cosine
    hard_from_epoch: int = 20  # random negatives before, hard ones from here on
    hard_pool: int = 20  # hardest videos among which a query's negative is drawn

    def __post_init__(self) -> None:
        for name in ("nce_clip", "nce_frame", "margin", "hard_from_epoch"):
            if getattr(self, name) < 0:
                raise ConfigError(f"loss.{name}={getattr(self, name)}: must not be negative")
        if self.hard_pool < 1:
            raise ConfigError(f"loss.hard_pool={self.hard_pool}: must be at least 1")


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


def retrieval_terms(loss: RetrievalLoss) -> dict[str, Term]:
    """Terms of both branches by the names that the log shows."""
    return {
        "nce_clip": partial(nce_term, "clip"),
        "nce_frame": partial(nce_term, "frame"),
        "triplet_clip": partial(triplet_term, loss, "clip"),
        "triplet_frame": partial(triplet_term, loss, "frame"),
    }


def nce_term(branch: Branch, outputs: Outputs, batch: Batch, _: int) -> Tensor:
    """InfoNCE of one branch, both ways."""
    scores: Tensor = getattr(outputs.dot, branch)
    return query_nce(scores, batch.video_of_query).mean() + video_nce(scores, batch.video_of_query).mean()


def triplet_term(loss: RetrievalLoss, branch: Branch, outputs: Outputs, batch: Batch, epoch: int) -> Tensor:
    """The triplet loss of one branch, both ways: a video's hard negative is the hardest, a query's one of the pool."""
    scores: Tensor = getattr(outputs.cosine, branch)
    hard, truth = epoch >= loss.hard_from_epoch, batch.video_of_query
    by_query = query_triplet(scores, truth, margin=loss.margin, pool=loss.hard_pool if hard else None)
    by_video = video_triplet(scores, truth, margin=loss.margin, pool=1 if hard else None)
    return by_query.mean() + by_video.mean()


def weighted(terms: Mapping[str, Term], loss: object) -> Objective:
    """Each term with the weight that `loss` has under its name, 1 where it has none; weights of 0 are left out."""
    weights = {name: float(getattr(loss, name, 1.0)) for name in terms}
    used = {name: weight for name, weight in weights.items() if weight}
    return Objective(terms={name: terms[name] for name in used}, weights=used)


def check_widths(settings: Any, features: FeatureSpec) -> None:
    """Raises ConfigError unless the network that `settings.model` describes reads features of this width."""
    for name, kind in (("video_width", "frames"), ("text_width", "words")):
        found, expected = getattr(features, name), getattr(settings.model, name)
        if found != expected:
            raise ConfigError(
                f"{kind} of {features.name} are {found} wide, but the model expects {expected}; "
                f"add `--set model.{name}={found}`"
            )


def bert_adam(
    optim: OptimConfig,
    model: nn.Module,
    steps_an_epoch: int,
    *,
    undecayed: Callable[[str], bool],
    stacked: Callable[[str], int],
    schedule: Schedule = warmup_linear,
) -> Optimizer:
    """The optimiser of all of them; the rules say which parameters do not decay, and which are stacks."""
    return BertAdam(
        decay_groups(model.named_parameters(), optim.weight_decay, undecayed=undecayed, stacked=stacked),
        lr=optim.lr,
        total_steps=optim.schedule_epochs * steps_an_epoch,
        warmup=optim.warmup,
        schedule=schedule,
    )


def hidden_width(settings: Any, _: FeatureSpec) -> int:
    """D of a network whose vectors are as wide as it is."""
    width: int = settings.model.hidden
    return width


def frames_and_clips(settings: Any, videos: Sequence[VideoFeatures]) -> VideoBatch:
    """Means of stretches of equal length, as `settings.prepare` counts them."""
    return cat_videos([prepare_uniform(video, settings.prepare) for video in videos])


def frames_alone(settings: Any, videos: Sequence[VideoFeatures]) -> VideoBatch:
    """The same frames, for networks that read no clips."""
    return cat_videos([prepare_frames(video, settings.prepare) for video in videos])


def trained(
    target: str,
    title: str,
    settings: Any,
    network: Callable[[Any], nn.Module],
    objective: Callable[[Any], Learned],
    *,
    fit: Callable[[Any, FeatureSpec], None] = check_widths,
    width: Callable[[Any, FeatureSpec], int] = hidden_width,
    prepare: Callable[[Any, Sequence[VideoFeatures]], VideoBatch] = frames_and_clips,
    undecayed: Callable[[str], bool] = undecayed,
    stacked: Callable[[str], int] = stack_depth,
    schedule: Schedule = warmup_linear,
    official: Official | None = None,
) -> Recipe:
    """A recipe of settings with `model`, `prepare`, `optim` and `train`; what is not named is as in MS-SL.

    `network` makes the module of `settings.model`; its first weights follow from the run's seed.
    """

    def build(chosen: Any) -> nn.Module:
        torch.manual_seed(chosen.train.seed)
        return network(chosen.model)

    def optimizer(chosen: Any, model: nn.Module, steps_an_epoch: int) -> Optimizer:
        return bert_adam(chosen.optim, model, steps_an_epoch, undecayed=undecayed, stacked=stacked, schedule=schedule)

    return Recipe(
        target=target,
        title=title,
        settings=settings,
        fit=fit,
        width=width,
        prepare=prepare,
        build=build,
        objective=objective,
        optimizer=optimizer,
        official=official,
    )


def on_world(settings: Any) -> Any:
    """Any settings for the generated world: one rate and few epochs for every system, for two cores."""
    return replace(
        settings,
        optim=OptimConfig(lr=1e-3, schedule_epochs=11),
        train=TrainConfig(epochs=9, patience=9, seed=0),
        batch_videos=32,
    )


def on_i3d(clip: Recipe, *, video_width: int, text_width: int) -> Recipe:
    """A recipe for CLIP features, with the frames and the RoBERTa words of the systems' own papers."""
    model = replace(clip.settings.model, video_width=video_width, text_width=text_width, max_words=30)
    settings = replace(clip.settings, model=model)
    return replace(clip, target=f"{clip.target}_i3d", title=f"{clip.title}, I3D and RoBERTa", settings=settings)
