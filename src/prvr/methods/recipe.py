"""What a run is made of, and how one is found by name.

A recipe is a method with settings, and with what it learns from: what an importable function returns. There is no
registry, so a private method stands on equal footing::

    prvr train my_lab.runs:msc_wide --data DIR --set optim.lr=3e-4
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from torch.optim import Optimizer

import prvr.methods
from prvr.core.config import override, to_dict
from prvr.core.errors import ConfigError
from prvr.core.lookup import look_up
from prvr.core.method import Cut, Learn, Method, Network, Prepared, RankSettings, TrainConfig
from prvr.core.types import FeatureSpec
from prvr.methods.official import Official

Terms = TypeVar("Terms")  # settings of what is learned from


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """BertAdam, as the authors use it."""

    lr: float = 2.5e-4
    warmup: float = 0.01  # share of all steps
    schedule_epochs: int | None = None  # the rate falls to 0 over so many epochs; None: over train.epochs
    weight_decay: float = 0.01
    ema: float = (
        0.0  # how slowly the running mean of the weights follows them, which then ranks; 0: they rank themselves
    )

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ConfigError(f"optim.lr={self.lr}: must be positive")
        if self.schedule_epochs is not None and self.schedule_epochs < 1:
            raise ConfigError(f"optim.schedule_epochs={self.schedule_epochs}: must be at least 1, or none")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"optim.ema={self.ema}: must be from 0 to below 1, such as 0.995")


@dataclass(frozen=True, kw_only=True)
class RunSettings(RankSettings[Network, Cut], Generic[Network, Cut, Terms]):
    """All of a run."""

    loss: Terms
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    batch_videos: int = 128  # videos a step, each with all its queries

    @property
    def schedule_epochs(self) -> int:
        """Epochs over which the rate falls to 0."""
        return self.optim.schedule_epochs or self.train.epochs


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Method x benchmark: the settings, and the functions that turn them into the parts of a run."""

    target: str  # `package.module:function`, where it comes from
    title: str  # how a table names it
    method: Method[Any, Any]
    settings: Any  # RankSettings, or RunSettings where there is something to train
    objective: Callable[[Any], Learn] | None = None  # of the settings; None: there is nothing to train
    optimizer: Callable[[Any, nn.Module, int], Optimizer] | None = None  # (settings, model, steps an epoch)
    trainable: Callable[[Any, FeatureSpec], None] | None = None  # ConfigError unless they suit training as well
    official: Official | None = None  # how its authors' checkpoints are read; None: none of theirs are known

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that make a run what it is, as plain values; how long it goes on may change."""
        values = to_dict(self.settings)
        if isinstance(self.settings, RunSettings):
            values["train"] = {k: v for k, v in values["train"].items() if k not in ("epochs", "patience")}
            values["optim"]["schedule_epochs"] = self.settings.schedule_epochs
        return values

    @property
    def prepared(self) -> Prepared:
        """How its network's videos are prepared."""
        return self.method.prepared(self.settings.prepare)

    def fit(self, features: FeatureSpec) -> None:
        """Raises ConfigError unless the settings suit the features, and videos the places that the network has."""
        self.method.fit(self.settings.model, features)
        for name in ("frames", "clips"):
            made, most = (getattr(group, name, 0) for group in (self.settings.prepare, self.settings.model))
            if isinstance(made, int) and isinstance(most, int) and 0 < most < made:
                raise ConfigError(f"prepare.{name}={made}, but model.{name}={most}; add `--set model.{name}={made}`")

    def build(self) -> nn.Module:
        """The network as it begins; its first weights follow from the run's seed."""
        if isinstance(self.settings, RunSettings):
            torch.manual_seed(self.settings.train.seed)
        return self.method.build(self.settings.model)

    def with_settings(self, assignments: Sequence[str]) -> Recipe:
        """`["optim.lr=3e-4"]` -> a changed copy. Raises ConfigError that suggests what exists."""
        return replace(self, settings=override(self.settings, assignments))


def load_recipe(target: str) -> Recipe:
    """`prvr.methods.msc.runs:world` -> the Recipe that it returns. Raises ConfigError naming what is missing."""
    try:
        build = look_up(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"no recipe {target!r} ({error}); write it as package.module:function, such as prvr.methods.msc.runs:world"
        ) from error
    recipe = build() if callable(build) else build
    if not isinstance(recipe, Recipe):
        raise ConfigError(f"{target}: returns {type(recipe).__name__}, not a Recipe; name a function that returns one")
    return recipe


def own_recipes() -> Iterator[str]:
    """`package.module:function` of every recipe of prvr, method by method."""
    for method in pkgutil.iter_modules(prvr.methods.__path__, "prvr.methods."):
        if not method.ispkg:
            continue
        module = importlib.import_module(f"{method.name}.runs")
        for name, function in vars(module).items():
            if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_"):
                signature = inspect.signature(function)
                if not signature.parameters and signature.return_annotation in ("Recipe", Recipe):
                    yield f"{module.__name__}:{name}"


def untrained(
    run: Callable[[], Recipe], method: Method[Any, Any], settings: RankSettings[Any, Any], title: str = ""
) -> Recipe:
    """A recipe of which nothing is learned; `run` is the function that makes it."""
    target = f"{run.__module__}:{run.__qualname__}"
    return Recipe(target=target, title=title or method.title, method=method, settings=settings)


def variant(
    run: Callable[[], Recipe], name: str, title: str, change: Callable[[Any], Any], *, doc: str = ""
) -> Callable[[], Recipe]:
    """A run with its settings changed, as a run of its own beside it. A table names it by both titles."""

    def other() -> Recipe:
        made = run()
        shown = ", ".join(filter(None, (made.title, title)))
        return replace(made, target=f"{run.__module__}:{name}", title=shown, settings=change(made.settings))

    other.__module__, other.__name__, other.__qualname__ = run.__module__, name, name
    other.__doc__ = doc or f"{run.__doc__} Here: {title}."
    return other
