"""ARL-style: our reconstruction of ARL (arXiv 2506.07471), on the benchmarks.

No code and no settings were published: thresholds, margins, weights and rates are ours (see `network.py`). The paper
has nothing on Charades-STA and QVHighlights.
"""

from __future__ import annotations

from functools import partial

from prvr.methods.arl_style.loss import ARLLoss, Settings, objective
from prvr.methods.arl_style.network import METHOD, ARLStyleConfig
from prvr.methods.family import on_i3d, on_world, trained
from prvr.methods.recipe import OptimConfig, Recipe
from prvr.parts.bert_adam import warmup_cosine
from prvr.parts.uniform import UniformConfig

recipe = partial(trained, METHOD, objective, schedule=warmup_cosine)
"""(the function that makes it, settings, a title) -> any settings as a Recipe."""


def qvhighlights() -> Recipe:
    """QVHighlights, of which the paper says nothing: SlowFast and CLIP-B frames, CLIP-B words."""
    return recipe(qvhighlights, _settings(0.31, video_width=2816, text_width=512))


def tvr() -> Recipe:
    """TVR: CLIP-L/14 frames and words."""
    return recipe(tvr, _settings(0.2, loss=ARLLoss(margin=0.1), optim=OptimConfig(lr=3e-4)))


def activitynet() -> Recipe:
    """ActivityNet Captions: CLIP-L/14 frames and words."""
    return recipe(activitynet, _settings(0.31))


# with I3D frames and RoBERTa words, as in the authors' own paper
tvr_i3d = on_i3d(tvr)
activitynet_i3d = on_i3d(activitynet)


def charades() -> Recipe:
    """Charades-STA, of which the paper says nothing: CLIP-L/14 frames and words."""
    return recipe(charades, _settings(0.25, optim=OptimConfig(lr=2e-4)))


def world() -> Recipe:
    """The generated world: two small networks."""
    model = ARLStyleConfig(video_width=128, text_width=128, hidden=96, max_words=32)
    loss = ARLLoss(hard_from_epoch=2, ambiguous_from_epoch=1)
    return recipe(world, on_world(Settings(model=model, prepare=UniformConfig(), loss=loss)))


def _settings(
    dropout: float,
    *,
    video_width: int = 768,
    text_width: int = 768,
    loss: ARLLoss | None = None,
    optim: OptimConfig | None = None,
) -> Settings:
    model = ARLStyleConfig(
        video_width=video_width, text_width=text_width, max_words=77, input_dropout=dropout, dropout=dropout
    )
    return Settings(model=model, prepare=UniformConfig(), loss=loss or ARLLoss(), optim=optim or OptimConfig())
