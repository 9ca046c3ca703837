"""MS-SL (ACM MM 2022): its benchmarks, with the features of the MSC paper's tables and with the authors' own.

`tvr()` and the others read CLIP-L/14, `tvr_i3d()` and the others what the authors released it with; nothing else
differs. For QVHighlights no settings were published: they are those of ActivityNet Captions, which make as many
parameters as the MSC paper counts.
"""

from __future__ import annotations

from functools import partial

from prvr.core.method import TrainConfig
from prvr.methods.family import CLIP_L, WORLD, RetrievalLoss, on_i3d, on_qvhighlights, on_world, trained
from prvr.methods.mssl.loss import Settings, objective
from prvr.methods.mssl.network import METHOD, MSSLConfig
from prvr.methods.mssl.official import OFFICIAL
from prvr.methods.recipe import Recipe
from prvr.parts.uniform import UniformConfig

recipe = partial(trained, METHOD, objective, official=OFFICIAL)
"""(the function that makes it, settings, a title) -> any settings as a Recipe."""


def tvr() -> Recipe:
    """TVR: CLIP-L/14 frames and words."""
    return recipe(tvr, _settings(MSSLConfig(**CLIP_L), RetrievalLoss(margin=0.1)))


def activitynet() -> Recipe:
    """ActivityNet Captions: CLIP-L/14 frames and words."""
    return recipe(activitynet, _settings(MSSLConfig(**CLIP_L)))


def charades() -> Recipe:
    """Charades-STA: CLIP-L/14 frames and words."""
    return recipe(charades, _settings(MSSLConfig(**CLIP_L, clip_weight=0.5)))


qvhighlights = on_qvhighlights(activitynet)
# with I3D frames and RoBERTa words, as in the authors' own paper
tvr_i3d, activitynet_i3d, charades_i3d = on_i3d(tvr), on_i3d(activitynet), on_i3d(charades)


def world() -> Recipe:
    """The generated world: a small network."""
    return recipe(world, on_world(_settings(MSSLConfig(**WORLD), RetrievalLoss(hard_from_epoch=2))))


def _settings(model: MSSLConfig, loss: RetrievalLoss | None = None) -> Settings:
    return Settings(model=model, prepare=UniformConfig(), loss=loss or RetrievalLoss(), train=TrainConfig(seed=2018))
