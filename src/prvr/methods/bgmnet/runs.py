"""BGM-Net (TOMM 2024): its benchmarks, with the features of the MSC paper's tables and with the authors' own.

`tvr()` and the others read CLIP-L/14, `tvr_i3d()` and the others what the authors released it with; nothing else
differs. For QVHighlights no settings were published: they are those of ActivityNet Captions.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from prvr.core.method import TrainConfig
from prvr.methods.bgmnet.loss import BGMNetLoss, Settings, objective
from prvr.methods.bgmnet.network import METHOD
from prvr.methods.bgmnet.official import OFFICIAL
from prvr.methods.family import CLIP_L, on_i3d, on_qvhighlights, trained
from prvr.methods.mssl.network import MSSLConfig
from prvr.methods.recipe import Recipe
from prvr.parts.bert_adam import warmup_cosine
from prvr.parts.uniform import UniformConfig

recipe = partial(trained, METHOD, objective, schedule=warmup_cosine, official=OFFICIAL)
"""(the function that makes it, settings, a title) -> any settings as a Recipe."""


def tvr() -> Recipe:
    """TVR: CLIP-L/14 frames and words."""
    return recipe(tvr, _settings(MSSLConfig(**CLIP_L), BGMNetLoss(margin=0.1, match_from_epoch=0)))


def activitynet() -> Recipe:
    """ActivityNet Captions: CLIP-L/14 frames and words."""
    return recipe(activitynet, _settings(MSSLConfig(**CLIP_L, clips=48), BGMNetLoss()))


def charades() -> Recipe:
    """Charades-STA: CLIP-L/14 frames and words."""
    settings = _settings(MSSLConfig(**CLIP_L, clips=48, clip_weight=0.6), BGMNetLoss(match_from_epoch=5))
    return recipe(charades, replace(settings, batch_videos=16))


qvhighlights = on_qvhighlights(activitynet)
# with I3D frames and RoBERTa words, as in the authors' own paper
tvr_i3d, activitynet_i3d, charades_i3d = on_i3d(tvr), on_i3d(activitynet), on_i3d(charades)


def _settings(model: MSSLConfig, loss: BGMNetLoss) -> Settings:
    """As many clips as the network has places for."""
    return Settings(model=model, prepare=UniformConfig(clips=model.clips), loss=loss, train=TrainConfig(seed=2018))
