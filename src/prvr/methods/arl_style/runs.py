"""ARL-style: our reconstruction of ARL (arXiv 2506.07471), on the benchmarks.

No code and no settings were published: thresholds, margins, weights and rates are ours (see `network.py`). The paper
has nothing on Charades-STA and QVHighlights.
"""

from __future__ import annotations

from functools import partial

from prvr.methods.arl_style.loss import ARLLoss, Settings, objective
from prvr.methods.arl_style.network import METHOD, ARLStyleConfig
from prvr.methods.family import CLIP_L, WORLD, on_i3d, on_qvhighlights, on_world, trained
from prvr.methods.recipe import OptimConfig, Recipe
from prvr.parts.bert_adam import warmup_cosine
from prvr.parts.uniform import UniformConfig

recipe = partial(trained, METHOD, objective, schedule=warmup_cosine)
"""(the function that makes it, settings, a title) -> any settings as a Recipe."""


def tvr() -> Recipe:
    """TVR: CLIP-L/14 frames and words."""
    return recipe(tvr, _settings(0.2, ARLLoss(margin=0.1), lr=3e-4))


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
    """The generated world: two small networks."""
    loss = ARLLoss(hard_from_epoch=2, ambiguous_from_epoch=1)
    return recipe(world, on_world(Settings(model=ARLStyleConfig(**WORLD), prepare=UniformConfig(), loss=loss)))


def _settings(dropout: float, loss: ARLLoss | None = None, *, lr: float = OptimConfig.lr) -> Settings:
    model = ARLStyleConfig(**CLIP_L, input_dropout=dropout, dropout=dropout)
    return Settings(model=model, prepare=UniformConfig(), loss=loss or ARLLoss(), optim=OptimConfig(lr=lr))
