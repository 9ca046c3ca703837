"""ProtoPRVR-style: our reconstruction of ProtoPRVR (arXiv 2504.13035), on the benchmarks.

No code and no settings were published. Rates, margins and dropout are those that the same group released for MSC; the
weights of the terms are ours (see `prvr.methods.protoprvr_style.network`). The paper has nothing on Charades-STA.
"""

from __future__ import annotations

from functools import partial

from prvr.methods.family import CLIP_L, WORLD, on_i3d, on_qvhighlights, on_world, trained
from prvr.methods.protoprvr_style.loss import ProtoLoss, Settings, objective
from prvr.methods.protoprvr_style.network import METHOD, ProtoPRVRStyleConfig
from prvr.methods.recipe import OptimConfig, Recipe
from prvr.parts.bert_adam import warmup_cosine
from prvr.parts.uniform import UniformConfig

recipe = partial(trained, METHOD, objective, schedule=warmup_cosine)
"""(the function that makes it, settings, a title) -> any settings as a Recipe."""


def tvr() -> Recipe:
    """TVR: CLIP-L/14 frames and words."""
    return recipe(tvr, _settings(0.2, ProtoLoss(nce=0.05, margin=0.1), lr=3e-4))


def activitynet() -> Recipe:
    """ActivityNet Captions: CLIP-L/14 frames and words."""
    return recipe(activitynet, _settings(0.31))


def charades() -> Recipe:
    """Charades-STA, of which the paper says nothing: CLIP-L/14 frames and words."""
    return recipe(charades, _settings(0.25, lr=2e-4))


qvhighlights = on_qvhighlights(activitynet)
# with I3D frames and RoBERTa words, as in the authors' own paper
tvr_i3d, activitynet_i3d = on_i3d(tvr), on_i3d(activitynet)


def world() -> Recipe:
    """The generated world: a small network and few epochs, for two cores."""
    loss = ProtoLoss(hard_from_epoch=2, best_from_epoch=1)
    return recipe(world, on_world(Settings(model=ProtoPRVRStyleConfig(**WORLD), prepare=UniformConfig(), loss=loss)))


def _settings(dropout: float, loss: ProtoLoss | None = None, *, lr: float = OptimConfig.lr) -> Settings:
    model = ProtoPRVRStyleConfig(**CLIP_L, input_dropout=dropout, dropout=dropout)
    return Settings(model=model, prepare=UniformConfig(), loss=loss or ProtoLoss(), optim=OptimConfig(lr=lr))
