"""GMMFormer (AAAI 2024): its benchmarks, with the features of the MSC paper's tables and with the authors' own.

`tvr()` and the others read CLIP-L/14, `tvr_i3d()` and the others what the authors released it with; nothing else
differs. For QVHighlights no settings were published: they are those of ActivityNet Captions, as MSC chose for itself.
"""

from __future__ import annotations

from functools import partial

from prvr.methods.family import CLIP_L, SLOWFAST, WORLD, on_i3d, on_world, trained
from prvr.methods.gmmformer.loss import GMMFormerLoss, Settings, objective
from prvr.methods.gmmformer.network import METHOD, GMMFormerConfig
from prvr.methods.gmmformer.official import OFFICIAL
from prvr.methods.recipe import OptimConfig, Recipe
from prvr.parts.uniform import UniformConfig

NEVER = 100
"""An epoch that no run reaches."""

recipe = partial(trained, METHOD, objective, official=OFFICIAL)
"""(the function that makes it, settings, a title) -> any settings as a Recipe."""


def qvhighlights() -> Recipe:
    """QVHighlights: SlowFast and CLIP-B frames side by side, one every 2 s, CLIP-B words."""
    model = GMMFormerConfig(**CLIP_L | SLOWFAST, gaussian_length=75)
    prepare = UniformConfig(frames=75)  # 150 s, which no video exceeds
    return recipe(qvhighlights, Settings(model=model, prepare=prepare, loss=GMMFormerLoss()))


def tvr() -> Recipe:
    """TVR: CLIP-L/14 frames and words."""
    loss = GMMFormerLoss(
        nce_clip=0.05, nce_frame=0.04, margin=0.1, hard_from_epoch=30, diversity=0.001, diversity_margin=0.15
    )
    model = GMMFormerConfig(**CLIP_L)
    return recipe(tvr, Settings(model=model, prepare=UniformConfig(), loss=loss, optim=OptimConfig(lr=3e-4)))


def activitynet() -> Recipe:
    """ActivityNet Captions: CLIP-L/14 frames and words."""
    model = GMMFormerConfig(**CLIP_L)
    return recipe(activitynet, Settings(model=model, prepare=UniformConfig(), loss=GMMFormerLoss()))


def charades() -> Recipe:
    """Charades-STA: CLIP-L/14 frames and words."""
    model = GMMFormerConfig(**CLIP_L, input_dropout=0.15, dropout=0.15)
    loss = GMMFormerLoss(nce_clip=0.02, nce_frame=0.02, hard_from_epoch=NEVER, diversity=0.005, diversity_margin=0.15)
    return recipe(charades, Settings(model=model, prepare=UniformConfig(), loss=loss))


# with I3D frames and RoBERTa words, as in the authors' own paper
tvr_i3d, activitynet_i3d, charades_i3d = on_i3d(tvr), on_i3d(activitynet), on_i3d(charades)


def world() -> Recipe:
    """The generated world: a small network."""
    loss = GMMFormerLoss(hard_from_epoch=2)
    return recipe(world, on_world(Settings(model=GMMFormerConfig(**WORLD), prepare=UniformConfig(), loss=loss)))
