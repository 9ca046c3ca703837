"""ProtoPRVR-style: our reconstruction of ProtoPRVR (arXiv 2504.13035), on the benchmarks.

No code and no settings were published. Rates, margins and dropout are those that the same group released for MSC; the
weights of the terms are ours (see `prvr.methods.protoprvr_style.network`). The paper has nothing on Charades-STA.
"""

from __future__ import annotations

from functools import partial

from prvr.methods.family import on_i3d, on_world, trained
from prvr.methods.protoprvr_style.loss import ProtoLoss, Settings, objective
from prvr.methods.protoprvr_style.network import METHOD, ProtoPRVRStyleConfig
from prvr.methods.recipe import OptimConfig, Recipe
from prvr.parts.bert_adam import warmup_cosine
from prvr.parts.uniform import UniformConfig

recipe = partial(trained, METHOD, objective, schedule=warmup_cosine)
"""(the function that makes it, settings, a title) -> any settings as a Recipe."""


def qvhighlights() -> Recipe:
    """QVHighlights: SlowFast and CLIP-B frames side by side, CLIP-B words."""
    return recipe(qvhighlights, _settings(0.31, video_width=2816, text_width=512))


def tvr() -> Recipe:
    """TVR: CLIP-L/14 frames and words."""
    return recipe(tvr, _settings(0.2, loss=ProtoLoss(nce=0.05, margin=0.1), optim=OptimConfig(lr=3e-4)))


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
    """The generated world: a small network and few epochs, for two cores."""
    model = ProtoPRVRStyleConfig(video_width=128, text_width=128, hidden=96, max_words=32)
    loss = ProtoLoss(hard_from_epoch=2, best_from_epoch=1)
    return recipe(world, on_world(Settings(model=model, prepare=UniformConfig(), loss=loss)))


def _settings(
    dropout: float,
    *,
    video_width: int = 768,
    text_width: int = 768,
    loss: ProtoLoss | None = None,
    optim: OptimConfig | None = None,
) -> Settings:
    model = ProtoPRVRStyleConfig(
        video_width=video_width, text_width=text_width, max_words=77, input_dropout=dropout, dropout=dropout
    )
    return Settings(model=model, prepare=UniformConfig(), loss=loss or ProtoLoss(), optim=optim or OptimConfig())
