"""An authors' checkpoint -> settings and weights of ours, so that scores equal the official ones.

Theirs is a pickle, which can run any program when it is opened. It is read by torch's restricted reader, which knows
tensors and plain values; the few classes of which the released training scripts leave instances in their files become
plain mappings. A file that needs more is refused unopened.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prvr.core.errors import CheckpointError, ConfigError
from prvr.core.weights import WEIGHTS, put_weights, save_weights
from prvr.data.folder import DataFolder
from prvr.methods.official import Official
from prvr.methods.recipe import Recipe
from prvr.ranker.ranker import CONFIG, Ranker, open_run
from prvr.runs.train import describe, described

# Settings of MS-SL, DL-DKD and BGM-Net; schedules inside the optimisers of GMMFormer, AMDNet and MSC. Their code is
# neither needed nor run: torch's reader puts an empty mapping where it would look for the class, and fills that.
_STAND_INS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (OrderedDict, name)
    for name in (
        "easydict.EasyDict",
        *(
            f"{module}.{schedule}"
            for module in ("Opts.optimization", "method.optimization")
            for schedule in ("WarmupLinearSchedule", "WarmupCosineSchedule", "WarmupConstantSchedule", "ConstantLR")
        ),
    )
]

_DAMAGED = (  # what torch raises on a file that it cannot make sense of
    pickle.UnpicklingError,
    struct.error,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def import_run(checkpoint: Path, recipe: Recipe, data: DataFolder, folder: Path) -> Ranker:
    """A network that the authors of the recipe's system trained, as a run folder for the features in `data`.

    Raises CheckpointError for a file that is not one, for a folder that holds a run, and for features of other widths;
    ConfigError where the features do not suit it.
    """
    if (folder / CONFIG).exists():
        raise CheckpointError(f"{folder}: holds a run already; choose another folder")
    settings, weights = import_official(checkpoint, recipe)
    reads, found = ((x.video_width, x.text_width) for x in (settings.model, data.spec))
    if reads != found:
        raise CheckpointError(
            f"{checkpoint}: reads frames {reads[0]} and words {reads[1]} wide, but those of {data.spec.name} are "
            f"{found[0]} and {found[1]} wide; name the features that it was trained on with --features"
        )
    chosen = replace(recipe, settings=settings)
    chosen.fit(data.spec)
    describe(folder, described(chosen, data.spec, selected_on=data.reported, selected_by=None))  # as its authors do
    save_weights(folder / WEIGHTS, weights, {"imported": checkpoint.name})
    return open_run(folder, method=recipe.method)


def import_official(path: Path, recipe: Recipe) -> tuple[Any, dict[str, Tensor]]:
    """The settings and weights of a network that the authors of a recipe's system trained.

    Sizes come from the shapes of its tensors; all else from the recipe: what no shape shows, and how videos are
    prepared. Raises CheckpointError for a file that is missing or damaged, that holds more than tensors and plain
    values, whose names or shapes are not those of the system, or whose own settings contradict the recipe's;
    ConfigError for a system of which no checkpoint is known, and for heads that do not divide the width.
    """
    official = recipe.official
    if official is None:
        raise ConfigError(
            f"{recipe.target}: no checkpoint of the authors of {recipe.title} is known, so there is none to import; "
            "choose the recipe of another system with --recipe, or train this one"
        )
    content = _read(path)
    state = _state_dict(content, official, path)
    official.check_names(state, where=str(path))
    _check_said(content, official, recipe.settings, path)
    sizes = {ours: _size(state, *shown, path) for ours, shown in official.sizes.items()}
    model = replace(recipe.settings.model, **sizes, **official.implied)
    settings = replace(recipe.settings, model=model)
    network = recipe.method.build(settings.model)
    _check_shapes(state, official, network, path)
    weights = official.read(state, where=str(path))
    put_weights(network, weights, where=str(path))
    return settings, weights


def _read(path: Path) -> Any:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_STAND_INS):
            warnings.simplefilter("ignore")  # about the pickle's age
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror or error}); give the authors' .ckpt file"
        ) from error
    except _DAMAGED as error:
        if named := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise CheckpointError(
                f"{path}: holds more than tensors and plain values ({named[1]}). Such a file can run any program, so "
                "it was not opened. If you trust where it comes from, save its state dict alone with torch.save where "
                "it was made, and import that"
            ) from error
        raise CheckpointError(f"{path}: is no checkpoint of torch, or a damaged one; take it from a copy") from error


def _state_dict(content: Any, official: Official, path: Path) -> dict[str, Tensor]:
    """The mapping, wherever in the file, that has most of the authors' names; `module.` of several GPUs is removed."""
    known, best = official.places.keys(), dict[str, Tensor]()
    for mapping in _mappings(content):
        names = {str(name).removeprefix("module."): value for name, value in mapping.items()}
        state = {name: value for name, value in names.items() if isinstance(value, Tensor)}
        if len(known & state.keys()) > len(known & best.keys()):
            best = state
    if not best:
        raise CheckpointError(
            f"{path}: holds no weights of {official.system} under the authors' names; bring their checkpoint, or its "
            "state dict, or choose the recipe of the system that it is of"
        )
    return {name: value.float() for name, value in best.items()}


def _size(state: Mapping[str, Tensor], name: str, axis: int, path: Path) -> int:
    shape = tuple(state[name].shape)
    if axis >= len(shape):
        raise CheckpointError(
            f"{path}: {name!r} is {shape}, which has too few axes; bring the checkpoint of a released network"
        )
    return shape[axis]


def _check_shapes(state: Mapping[str, Tensor], official: Official, network: nn.Module, path: Path) -> None:
    """Raises CheckpointError, by the authors' names, unless every tensor is as large as the others say."""
    expected = official.write(network.state_dict())
    wrong = [
        f"{name!r} is {tuple(state[name].shape)}, not {tuple(value.shape)}"
        for name, value in expected.items()
        if state[name].shape != value.shape
    ]
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CheckpointError(
            f"{path}: is not that of a released {official.system}: {', '.join(wrong[:3])}{more}; bring a checkpoint "
            "of that system, or choose the recipe of the system that it is of"
        )


def _check_said(content: Any, official: Official, settings: Any, path: Path) -> None:
    """Wrong heads or a wrong temperature would give wrong scores without any error, as would another system's clips."""
    for mapping in _mappings(content):
        for theirs, paths in official.said.items():
            said = mapping.get(theirs)
            other = [ours for ours in paths if _value(settings, ours) != said]
            if isinstance(said, (int, float)) and other:
                change = " ".join(f"--set {ours}={said}" for ours in other)
                raise CheckpointError(
                    f"{path}: was trained with {theirs}={said}, but the recipe has "
                    f"{_value(settings, other[0])}; add `{change}`"
                )
        for sign, there in official.signs.items():
            if "n_heads" in mapping and (sign in mapping) != there:
                raise CheckpointError(
                    f"{path}: its settings have {'no ' if there else ''}{sign}, so it is not of {official.system}; "
                    "choose the recipe of the system that it is of"
                )


def _value(settings: Any, path: str) -> Any:
    group, _, name = path.partition(".")
    return getattr(getattr(settings, group), name)


def _mappings(content: Any, depth: int = 2) -> Iterator[Mapping[Any, Any]]:
    """The file's outer mapping and those in it."""
    if isinstance(content, Mapping):
        yield content
        if depth:
            for value in content.values():
                yield from _mappings(value, depth - 1)
