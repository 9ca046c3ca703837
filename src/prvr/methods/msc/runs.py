"""MSC (NeurIPS 2025): its four benchmarks as published, its ablation rows, and the generated world.

`qvhighlights()` and the others are what was released, which the published numbers came from; `paper(settings)` turns
any settings into what the paper's text says where the two differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn
from torch.optim import Optimizer

from prvr.core.types import VideoBatch, VideoFeatures
from prvr.methods.family import OptimConfig, bert_adam, check_widths, hidden_width
from prvr.methods.msc.loss import LossConfig, make_objective
from prvr.methods.msc.merging import merge_steps
from prvr.methods.msc.network import MSC, MSCConfig
from prvr.methods.msc.official import OFFICIAL, stack_depth, undecayed
from prvr.methods.msc.prepare import PrepareConfig, prepare_video
from prvr.methods.recipe import Recipe
from prvr.parts.objective import Objective
from prvr.parts.videos import cat_videos
from prvr.training.loop import TrainConfig

__all__ = [
    "LossConfig",
    "MSCConfig",
    "MSCSettings",
    "OptimConfig",
    "PrepareConfig",
    "activitynet",
    "activitynet_paper",
    "charades",
    "charades_paper",
    "objective",
    "paper",
    "qvhighlights",
    "qvhighlights_paper",
    "recipe",
    "tvr",
    "tvr_paper",
    "without_tcpl",
    "world",
    "world_baseline",
    "world_tcpl",
]

MERGE_RATE = 75.0  # percent of all pairs that one step of merging fuses (N of the paper)


@dataclass(frozen=True, kw_only=True)
class MSCSettings:
    """All of a run."""

    model: MSCConfig
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    batch_videos: int = 128


def qvhighlights() -> Recipe:
    """MSC on QVHighlights: SlowFast and CLIP-B/16 frames side by side, CLIP-B words."""
    model = MSCConfig(video_width=2816, text_width=512, input_dropout=0.31, dropout=0.31, sft_factor=0.6)
    settings = MSCSettings(model=model, prepare=PrepareConfig(similarity_threshold=0.7))
    return recipe("prvr.methods.msc.runs:qvhighlights", "MSC", settings)


def tvr() -> Recipe:
    """MSC on TVR: CLIP-L/14 frames and words."""
    settings = MSCSettings(
        model=MSCConfig(video_width=768, text_width=768, input_dropout=0.2, dropout=0.2, sft_factor=0.09),
        prepare=PrepareConfig(similarity_threshold=0.8),
        loss=LossConfig(nce_clip=0.05, nce_frame=0.04, margin=0.1),
        optim=OptimConfig(lr=3e-4),
    )
    return recipe("prvr.methods.msc.runs:tvr", "MSC", settings)


def activitynet() -> Recipe:
    """MSC on ActivityNet Captions: CLIP-L/14 frames and words."""
    model = MSCConfig(video_width=768, text_width=768, input_dropout=0.31, dropout=0.31, sft_factor=0.6)
    settings = MSCSettings(model=model, prepare=PrepareConfig(similarity_threshold=0.8))
    return recipe("prvr.methods.msc.runs:activitynet", "MSC", settings)


def charades() -> Recipe:
    """MSC on Charades-STA: CLIP-L/14 frames and words."""
    settings = MSCSettings(
        model=MSCConfig(video_width=768, text_width=768, input_dropout=0.25, dropout=0.25, sft_factor=0.6),
        prepare=PrepareConfig(similarity_threshold=0.85),
        optim=OptimConfig(lr=2e-4),
    )
    return recipe("prvr.methods.msc.runs:charades", "MSC", settings)


def qvhighlights_paper() -> Recipe:
    """QVHighlights as the paper's text has it."""
    return _as_in_paper(qvhighlights())


def tvr_paper() -> Recipe:
    """TVR as the paper's text has it."""
    return _as_in_paper(tvr())


def activitynet_paper() -> Recipe:
    """ActivityNet Captions as the paper's text has it."""
    return _as_in_paper(activitynet())


def charades_paper() -> Recipe:
    """Charades-STA as the paper's text has it."""
    return _as_in_paper(charades())


def paper(settings: MSCSettings) -> MSCSettings:
    """The same run as the paper's text has it, wherever that differs from what was released; weights λ and τ stay.

    Of the text's rules for levels none is taken literally: each contradicts the sentence it stands in (see
    `prvr.methods.msc.merging.level_of`). Uniform clips and segments that do not merge, as in the ablation, stay what
    they are.
    """
    plan = settings.prepare
    first, last = plan.levels[0], plan.levels[-1]
    return replace(
        settings,
        model=replace(settings.model, alignment="none"),
        prepare=replace(
            plan,
            schedule=merge_steps(plan.frames, first, MERGE_RATE) if plan.clips == "merged" else plan.schedule,
            merge_by="cosine",
            omega="direct",
            levels=(first, *merge_steps(first, last, MERGE_RATE)),
            level_rule="monotone",
            pairing="many_to_one",
        ),
        loss=replace(
            settings.loss,
            nce_clip=1.0,
            nce_frame=1.0,
            nce_similarity="cosine",
            tcpl_unit="all",
            tcpl_mean="pairs",
            cbva_similarity="cosine",
            cbva_pool="sum",
            cbva_moves="both",
            cbva_merges_by="aligned",
        ),
    )


def without_tcpl(loss: LossConfig) -> LossConfig:
    """Queries are free to lose the relations that the encoder sees between them."""
    return replace(loss, tcpl_distance=0.0, tcpl_angle=0.0)


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
    return recipe("prvr.methods.msc.runs:world", "MSC", settings)


def world_tcpl() -> Recipe:
    """The same without CBVA: row (b) of the paper's Table 1."""
    full = world().settings
    return recipe("prvr.methods.msc.runs:world_tcpl", "+ TCPL", replace(full, loss=replace(full.loss, cbva=0.0)))


def world_baseline() -> Recipe:
    """The same network with the retrieval loss alone: row (a)."""
    full = world().settings
    loss = without_tcpl(replace(full.loss, cbva=0.0))
    return recipe("prvr.methods.msc.runs:world_baseline", "baseline", replace(full, loss=loss))


def recipe(target: str, title: str, settings: MSCSettings) -> Recipe:
    """Any MSC settings as a Recipe; `target` is the function that makes it."""
    return Recipe(
        target=target,
        title=title,
        settings=settings,
        fit=check_widths,
        width=hidden_width,
        prepare=_prepare,
        build=_build,
        objective=objective,
        optimizer=_optimizer,
        official=OFFICIAL,
    )


def _prepare(settings: MSCSettings, videos: Sequence[VideoFeatures]) -> VideoBatch:
    return cat_videos([prepare_video(video, settings.prepare) for video in videos])


def _build(settings: MSCSettings) -> nn.Module:
    torch.manual_seed(settings.train.seed)
    return MSC(settings.model)


def objective(settings: MSCSettings) -> Objective:
    """The terms whose weight is not 0, by the names that the log shows."""
    return make_objective(settings.loss, settings.prepare)


def _as_in_paper(released: Recipe) -> Recipe:
    return recipe(f"{released.target}_paper", f"{released.title}, as in the text", paper(released.settings))


def _optimizer(settings: MSCSettings, model: nn.Module, steps_an_epoch: int) -> Optimizer:
    return bert_adam(settings.optim, model, steps_an_epoch, undecayed=undecayed, stacked=stack_depth)
