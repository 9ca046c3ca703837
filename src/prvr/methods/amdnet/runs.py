"""AMDNet (TMM 2025): its benchmarks, with the features of the MSC paper's tables and with the authors' own.

`tvr()` and the others read CLIP-L/14, `tvr_clip_b()` and the others CLIP-B/32, which the authors released it with;
nothing else differs. For QVHighlights no settings were published: they are those of ActivityNet Captions.

It reads one sentence vector a query, of the space of a CLIP-type encoder. Features whose words come from another model
(RoBERTa) have none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from prvr.core.method import TrainConfig
from prvr.methods.amdnet.loss import AMDNetLoss, Settings, objective
from prvr.methods.amdnet.network import METHOD, AMDNetConfig, MeansConfig
from prvr.methods.amdnet.official import OFFICIAL, undecayed
from prvr.methods.family import on_qvhighlights, sized, trained
from prvr.methods.recipe import OptimConfig, Recipe, variant

recipe = partial(trained, METHOD, objective, undecayed=undecayed, official=OFFICIAL)
"""(the function that makes it, settings, a title) -> any settings as a Recipe."""


def tvr() -> Recipe:
    """TVR: CLIP-L/14 frames and sentences."""
    settings = Settings(
        model=AMDNetConfig(video_width=768, text_width=768),
        prepare=MeansConfig(),
        loss=AMDNetLoss(nce=0.04),
        optim=OptimConfig(lr=3e-4),
        train=TrainConfig(epochs=200, patience=15, seed=9527),
    )
    return recipe(tvr, settings)


def activitynet() -> Recipe:
    """ActivityNet Captions: CLIP-L/14 frames and sentences."""
    return recipe(activitynet, _settings(AMDNetConfig(video_width=768, text_width=768, hidden=256)))


def charades() -> Recipe:
    """Charades-STA: CLIP-L/14 frames and sentences."""
    model = AMDNetConfig(video_width=768, text_width=768, hidden=256, input_dropout=0.15, dropout=0.15)
    return recipe(charades, _settings(model, patience=10))


def _settings(model: AMDNetConfig, *, patience: int = 15) -> Settings:
    train = TrainConfig(patience=patience, seed=3407)
    return Settings(model=model, prepare=MeansConfig(), loss=AMDNetLoss(), train=train)


qvhighlights = on_qvhighlights(activitynet)


def with_clip_b(clip_l: Callable[[], Recipe]) -> Callable[[], Recipe]:
    """The same on CLIP-B/32 frames and sentences."""
    narrower = partial(sized, {"video_width": 512, "text_width": 512})
    return variant(clip_l, f"{clip_l.__name__}_clip_b", "CLIP-B/32", narrower)


tvr_clip_b, activitynet_clip_b, charades_clip_b = with_clip_b(tvr), with_clip_b(activitynet), with_clip_b(charades)
