"""Moment-DETR's folders: one npz a video with `features`, one npz a query with `last_hidden_state`."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prvr.core.errors import FeatureError
from prvr.features.packs.base import check_size, no_such_key, rows_of

FIELDS = ("features", "last_hidden_state", "pooler_output")  # the first that a file has


class NpzPack:
    """One folder, or several side by side: features next to each other, cut to the shortest.

    Several folders are of different backbones, so each row of each is brought to unit length first, as Moment-DETR
    does; the rows of one folder stay as they are.
    """

    def __init__(self, *folders: Path) -> None:
        if not folders:
            raise FeatureError("a pack of npz files needs at least one folder")
        self.folders = folders
        self.path = folders[0]
        self.name = "+".join(folder.name for folder in folders)
        names = [{file.stem for file in folder.glob("*.npz")} for folder in folders]
        self._keys = dict.fromkeys(sorted(set.intersection(*names)))
        if not self._keys:
            where = " and ".join(map(str, folders))
            raise FeatureError(f"{where}: no npz file of the same name in each; expected one a video or one a query")
        first = [_load(folder / f"{next(iter(self._keys))}.npz") for folder in folders]
        self._widths = [int(array.shape[-1]) if array.ndim else 1 for array in first]
        self.width, self.dtype = sum(self._widths), str(first[0].dtype)

    @property
    def files(self) -> Sequence[Path]:
        """Every npz file that is read."""
        return [folder / f"{key}.npz" for folder in self.folders for key in self._keys]

    def __len__(self) -> int:
        return len(self._keys)

    def keys(self) -> Sequence[str]:
        """File names without their ending, of files that every folder has, sorted."""
        return list(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def read(self, key: str) -> Tensor:
        """-> (n, E) float32."""
        if key not in self._keys:
            raise no_such_key(self, key)
        files = [folder / f"{key}.npz" for folder in self.folders]
        parts = [rows_of(_load(file), width, where=f"{file}") for file, width in zip(files, self._widths, strict=True)]
        if len(parts) == 1:
            return parts[0]
        shortest = min(map(len, parts))
        return torch.cat([part[:shortest] / (part[:shortest].norm(dim=1, keepdim=True) + 1e-5) for part in parts], 1)


def _load(file: Path) -> NDArray[np.generic]:
    try:
        with file.open("rb") as content, np.load(content, allow_pickle=False) as arrays:
            name = next((field for field in FIELDS if field in arrays), None)
            if name is None:
                raise FeatureError(f"{file}: has none of {', '.join(FIELDS)}; found {', '.join(arrays) or 'nothing'}")
            _check(arrays.zip, f"{name}.npy", where=f"{file}: {name}")
            return np.asarray(arrays[name])
    except (
        OSError,
        ValueError,
        KeyError,
        BadZipFile,
        EOFError,
        TypeError,
        AttributeError,
        MemoryError,
        zlib.error,
    ) as error:
        raise FeatureError(f"{file}: is not a whole npz file ({error}); get it again") from error


def _check(archive: ZipFile, name: str, *, where: str) -> None:
    """Raises FeatureError for an array that is larger than what lies there, by its header: nothing is unpacked."""
    with archive.open(name) as content:
        version = np.lib.format.read_magic(content)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(content)
    declared, entry = math.prod(shape) * dtype.itemsize, archive.getinfo(name)
    if declared > entry.file_size:
        raise FeatureError(f"{where}: declares {declared:,} bytes and holds {entry.file_size:,}; get it again")
    check_size(declared, entry.compress_size, where=where)
