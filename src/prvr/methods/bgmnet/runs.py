"""BGM-Net (TOMM 2024): its benchmarks, with the features of the MSC paper's tables and with the authors' own.

`tvr()` and the others read CLIP-L/14, `tvr_i3d()` and the others what the authors released it with; nothing else
differs. For QVHighlights no settings were published: they are those of ActivityNet Captions.
"""

from __future__ import annotations

from functools import partial

from prvr.core.method import TrainConfig
from prvr.methods.bgmnet.loss import BGMNetLoss, Settings, objective
from prvr.methods.bgmnet.network import METHOD
from prvr.methods.bgmnet.official import OFFICIAL
from prvr.methods.family import on_i3d, trained
from prvr.methods.mssl.network import MSSLConfig
from prvr.methods.recipe import Recipe
from prvr.parts.bert_adam import warmup_cosine
from prvr.parts.uniform import UniformConfig

recipe = partial(trained, METHOD, objective, schedule=warmup_cosine, official=OFFICIAL)
"""(the function that makes it, settings, a title) -> any settings as a Recipe."""


def qvhighlights() -> Recipe:
    """QVHighlights: SlowFast and CLIP-B frames side by side, CLIP-B words."""
    return recipe(qvhighlights, _settings(MSSLConfig(video_width=2816, text_width=512, max_words=77, clips=48)))


def tvr() -> Recipe:
    """TVR: CLIP-L/14 frames and words."""
    model = MSSLConfig(video_width=768, text_width=768, max_words=77)
    return recipe(tvr, _settings(model, BGMNetLoss(margin=0.1, match_from_epoch=0)))


def activitynet() -> Recipe:
    """ActivityNet Captions: CLIP-L/14 frames and words."""
    return recipe(activitynet, _settings(MSSLConfig(video_width=768, text_width=768, max_words=77, clips=48)))


def charades() -> Recipe:
    """Charades-STA: CLIP-L/14 frames and words."""
    model = MSSLConfig(video_width=768, text_width=768, max_words=77, clips=48, clip_weight=0.6)
    return recipe(charades, _settings(model, BGMNetLoss(match_from_epoch=5), batch_videos=16))


# with I3D frames and RoBERTa words, as in the authors' own paper
tvr_i3d = on_i3d(tvr)
activitynet_i3d = on_i3d(activitynet)
charades_i3d = on_i3d(charades)


def _settings(model: MSSLConfig, loss: BGMNetLoss | None = None, *, batch_videos: int = 128) -> Settings:
    """As many clips as the network has places for."""
    return Settings(
        model=model,
        prepare=UniformConfig(clips=model.clips),
        loss=loss or BGMNetLoss(),
        train=TrainConfig(seed=2018),
        batch_videos=batch_videos,
    )
