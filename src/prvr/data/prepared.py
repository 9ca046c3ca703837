"""What never changes between epochs and runs, worked out once and then read: a folder of `.npy` files that map.

A folder is written under another name and renamed when it is whole; deleting one costs only the time to make it again.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import torch
from torch import Tensor

from prvr.core.files import half_written
from prvr.core.method import Prepared
from prvr.core.types import VideoFeatures, Videos
from prvr.data.sources import QueryTable


@dataclass(frozen=True)
class Frames:
    """Frames of V videos and nothing else."""

    frames: Tensor  # (V, T, E)


R = TypeVar("R", Videos, QueryTable, Frames)

_VIDEOS = 32  # prepared at a time
SUMS = "sums.json"  # CRC-32 of each array's numbers; none where an earlier version wrote them


def prepared_videos(
    folder: Path, video_ids: Sequence[str], read: Callable[[str], VideoFeatures], prepared: Prepared
) -> Videos:
    """V videos as a model reads them, mapped from `folder`, which is filled first if it is not there.

    Videos that come out of different length stay in memory, as does everything where the disk is full or read-only.
    """
    found = _open(folder, prepared.kind)
    if found is not None:
        return found
    with suppress(OSError, _DifferentLengthsError):
        _write(folder, len(video_ids), _in_parts(video_ids, read, prepared))
    found = _open(folder, prepared.kind)  # ours, or what another process was first with
    return found if found is not None else prepared.make([read(video_id) for video_id in video_ids])


def prepared_queries(folder: Path, make: Callable[[], QueryTable]) -> QueryTable:
    """Q queries, mapped from `folder`, which is filled first if it is not there; in memory where it cannot be."""
    found = _open(folder, QueryTable)
    if found is not None:
        return found
    table = make()
    with suppress(OSError):
        _write(folder, None, iter([table]))
    return _open(folder, QueryTable) or table


def prepared_frames(folder: Path, number: int, make: Callable[[range], Tensor]) -> Tensor:
    """(number, T, E), some rows of which `make` makes at a time, mapped from `folder`, which is filled first if it is
    not there; in memory where it cannot be.
    """
    found = _open(folder, Frames)
    if found is None:
        with suppress(OSError):
            lots = (range(at, min(at + _VIDEOS, number)) for at in range(0, number, _VIDEOS))
            _write(folder, number, (Frames(make(rows)) for rows in lots))
        found = _open(folder, Frames)
    return make(range(number)) if found is None else found.frames


class _DifferentLengthsError(Exception):
    """Two videos of different length: nothing that one array can hold."""


def _in_parts(video_ids: Sequence[str], read: Callable[[str], VideoFeatures], prepared: Prepared) -> Iterator[Videos]:
    for at in range(0, len(video_ids), _VIDEOS):
        yield prepared.make([read(video_id) for video_id in video_ids[at : at + _VIDEOS]])


def _open(folder: Path, kind: type[R]) -> R | None:
    """The record that lies in a folder, mapped, or None when it is not there; one that is damaged is taken away."""
    try:
        arrays = {field.name: np.load(folder / f"{field.name}.npy", mmap_mode="c") for field in fields(kind)}
        sums = json.loads((folder / SUMS).read_text(encoding="ascii")) if (folder / SUMS).exists() else None
        damaged = sums is not None and {name: zlib.crc32(array) for name, array in arrays.items()} != sums
    except (OSError, ValueError, EOFError):
        damaged = folder.is_dir()
    if damaged:
        shutil.rmtree(folder, ignore_errors=True)
    if damaged or not folder.is_dir():
        return None
    return kind(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def _write(folder: Path, rows: int | None, parts: Iterator[Videos] | Iterator[QueryTable] | Iterator[Frames]) -> None:
    """Records end to end, `rows` of them in all (None: what the first one has). Raises OSError for a full disk."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = half_written(folder)
    part.mkdir()
    try:
        with ExitStack() as stack:
            files: dict[str, BinaryIO] = {}
            sums: dict[str, int] = {}
            shapes: dict[str, torch.Size] = {}
            for record in parts:
                for name, tensor in vars(record).items():
                    if name not in files:
                        files[name] = stack.enter_context((part / f"{name}.npy").open("wb"))
                        _header(files[name], tensor, rows)
                        shapes[name] = tensor.shape[1:]
                    if tensor.shape[1:] != shapes[name]:
                        raise _DifferentLengthsError
                    content = tensor.contiguous().numpy().tobytes()
                    files[name].write(content)
                    sums[name] = zlib.crc32(content, sums.get(name, 0))
            (part / SUMS).write_text(json.dumps(sums), encoding="ascii")
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _header(file: BinaryIO, tensor: Tensor, rows: int | None) -> None:
    shape = (len(tensor) if rows is None else rows, *tensor.shape[1:])
    descr = np.lib.format.dtype_to_descr(tensor.numpy().dtype)
    np.lib.format.write_array_header_2_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
