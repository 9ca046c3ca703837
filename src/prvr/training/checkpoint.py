"""The state of a run on disk: one safetensors file, whole or not at all, never pickle.

`last.safetensors` holds all that is needed to go on: weights (`model/NAME`), the optimiser's tensors
(`optimizer/PARAMETER/KEY`), and notes in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.optim import Optimizer

from prvr.core.errors import CheckpointError
from prvr.core.weights import put_weights, read_tensors, write_tensors

_STATE = "state 1"


class RunState(NamedTuple):
    """All that a run needs to go on, as it was saved."""

    weights: dict[str, Tensor]  # of the model, by name
    moments: dict[str, dict[str, Any]]  # of the optimiser, by parameter and key
    groups: list[dict[str, Any]]  # plain settings of the optimiser's groups
    notes: dict[str, Any]


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
    write_tensors(path, tensors, {name: json.dumps(value, sort_keys=True) for name, value in texts.items()}, _STATE)


def load_state(path: Path) -> RunState:
    """What `save_state` wrote. Raises CheckpointError for a missing, truncated or foreign file."""
    tensors, metadata = read_tensors(path, _STATE)
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
    notes: dict[str, Any] = json.loads(read_tensors(path, _STATE, tensors=False)[1]["notes"])
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
