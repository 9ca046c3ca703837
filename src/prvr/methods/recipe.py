"""What a run is made of, and how one is found by name.

A recipe is what an importable function returns; there is no registry, so a private method stands on equal footing::

    prvr train my_lab.runs:msc_wide --data DIR --set optim.lr=3e-4
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import nn
from torch.optim import Optimizer

from prvr.core.config import fingerprint, override, to_dict
from prvr.core.errors import ConfigError
from prvr.core.types import FeatureSpec, VideoBatch, VideoFeatures
from prvr.methods.official import Official
from prvr.training.loop import Objective, TrainConfig


class Settings(Protocol):
    """A frozen dataclass of frozen dataclasses; these fields are what every trained method has."""

    @property
    def batch_videos(self) -> int:
        """Videos a step, each with all its queries."""
        ...

    @property
    def train(self) -> TrainConfig:
        """The loop: epochs, patience, seed."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Method x benchmark: the settings, and the functions that turn them into the parts of a run."""

    target: str  # `package.module:function`, where it comes from
    title: str  # how a table names it
    settings: Any  # a frozen dataclass, see `Settings`
    fit: Callable[[Any, FeatureSpec], None]  # ConfigError unless the settings suit the features
    width: Callable[[Any, FeatureSpec], int]  # D of the vectors that the model makes
    prepare: Callable[[Any, Sequence[VideoFeatures]], VideoBatch]
    build: Callable[[Any], nn.Module]
    objective: Callable[[Any], Objective] | None = None  # None: there is nothing to train
    optimizer: Callable[[Any, nn.Module, int], Optimizer] | None = None  # (settings, model, steps an epoch)
    trainable: Callable[[Any, FeatureSpec], None] | None = None  # ConfigError unless they suit training as well
    official: Official | None = None  # how its authors' checkpoints are read; None: none of theirs are known

    @property
    def prepared_by(self) -> str:
        """Changes with whatever `prepare` depends on, so that prepared videos can be kept from run to run.

        Settings that have a group `prepare` promise that nothing else in them is read.
        """
        how = f"{self.prepare.__module__}.{self.prepare.__qualname__}"
        return fingerprint([how, to_dict(getattr(self.settings, "prepare", self.settings))])

    def with_settings(self, assignments: Sequence[str]) -> Recipe:
        """`["optim.lr=3e-4"]` -> a changed copy. Raises ConfigError that suggests what exists."""
        return replace(self, settings=override(self.settings, assignments))


def load_recipe(target: str) -> Recipe:
    """`prvr.methods.msc.runs:world` -> the Recipe that it returns. Raises ConfigError naming what is missing."""
    try:
        build = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"no recipe {target!r} ({error}); write it as package.module:function, such as prvr.methods.msc.runs:world"
        ) from error
    recipe = build() if callable(build) else build
    if not isinstance(recipe, Recipe):
        raise ConfigError(f"{target}: returns {type(recipe).__name__}, not a Recipe; name a function that returns one")
    return recipe
