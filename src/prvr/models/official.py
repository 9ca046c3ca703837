"""The authors' parameter names and ours: parts that every system's map is put together from, and the way across.

A map says for each of their tensors in which of ours it lies, and at which index: attention layers that they keep
apart are stacked here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from prvr.core.errors import CheckpointError

Place = tuple[str, tuple[int, ...]]
"""Our parameter's name, and the index of the part that is theirs; () = all of it."""

Places = Mapping[str, Place]
"""Each of the authors' names -> where it lies in ours."""


def linear_places(theirs: str, ours: str) -> dict[str, Place]:
    """A linear layer or a layer norm: weight and bias."""
    return {f"{theirs}.{kind}": (f"{ours}.{kind}", ()) for kind in ("weight", "bias")}


def projection_places(theirs: str, ours: str) -> dict[str, Place]:
    """An `InputProjection`."""
    return linear_places(f"{theirs}.LayerNorm", f"{ours}.norm") | linear_places(f"{theirs}.net.1", f"{ours}.linear")


def position_places(theirs: str, ours: str) -> dict[str, Place]:
    """Learned `Positions`."""
    table: dict[str, Place] = {f"{theirs}.position_embeddings.weight": (f"{ours}.weight", ())}
    return table | linear_places(f"{theirs}.LayerNorm", f"{ours}.norm")


def layer_places(theirs: str, ours: str, k: int = 0) -> dict[str, Place]:
    """The k-th layer of `AttentionLayers`."""
    places: dict[str, Place] = {}
    for kind in ("weight", "bias"):
        for i, part in enumerate(("query", "key", "value")):
            places[f"{theirs}.self.{part}.{kind}"] = (f"{ours}.qkv_{kind}", (i, k))
        places[f"{theirs}.output.dense.{kind}"] = (f"{ours}.out_{kind}", (k,))
        places[f"{theirs}.output.LayerNorm.{kind}"] = (f"{ours}.norm_{kind}", (k,))
    return places


def import_weights(
    state: Mapping[str, Tensor], places: Places, *, system: str, where: str, unused: Sequence[str] = ()
) -> dict[str, Tensor]:
    """The authors' weights under our names and in our shapes; tensors whose names begin as in `unused` are left out.

    Raises CheckpointError when a tensor is missing or unknown, or when those of several layers differ in shape.
    """
    known = {name: value for name, value in state.items() if not name.startswith(tuple(unused))}
    missing, unknown = sorted(places.keys() - known.keys()), sorted(known.keys() - places.keys())
    if missing or unknown:
        what = [f"lacks {_some(missing)}"] * bool(missing) + [f"has unknown {_some(unknown)}"] * bool(unknown)
        raise CheckpointError(
            f"{where}: is not that of a released {system}: it {' and '.join(what)}; bring the state dict of one"
        )
    parts: dict[str, dict[tuple[int, ...], Tensor]] = {}
    for theirs, (ours, index) in places.items():
        parts.setdefault(ours, {})[index] = known[theirs]
    for ours, found in parts.items():
        if len(shapes := {tuple(value.shape) for value in found.values()}) > 1:
            raise CheckpointError(f"{where}: is not that of a released {system}: layers of {ours} differ, {shapes}")
    return {ours: _stacked(found) for ours, found in parts.items()}


def export_weights(state: Mapping[str, Tensor], places: Places) -> dict[str, Tensor]:
    """Our weights (or gradients, under the same names) as the authors name and shape them; views where possible."""
    return {theirs: state[ours][index] for theirs, (ours, index) in places.items()}


def stack_depth(name: str) -> int:
    """How many leading axes of our parameter count tensors that the authors keep apart, in `AttentionLayers`.

    They clip the gradient of each tensor by itself. 2 for queries, keys and values, 1 for the rest of a layer, else 0.
    """
    if name.endswith(("qkv_weight", "qkv_bias")):
        return 2
    return int(name.endswith(("out_weight", "out_bias", "norm_weight", "norm_bias")))


def undecayed(name: str) -> bool:
    """What the authors of this family spare from weight decay: every bias and every norm."""
    return name.endswith("bias") or "norm" in name


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


def _stacked(parts: Mapping[tuple[int, ...], Tensor]) -> Tensor:
    """Parts at all indices of a grid -> one tensor with the grid's axes in front."""
    if () in parts:
        return parts[()]
    first = sorted({index[0] for index in parts})
    rest = [{index[1:]: part for index, part in parts.items() if index[0] == i} for i in first]
    return torch.stack([_stacked(inner) for inner in rest])
