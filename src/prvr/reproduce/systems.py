"""The systems that are compared, and how each comes to suit the data at hand.

A row of the table is a function that can be imported; whoever has another system names its function on the command
line. Where settings were published for a benchmark they are taken. On any other data the rule is the same for all: the
small settings of the generated world where a system has them, else those of ActivityNet Captions made as small.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from prvr.core.config import closest
from prvr.core.errors import ConfigError
from prvr.data.folder import DataFolder
from prvr.methods.recipe import Recipe, load_recipe
from prvr.reproduce.base import NAMES, base_recipe

DEFAULT = "activitynet"  # whose settings stand in where a benchmark has none, as authors do for QVHighlights
SMALL = {"model.hidden": 96, "model.max_words": 32, "optim.lr": 1e-3, "batch_videos": 32}  # as the generated world has


@dataclass(frozen=True, kw_only=True)
class System:
    """One row of the comparison."""

    name: str  # on the command line
    title: str  # as in `prvr.reproduce.published`
    target: str  # `package.module:function`; {} stands for the benchmark, a function without it suits all data
    reconstructed: bool = False  # parts of it were never published; ours are our own

    @property
    def shown(self) -> str:
        """The title, and whether the system is what its authors ran."""
        return f"{self.title} [R]" if self.reconstructed else self.title


SYSTEMS = (
    System(name="zero-shot", title="zero-shot", target="prvr.methods.zero_shot.runs:max_over_frames"),
    System(name="trace", title="zero-shot + TRACE", target="prvr.methods.trace.runs:max_over_frames"),
    System(name="tf-prvr", title="TF-PRVR", target="prvr.methods.tfprvr.runs:moments"),
    System(name="ms-sl", title="MS-SL", target="prvr.methods.mssl.runs:{}"),
    System(name="dl-dkd", title="DL-DKD", target="prvr.methods.dldkd.runs:{}"),
    System(name="dl-dkd++", title="DL-DKD++", target="prvr.methods.dldkd.runs:{}_plus"),
    System(name="gmmformer", title="GMMFormer", target="prvr.methods.gmmformer.runs:{}"),
    System(name="amdnet", title="AMDNet", target="prvr.methods.amdnet.runs:{}"),
    System(name="bgm-net", title="BGM-Net", target="prvr.methods.bgmnet.runs:{}"),
    System(name="gmmformer-v2", title="GMMFormer v2", target="prvr.methods.gmmformer_v2.runs:{}"),
    System(name="curvspec", title="CurvSpec", target="prvr.methods.curvspec.runs:{}"),
    System(name="protoprvr", title="ProtoPRVR", target="prvr.methods.protoprvr_style.runs:{}", reconstructed=True),
    System(name="arl", title="ARL", target="prvr.methods.arl_style.runs:{}", reconstructed=True),
    System(name="msc", title="MSC", target="prvr.methods.msc.runs:{}"),
)


def choose(words: str) -> tuple[System, ...]:
    """`all`, or names and `package.module:function`s with commas between -> systems, in that order.

    Raises ConfigError that suggests the nearest name.
    """
    if words == "all":
        return SYSTEMS
    named = {system.name: system for system in SYSTEMS}
    chosen = []
    for word in dict.fromkeys(filter(None, map(str.strip, words.split(",")))):
        if ":" in word:
            chosen.append(System(name=word, title=load_recipe(word).title, target=word))
        else:
            chosen.append(named[closest(word, list(named), what=f"system {word!r}")])
    if not chosen:
        raise ConfigError(f"--systems {words!r}: names no system; there are {', '.join(named)}")
    return tuple(chosen)


def recipe_for(
    system: System, benchmark: str, data: DataFolder, *, budget: int | None = None, settings: Sequence[str] = ()
) -> Recipe:
    """The system's recipe for some data: as published where `benchmark` has settings, as wide as the features.

    All share the seeds and the early stopping of MSC. `budget` is a number of epochs; whatever is counted in epochs
    shrinks or grows with it. Of `settings` those are taken that the system has. Raises ConfigError for a system that
    cannot be imported, and for values that make no sense.
    """
    recipe = replace(_found(system, benchmark), title=system.title)
    if recipe.objective is None:
        return recipe
    widths = {"model.video_width": data.spec.video_width, "model.text_width": data.spec.text_width}
    recipe = _with(recipe, widths if benchmark in NAMES else widths | SMALL)
    common, own = base_recipe(benchmark, data).settings.train, recipe.settings.train
    epochs = budget or (own.epochs if benchmark in NAMES else common.epochs)
    times = _counted_in_epochs(recipe.settings, epochs / own.epochs)
    recipe = replace(recipe, settings=replace(recipe.settings, train=replace(common, epochs=epochs)))
    return _with(recipe, times).with_settings([text for text in settings if has(recipe, text)])


def has(recipe: Recipe, assignment: str) -> bool:
    """Whether a recipe has the setting of `NAME=VALUE`."""
    return value_of(recipe.settings, assignment.partition("=")[0].strip()) is not None


def value_of(settings: Any, path: str) -> Any:
    """The value of `group.name`, None where there is no such setting."""
    for name in path.split("."):
        settings = getattr(settings, name, None) if is_dataclass(settings) else None
    return settings


def _counted_in_epochs(settings: Any, factor: float) -> dict[str, Any]:
    """The length of the schedule, and whatever begins at some epoch, times a factor; a negative epoch is none."""
    loss = value_of(settings, "loss")
    starts = [field.name for field in fields(loss) if field.name.endswith("_from_epoch")] if is_dataclass(loss) else []
    times = {f"loss.{name}": getattr(loss, name) for name in starts}
    scaled = {path: round(value * factor) for path, value in times.items() if value >= 0}
    schedule = value_of(settings, "optim.schedule_epochs")
    return scaled if schedule is None else scaled | {"optim.schedule_epochs": max(round(schedule * factor), 1)}


def _with(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """The settings that the recipe has, changed."""
    return recipe.with_settings([f"{path}={value}" for path, value in values.items() if has(recipe, path)])


def _found(system: System, benchmark: str) -> Recipe:
    """The benchmark's own function, or the one whose settings stand in for it."""
    own, default = (system.target.format(name) for name in (benchmark if benchmark in NAMES else "world", DEFAULT))
    return load_recipe(own if _exists(own) else default)


def _exists(target: str) -> bool:
    module, _, function = target.partition(":")
    try:
        return hasattr(importlib.import_module(module), function)
    except ImportError:
        return False
