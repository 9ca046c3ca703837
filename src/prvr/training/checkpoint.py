"""Weights and the state of a run on disk: one safetensors file each, whole or not at all, never pickle.

`model.safetensors` holds weights by parameter name; its metadata are plain texts. `last.safetensors` holds all that is
needed to go on: weights (`model/NAME`), the optimiser's tensors (`optimizer/PARAMETER/KEY`), and notes in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from prvr.core.errors import CheckpointError
from prvr.core.files import write_whole

_MARK = "prvr"
_WEIGHTS, _STATE = "weights 1", "state 1"


class RunState(NamedTuple):
    """All that a run needs to go on, as it was saved."""

    weights: dict[str, Tensor]  # of the model, by name
    moments: dict[str, dict[str, Any]]  # of the optimiser, by parameter and key
    groups: list[dict[str, Any]]  # plain settings of the optimiser's groups
    notes: dict[str, Any]


def save_weights(path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """A state dict and what to know about it -> one file. Raises CheckpointError when it cannot be written."""
    assert _MARK not in metadata, f"{_MARK!r} is the mark of the format itself"
    _write(path, dict(weights), {**metadata, _MARK: _WEIGHTS})


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """-> state dict on the CPU, metadata. Raises CheckpointError for a missing, truncated or foreign file."""
    tensors, metadata = _read(path, _WEIGHTS)
    del metadata[_MARK]
    return tensors, metadata


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of `load_weights`, without reading the weights."""
    metadata = _read(path, _WEIGHTS, tensors=False)[1]
    del metadata[_MARK]
    return metadata


def put_weights(model: nn.Module, weights: Mapping[str, Tensor], *, where: str) -> None:
    """Fill a model. Raises CheckpointError, with the first difference, when they are those of another model."""
    own = model.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in sorted(shapes.keys() | found.keys()):
        if shapes.get(name) != found.get(name):
            raise CheckpointError(
                f"{where}: holds the weights of another model ({name} is {found.get(name, 'not there')}, expected "
                f"{shapes.get(name, 'none')}); open it with the recipe and settings it was trained with"
            )
    model.load_state_dict(dict(weights))


def save_state(path: Path, model: nn.Module, optimizer: Optimizer, notes: Mapping[str, Any]) -> None:
    """Model, optimiser and `notes` (JSON values) -> one file. Raises CheckpointError when it cannot be written."""
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    plain: dict[str, dict[str, Any]] = {}
    for name, parameter in zip(_names(model, optimizer), _parameters(optimizer), strict=True):
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{name}/{key}"] = value
            else:
                plain.setdefault(name, {})[key] = value
    groups = [
        {key: value for key, value in group.items() if isinstance(value, (bool, int, float, str))}
        for group in optimizer.param_groups
    ]
    texts = {"notes": dict(notes), "plain": plain, "groups": groups}
    _write(path, tensors, {_MARK: _STATE, **{name: json.dumps(value) for name, value in texts.items()}})


def load_state(path: Path) -> RunState:
    """What `save_state` wrote. Raises CheckpointError for a missing, truncated or foreign file."""
    tensors, metadata = _read(path, _STATE)
    moments: dict[str, dict[str, Any]] = json.loads(metadata["plain"])
    weights = {}
    for full_name, tensor in tensors.items():
        part, _, name = full_name.partition("/")
        if part == "model":
            weights[name] = tensor
        else:
            parameter, _, key = name.rpartition("/")
            moments.setdefault(parameter, {})[key] = tensor
    return RunState(weights, moments, json.loads(metadata["groups"]), json.loads(metadata["notes"]))


def read_notes(path: Path) -> dict[str, Any]:
    """The notes of `load_state`, without reading the tensors."""
    notes: dict[str, Any] = json.loads(_read(path, _STATE, tensors=False)[1]["notes"])
    return notes


def restore(state: RunState, model: nn.Module, optimizer: Optimizer, *, where: str) -> None:
    """Put a saved state back. Raises CheckpointError when model or optimiser are not those it was saved from."""
    put_weights(model, state.weights, where=where)
    names = _names(model, optimizer)
    current = optimizer.state_dict()["param_groups"]
    if not set(state.moments) <= set(names) or len(current) != len(state.groups):
        raise CheckpointError(
            f"{where}: was saved with another optimiser; go on with the settings it was begun with, "
            "or train into another folder"
        )
    optimizer.load_state_dict(
        {
            "state": {i: state.moments[name] for i, name in enumerate(names) if name in state.moments},
            "param_groups": [{**now, **saved} for now, saved in zip(current, state.groups, strict=True)],
        }
    )


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _names(model: nn.Module, optimizer: Optimizer) -> list[str]:
    """The names of the optimiser's parameters, in its own order."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    parameters = _parameters(optimizer)
    assert all(parameter in names for parameter in parameters), "the optimiser holds parameters of another model"
    return [names[parameter] for parameter in parameters]


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    # Copies, since safetensors refuses tensors that share memory (tied weights).
    content = save({name: _plain(tensor) for name, tensor in tensors.items()}, metadata)
    try:
        write_whole(path, content)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be written ({error.strerror}); what was there before stays. "
            "Free some space or choose another folder, then run the same command again"
        ) from error


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _read(path: Path, kind: str, *, tensors: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    what = kind.partition(" ")[0]
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = dict(file.metadata() or {})
            names = list(file.keys()) if tensors else []
            loaded: dict[str, Tensor] = {name: file.get_tensor(name) for name in names}
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: there is no such file; train with `prvr train RECIPE --data DIR --out {path.parent}`"
        ) from error
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path}: the {what} cannot be read ({reason}); take the file from a copy, or train into another folder"
        ) from error
    if metadata.get(_MARK) != kind:
        raise CheckpointError(
            f"{path}: is no file of {what} that this prvr wrote "
            f"(its mark is {metadata.get(_MARK, 'missing')!r}, expected {kind!r}); give the folder of a run"
        )
    return loaded, metadata
