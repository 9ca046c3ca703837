"""Weights on disk: safetensors files, whole or not at all, never pickle.

`model.safetensors` holds weights by parameter name; its metadata are plain texts.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from prvr.core.errors import CheckpointError
from prvr.core.files import write_whole

WEIGHTS = "model.safetensors"
_MARK = "prvr"
SUM = "sha256"  # of the tensors, in the metadata; files that were written before have none
_WEIGHTS = "weights 1"
HEAD, MOST_HEAD = 4096, 100 << 20  # bytes of a file's head: what is read at once, and what the format allows


def save_weights(path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """A state dict and what to know about it -> one file. Raises CheckpointError when it cannot be written."""
    assert _MARK not in metadata, f"{_MARK!r} is the mark of the format itself"
    write_tensors(path, dict(weights), dict(metadata), _WEIGHTS)


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """-> state dict on the CPU, metadata. Raises CheckpointError for a missing, truncated or foreign file."""
    return read_tensors(path, _WEIGHTS)


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of `load_weights`, without reading the weights."""
    return read_tensors(path, _WEIGHTS, tensors=False)[1]


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


def tensor_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file of tensors and texts; the same ones make the same bytes.

    safetensors writes its texts in an order that differs from call to call. Places of tensors count from the end of the
    header, so that it can be written again, in order.
    """
    content = save(dict(tensors), dict(metadata))
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight
    return b"".join((len(text).to_bytes(8, "little"), text, memoryview(content)[start:]))  # one copy, not two


def metadata_of(path: Path | str) -> dict[str, str]:
    """The texts in a whole safetensors file, of which only the head is read: for a look at thousands.

    Raises OSError, and ValueError for another file or one that was cut off.
    """
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - half the time of Path.open
        head = file.read(HEAD)
        start = 8 + int.from_bytes(head[:8], "little")
        if start > len(head):
            head += file.read(min(start, MOST_HEAD) - len(head))
        size = os.fstat(file.fileno()).st_size
    try:
        header = json.loads(head[8:start])
        texts: dict[str, str] = header.pop("__metadata__")
        end = start + max((one["data_offsets"][1] for one in header.values()), default=0)
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: is no safetensors file of ours ({error})") from error
    if end != size:
        raise ValueError(f"{path}: has {size} bytes, and says {end}")
    return texts


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str], kind: str) -> None:
    """Tensors and texts -> one file of some `kind`, which it says. Raises CheckpointError when it cannot be written."""
    # Copies, since safetensors refuses tensors that share memory (tied weights).
    plain = {name: _plain(tensor) for name, tensor in tensors.items()}
    content = tensor_bytes(plain, {**metadata, _MARK: kind, SUM: digest(plain)})
    try:
        write_whole(path, content)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be written ({error.strerror}); what was there before stays. "
            "Free some space or choose another folder, then run the same command again"
        ) from error


def read_tensors(path: Path, kind: str, *, tensors: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What `write_tensors` wrote. Raises CheckpointError for a missing, damaged or foreign file."""
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
    del metadata[_MARK]
    if metadata.pop(SUM, None) not in (None, digest(loaded)) and tensors:
        raise CheckpointError(
            f"{path}: the {what} are damaged: not the numbers that were written; take the file from a copy, or train "
            "into another folder"
        )
    return loaded, metadata


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of some tensors on the CPU, with their names, types and shapes."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        total.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
