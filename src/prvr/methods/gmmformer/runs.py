"""GMMFormer (AAAI 2024): its benchmarks, with the features of the MSC paper's tables and with the authors' own.

`tvr()` and the others read CLIP-L/14, `tvr_i3d()` and the others what the authors released it with; nothing else
differs. For QVHighlights no settings were published: they are those of ActivityNet Captions, as MSC chose for itself.
"""

from __future__ import annotations

from functools import partial

from prvr.methods.family import on_i3d, on_world, trained
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
    model = GMMFormerConfig(video_width=2816, text_width=512, max_words=77, gaussian_length=75)
    prepare = UniformConfig(frames=75)  # 150 s, which no video exceeds
    return recipe(qvhighlights, Settings(model=model, prepare=prepare, loss=GMMFormerLoss()))


def tvr() -> Recipe:
    """TVR: CLIP-L/14 frames and words."""
    settings = Settings(
        model=GMMFormerConfig(video_width=768, text_width=768, max_words=77),
        prepare=UniformConfig(),
        loss=GMMFormerLoss(
            nce_clip=0.05, nce_frame=0.04, margin=0.1, hard_from_epoch=30, diversity=0.001, diversity_margin=0.15
        ),
        optim=OptimConfig(lr=3e-4),
    )
    return recipe(tvr, settings)


def activitynet() -> Recipe:
    """ActivityNet Captions: CLIP-L/14 frames and words."""
    model = GMMFormerConfig(video_width=768, text_width=768, max_words=77)
    return recipe(activitynet, Settings(model=model, prepare=UniformConfig(), loss=GMMFormerLoss()))


def charades() -> Recipe:
    """Charades-STA: CLIP-L/14 frames and words."""
    settings = Settings(
        model=GMMFormerConfig(video_width=768, text_width=768, max_words=77, input_dropout=0.15, dropout=0.15),
        prepare=UniformConfig(),
        loss=GMMFormerLoss(
            nce_clip=0.02, nce_frame=0.02, hard_from_epoch=NEVER, diversity=0.005, diversity_margin=0.15
        ),
    )
    return recipe(charades, settings)


# with I3D frames and RoBERTa words, as in the authors' own paper
tvr_i3d = on_i3d(tvr)
activitynet_i3d = on_i3d(activitynet)
charades_i3d = on_i3d(charades)


def world() -> Recipe:
    """The generated world: a small network."""
    model = GMMFormerConfig(video_width=128, text_width=128, hidden=96, max_words=32)
    return recipe(
        world, on_world(Settings(model=model, prepare=UniformConfig(), loss=GMMFormerLoss(hard_from_epoch=2)))
    )
