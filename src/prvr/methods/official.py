"""The authors' parameter names and ours: parts that every system's map is put together from, and the way across.

A map says for each of their tensors in which of ours it lies, and at which index: attention layers that they keep
apart are stacked here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from prvr.core.errors import CheckpointError

Place = tuple[str, tuple[int, ...]]
"""Our parameter's name, and the index of the part that is theirs; () = all of it."""

Places = Mapping[str, Place]
"""Each of the authors' names -> where it lies in ours."""

Sizes = Mapping[str, tuple[str, int]]
"""A size in our settings -> the authors' tensor that shows it, and the axis that is as long."""


_STACKED = re.compile("(qkv|out|up|down|norm[12]?)_(weight|bias)")


@dataclass(frozen=True, kw_only=True)
class Official:
    """How a system's authors write a network down: all that is needed to read a checkpoint of theirs."""

    system: str
    places: Places
    sizes: Sizes
    unused: Sequence[str] = ()  # how names begin of tensors that nothing reads
    vectors: Sequence[str] = ()  # ours of one axis, which with them has two axes of length 1 in front
    said: Mapping[str, Sequence[str]] = field(default_factory=dict)  # their settings that no shape shows -> all of ours
    implied: Mapping[str, object] = field(default_factory=dict)  # our settings of the model that all of theirs have
    signs: Mapping[str, bool] = field(default_factory=dict)  # names that their settings have, or those of others have

    def read(self, state: Mapping[str, Tensor], *, where: str = "this state dict") -> dict[str, Tensor]:
        """Their weights under our names and in our shapes.

        Raises CheckpointError when a tensor is missing or unknown, or when those of several layers differ in shape.
        """
        self.check_names(state, where=where)
        parts: dict[str, dict[tuple[int, ...], Tensor]] = {}
        for theirs, (ours, index) in self.places.items():
            parts.setdefault(ours, {})[index] = state[theirs]
        for ours, found in parts.items():
            if len(shapes := {tuple(value.shape) for value in found.values()}) > 1:
                raise CheckpointError(
                    f"{where}: is not that of a released {self.system}: layers of {ours} differ, {shapes}"
                )
        weights = {ours: _stacked(found) for ours, found in parts.items()}
        return weights | {name: weights[name].flatten() for name in self.vectors}

    def write(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our weights (or gradients, under the same names) as they name and shape them; views where possible."""
        shaped = {name: value.view(1, 1, -1) if name in self.vectors else value for name, value in state.items()}
        return {theirs: shaped[ours][index] for theirs, (ours, index) in self.places.items()}

    def check_names(self, state: Mapping[str, Tensor], *, where: str) -> None:
        """Raises CheckpointError, by the authors' names, when a tensor is missing or unknown."""
        known = {name for name in state if not name.startswith(tuple(self.unused))}
        missing, unknown = sorted(self.places.keys() - known), sorted(known - self.places.keys())
        if missing or unknown:
            what = [f"lacks {some(missing)}"] * bool(missing) + [f"has unknown {some(unknown)}"] * bool(unknown)
            raise CheckpointError(
                f"{where}: is not that of a released {self.system}: it {' and '.join(what)}; "
                "bring a checkpoint of that system, or choose the recipe of the system that it is of"
            )


def family_sizes(query: str = "query", frame: str = "frame") -> dict[str, tuple[str, int]]:
    """The sizes of MS-SL's family, by how the names of the two branches begin."""
    return {
        "video_width": (f"{frame}_input_proj.net.1.weight", 1),
        "text_width": (f"{query}_input_proj.net.1.weight", 1),
        "hidden": (f"{query}_input_proj.net.1.weight", 0),
        "max_words": (f"{query}_pos_embed.position_embeddings.weight", 0),
        "frames": (f"{frame}_pos_embed.position_embeddings.weight", 0),
    }


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


LAYER = (("output.dense", "out"), ("output.LayerNorm", "norm"))
"""What comes after attention in a layer, by their names and by ours."""


def layer_places(theirs: str, ours: str, k: int = 0, *, after: Sequence[tuple[str, str]] = LAYER) -> dict[str, Place]:
    """The k-th layer of `AttentionLayers`, or with other parts `after` attention the k-th of `AttentionBlocks`."""
    places: dict[str, Place] = {}
    for kind in ("weight", "bias"):
        for i, part in enumerate(("query", "key", "value")):
            places[f"{theirs}.self.{part}.{kind}"] = (f"{ours}.qkv_{kind}", (i, k))
        places |= {f"{theirs}.{a}.{kind}": (f"{ours}.{b}_{kind}", (k,)) for a, b in after}
    return places


def stack_depth(name: str) -> int:
    """How many leading axes of our parameter count tensors that the authors keep apart: those of layers and blocks.

    They clip the gradient of each tensor by itself. 2 for queries, keys and values, 1 for the rest of a layer, else 0.
    """
    stacked = _STACKED.fullmatch(name.rpartition(".")[2])
    return 0 if not stacked else 2 if stacked[1] == "qkv" else 1


def undecayed(name: str) -> bool:
    """What the authors of this family spare from weight decay: every bias and every norm."""
    return name.endswith("bias") or "norm" in name


def some(names: Sequence[str], most: int = 3) -> str:
    """The first few of many names, for people."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


def _stacked(parts: Mapping[tuple[int, ...], Tensor]) -> Tensor:
    """Parts at all indices of a grid -> one tensor with the grid's axes in front."""
    if () in parts:
        return parts[()]
    first = sorted({index[0] for index in parts})
    rest = [{index[1:]: part for index, part in parts.items() if index[0] == i} for i in first]
    return torch.stack([_stacked(inner) for inner in rest])
