"""MSC (NeurIPS 2025): its four benchmarks as published, its ablation rows, and the generated world.

`qvhighlights()` and the others are what was released, which the published numbers came from; `paper(settings)` turns
any settings into what the paper's text says where the two differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from prvr.methods.family import CLIP_L, SLOWFAST, WORLD, on_world, trained
from prvr.methods.msc.loss import LossConfig, MSCSettings, objective
from prvr.methods.msc.merging import merge_steps
from prvr.methods.msc.network import METHOD, MSCConfig
from prvr.methods.msc.official import OFFICIAL, undecayed
from prvr.methods.msc.prepare import PrepareConfig
from prvr.methods.recipe import OptimConfig, Recipe, variant

MERGE_RATE = 75.0  # percent of all pairs that one step of merging fuses (N of the paper)


recipe = partial(trained, METHOD, objective, undecayed=undecayed, official=OFFICIAL)
"""(the function that makes it, settings, a title) -> any MSC settings as a Recipe."""


def qvhighlights() -> Recipe:
    """MSC on QVHighlights: SlowFast and CLIP-B/16 frames side by side, CLIP-B words."""
    return recipe(qvhighlights, _settings(0.31, 0.6, 0.7, sizes=SLOWFAST))


def tvr() -> Recipe:
    """MSC on TVR: CLIP-L/14 frames and words."""
    loss = LossConfig(nce_clip=0.05, nce_frame=0.04, margin=0.1)
    return recipe(tvr, _settings(0.2, 0.09, 0.8, loss, lr=3e-4))


def activitynet() -> Recipe:
    """MSC on ActivityNet Captions: CLIP-L/14 frames and words."""
    return recipe(activitynet, _settings(0.31, 0.6, 0.8))


def charades() -> Recipe:
    """MSC on Charades-STA: CLIP-L/14 frames and words."""
    return recipe(charades, _settings(0.25, 0.6, 0.85, lr=2e-4))


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


def as_in_paper(released: Callable[[], Recipe]) -> Callable[[], Recipe]:
    """The same run by the paper's text."""
    return variant(released, f"{released.__name__}_paper", "as in the text", paper)


qvhighlights_paper, tvr_paper = as_in_paper(qvhighlights), as_in_paper(tvr)
activitynet_paper, charades_paper = as_in_paper(activitynet), as_in_paper(charades)


def without_tcpl(loss: LossConfig) -> LossConfig:
    """Queries are free to lose the relations that the encoder sees between them."""
    return replace(loss, tcpl_distance=0.0, tcpl_angle=0.0)


def world() -> Recipe:
    """MSC on the generated world, all terms: a small network and few epochs, for two cores.

    Loss weights are the published ones; hard negatives begin after the same share of all epochs.
    """
    loss = LossConfig(hard_from_epoch=2)
    return recipe(world, on_world(MSCSettings(model=MSCConfig(**WORLD), prepare=PrepareConfig(), loss=loss)))


def world_tcpl() -> Recipe:
    """The same without CBVA: row (b) of the paper's Table 1."""
    full = world().settings
    return recipe(world_tcpl, replace(full, loss=replace(full.loss, cbva=0.0)), "+ TCPL")


def world_baseline() -> Recipe:
    """The same network with the retrieval loss alone: row (a)."""
    full = world().settings
    loss = without_tcpl(replace(full.loss, cbva=0.0))
    return recipe(world_baseline, replace(full, loss=loss), "baseline")


def _settings(
    dropout: float,
    sft_factor: float,
    threshold: float,
    loss: LossConfig | None = None,
    *,
    lr: float = OptimConfig.lr,
    sizes: dict[str, Any] = CLIP_L,
) -> MSCSettings:
    return MSCSettings(
        model=MSCConfig(**sizes, input_dropout=dropout, dropout=dropout, sft_factor=sft_factor),
        prepare=PrepareConfig(similarity_threshold=threshold),
        loss=loss or LossConfig(),
        optim=OptimConfig(lr=lr),
    )
