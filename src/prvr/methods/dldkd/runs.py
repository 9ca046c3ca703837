"""DL-DKD (ICCV 2023) and DL-DKD++: their benchmarks, on CLIP-L/14 features and on the authors' own.

The authors' student reads I3D and RoBERTa and learns from CLIP-B/32: `tvr_i3d()` and the others, with the features of
an image-text encoder given as the teacher's (`--teacher`). Where none is given, what the student reads teaches it too:
the frozen encoder's own frames and sentences, in their common space. Features without such a space have no teacher to
offer, and training without one is a setting (`loss.distill=0`, hard labels).
"""

from __future__ import annotations

from collections.abc import Callable

from prvr.core.method import TrainConfig
from prvr.methods.dldkd.loss import DLDKDLoss, Settings, check_taught, objective
from prvr.methods.dldkd.network import METHOD, DLDKDConfig
from prvr.methods.dldkd.official import OFFICIAL, OFFICIAL_PLUS
from prvr.methods.family import CLIP_L, WORLD, on_i3d, on_world, trained
from prvr.methods.recipe import OptimConfig, Recipe
from prvr.parts.uniform import UniformConfig


def tvr() -> Recipe:
    """DL-DKD on TVR."""
    return recipe(tvr, _settings(DLDKDLoss(margin=0.1)))


def activitynet() -> Recipe:
    """DL-DKD on ActivityNet Captions."""
    return recipe(activitynet, _settings(DLDKDLoss()))


def tvr_plus() -> Recipe:
    """DL-DKD++ on TVR."""
    return recipe(tvr_plus, _plus(0.2, margin=0.1, lr=3e-4), "DL-DKD++")


def activitynet_plus() -> Recipe:
    """DL-DKD++ on ActivityNet Captions."""
    return recipe(activitynet_plus, _plus(0.25, margin=0.2, lr=2.5e-4), "DL-DKD++")


def charades_plus() -> Recipe:
    """DL-DKD++ on Charades-STA."""
    return recipe(charades_plus, _plus(0.15, margin=0.2, lr=2.4e-4), "DL-DKD++")


# with I3D frames and RoBERTa words, as in the authors' own paper; these need a teacher
tvr_i3d, activitynet_i3d = on_i3d(tvr), on_i3d(activitynet)
tvr_plus_i3d, activitynet_plus_i3d, charades_plus_i3d = map(on_i3d, (tvr_plus, activitynet_plus, charades_plus))


def world() -> Recipe:
    """DL-DKD on the generated world: a small network and few epochs, for two cores."""
    return recipe(world, on_world(Settings(model=DLDKDConfig(**WORLD), prepare=UniformConfig(), loss=DLDKDLoss())))


def recipe(run: Callable[[], Recipe], settings: Settings, title: str = "") -> Recipe:
    """Any DL-DKD settings as a Recipe; `run` is the function that makes it."""
    official = OFFICIAL if settings.model.shared_words else OFFICIAL_PLUS
    return trained(METHOD, objective, run, settings, title, trainable=check_taught, official=official)


def _settings(loss: DLDKDLoss) -> Settings:
    model, train = DLDKDConfig(**CLIP_L), TrainConfig(seed=2018)
    return Settings(model=model, prepare=UniformConfig(), loss=loss, train=train)


def _plus(dropout: float, *, margin: float, lr: float) -> Settings:
    return Settings(
        model=DLDKDConfig(**CLIP_L, input_dropout=dropout, dropout=dropout, shared_words=False),
        prepare=UniformConfig(),
        loss=DLDKDLoss(margin=margin, labels="soft"),
        optim=OptimConfig(lr=lr),
        train=TrainConfig(epochs=120),
    )
