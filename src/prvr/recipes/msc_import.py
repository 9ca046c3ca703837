"""An authors' checkpoint -> settings and weights of ours, so that scores equal the official ones.

Theirs is a pickle, which can run any program when it is opened. It is read by torch's restricted reader, which knows
tensors and plain values and nothing else; a file that needs more is refused unopened.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prvr.core.errors import CheckpointError
from prvr.models.msc import MSC, MSCConfig
from prvr.models.msc_official import from_official, official_names
from prvr.recipes.msc import MSCSettings
from prvr.training.checkpoint import put_weights

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
_SAID = {"sft_factor": "sft_factor", "n_heads": "heads"}  # what their settings say -> ours; no shape shows these


def import_official(path: Path, base: MSCSettings) -> tuple[MSCSettings, dict[str, Tensor]]:
    """The settings and weights of a network that the authors' code trained.

    Sizes come from the shapes of its tensors; all else from `base`: the number of heads and `sft_factor`, which no
    shape shows, and how videos are prepared. Raises CheckpointError for a file that is missing or damaged, that holds
    more than tensors and plain values, whose names or shapes are not those of MSC, or whose own settings contradict
    `base`; ConfigError for heads that do not divide the width.
    """
    content = _read(path)
    weights = from_official(_state_dict(content, path), where=str(path))
    _check_said(content, base.model, path)
    settings = replace(base, model=_sized(base.model, weights, path))
    put_weights(MSC(settings.model), weights, where=str(path))
    return settings, weights


def _read(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
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


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """The mapping, wherever in the file, that has most of the authors' names; `module.` of several GPUs is removed."""
    known, best = official_names().keys(), dict[str, Tensor]()
    for mapping in _mappings(content):
        names = {str(name).removeprefix("module."): value for name, value in mapping.items()}
        state = {name: value for name, value in names.items() if isinstance(value, Tensor)}
        if len(known & state.keys()) > len(known & best.keys()):
            best = state
    if not best:
        raise CheckpointError(f"{path}: holds no weights of MSC under the authors' names; bring their state dict")
    return {name: value.float() for name, value in best.items()}


def _sized(config: MSCConfig, weights: Mapping[str, Tensor], path: Path) -> MSCConfig:
    """The settings with the sizes that the shapes show."""
    try:
        return replace(
            config,
            video_width=weights["frame_input.linear.weight"].shape[1],
            text_width=weights["query_input.linear.weight"].shape[1],
            hidden=len(weights["weight_token"]),
            max_words=weights["query_positions.weight"].shape[0],
            frames=weights["frame_mixture.mix_out.weight"].shape[0],
            clips=weights["clip_mixture.mix_out.weight"].shape[0],
            alignment="linear",  # which every released network has
        )
    except IndexError as error:
        raise CheckpointError(f"{path}: a tensor has too few axes; bring the checkpoint of a released MSC") from error


def _check_said(content: Any, config: MSCConfig, path: Path) -> None:
    """Wrong heads or a wrong temperature would give wrong scores without any error."""
    for mapping in _mappings(content):
        for theirs, ours in _SAID.items():
            said, expected = mapping.get(theirs), getattr(config, ours)
            if isinstance(said, (int, float)) and said != expected:
                raise CheckpointError(
                    f"{path}: was trained with {theirs}={said}, but the recipe has {expected}; "
                    f"add `--set model.{ours}={said}`"
                )


def _mappings(content: Any, depth: int = 2) -> Iterator[Mapping[Any, Any]]:
    """The file's outer mapping and those in it."""
    if isinstance(content, Mapping):
        yield content
        if depth:
            for value in content.values():
                yield from _mappings(value, depth - 1)
