"""GMMFormer v2: its benchmarks, with the features of the MSC paper's tables and with the authors' own.

`tvr()` and the others read CLIP-L/14, `tvr_i3d()` and the others what the authors released it with; nothing else
differs. For QVHighlights no settings were published: they are those of ActivityNet Captions, as MSC chose for itself.
"""

from __future__ import annotations

from functools import partial

from prvr.methods.family import CLIP_L, WORLD, on_i3d, on_qvhighlights, on_world, trained
from prvr.methods.gmmformer_v2.loss import GMMFormerV2Loss, Settings, objective
from prvr.methods.gmmformer_v2.network import METHOD, GMMFormerV2Config
from prvr.methods.gmmformer_v2.official import OFFICIAL
from prvr.methods.msc.official import undecayed
from prvr.methods.recipe import OptimConfig, Recipe
from prvr.parts.uniform import UniformConfig

recipe = partial(trained, METHOD, objective, undecayed=undecayed, official=OFFICIAL)
"""(the function that makes it, settings, a title) -> any settings as a Recipe."""


def tvr() -> Recipe:
    """TVR: CLIP-L/14 frames and words."""
    loss = GMMFormerV2Loss(
        nce_clip=0.05, nce_frame=0.04, margin=0.1, diversity=8e-5, diversity_margin=0.15, matching=0.09
    )
    return recipe(tvr, _settings(0.2, 0.09, loss, lr=3e-4))


def activitynet() -> Recipe:
    """ActivityNet Captions: CLIP-L/14 frames and words."""
    return recipe(activitynet, _settings(0.31, 0.6))


def charades() -> Recipe:
    """Charades-STA: CLIP-L/14 frames and words."""
    return recipe(charades, _settings(0.25, 0.6, GMMFormerV2Loss(matching=0.1), lr=2e-4))


qvhighlights = on_qvhighlights(activitynet)
# with I3D frames and RoBERTa words, as in the authors' own paper
tvr_i3d, activitynet_i3d, charades_i3d = on_i3d(tvr), on_i3d(activitynet), on_i3d(charades)


def world() -> Recipe:
    """The generated world: a small network."""
    loss = GMMFormerV2Loss(hard_from_epoch=2)
    return recipe(world, on_world(Settings(model=GMMFormerV2Config(**WORLD), prepare=UniformConfig(), loss=loss)))


def _settings(
    dropout: float, sft_factor: float, loss: GMMFormerV2Loss | None = None, *, lr: float = OptimConfig.lr
) -> Settings:
    model = GMMFormerV2Config(**CLIP_L, input_dropout=dropout, dropout=dropout, sft_factor=sft_factor)
    return Settings(model=model, prepare=UniformConfig(), loss=loss or GMMFormerV2Loss(), optim=OptimConfig(lr=lr))
