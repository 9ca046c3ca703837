"""HDF5 packs: one file a modality, key -> (n, E). What MSC, DL-DKD and most others publish."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from prvr.core.errors import FeatureError
from prvr.features.packs.base import no_such_key, rows_of

if TYPE_CHECKING:
    import h5py

SUFFIXES = (".h5", ".hdf5")


class Hdf5Pack:
    """One HDF5 file, opened read-only.

    Safe to share between threads (h5py takes turns by itself) and across a fork: each process opens the file once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem
        self._opened: tuple[int, h5py.File] | None = None  # process id, file
        try:
            self._keys = dict.fromkeys(self._file)
        except (RuntimeError, ValueError) as error:  # what h5py says where the inside of a file is damaged
            raise FeatureError(f"{path}: its list of keys is damaged ({error}); get the pack again") from error
        if not self._keys:
            raise FeatureError(f"{path}: holds no features at all; get the pack again")
        first = self._read(next(iter(self._keys)))
        self.width, self.dtype = (int(first.shape[-1]) if first.ndim else 1), str(first.dtype)

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        return type(self), (self.path,)  # an open file cannot travel to another process; its path can

    def __len__(self) -> int:
        return len(self._keys)

    def keys(self) -> Sequence[str]:
        """In the file's own order."""
        return list(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def read(self, key: str) -> Tensor:
        """-> (n, E) float32."""
        if key not in self._keys:
            raise no_such_key(self, key)
        return rows_of(self._read(key), self.width, where=f"{self.path}: key {key!r}")

    def _read(self, key: str) -> NDArray[np.generic]:
        try:
            return np.asarray(self._file[key][()])
        except (OSError, RuntimeError, KeyError, TypeError, AttributeError) as error:
            raise FeatureError(
                f"{self.path}: key {key!r} holds no array that can be read ({error}); get the pack again"
            ) from error

    @property
    def _file(self) -> h5py.File:
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                # no lock: nobody writes a pack in place, and a lock fails on many network disks
                file = _h5py().File(self.path, "r", locking=False)
            except OSError as error:
                raise FeatureError(
                    f"{self.path}: is not a whole HDF5 file ({error}); get it again, and compare its size"
                ) from error
            self._opened = os.getpid(), file
        return self._opened[1]


def write_hdf5(
    path: Path, rows: Iterable[tuple[str, Tensor]], *, dtype: Literal["float16", "float32"] = "float32", note: str = ""
) -> int:
    """(key, (n, E)) one after the other -> one file, whole or not at all; the number of keys.

    `note` is kept in the file's attribute `note`. Raises FeatureError for a key that HDF5 cannot hold, one that
    comes twice, and for a disk that is full or read-only.
    """
    h5py = _h5py()
    part = path.with_name(f".{path.name[:40]}.{os.getpid()}.tmp")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(part, "w") as file:
            file.attrs["note"] = note
            for key, features in rows:
                if not key or "/" in key or key == "." or key in file:
                    why = "comes twice" if key in file and "/" not in key else "cannot be a key of HDF5"
                    raise FeatureError(f"{path}: id {key!r} {why}; give that video or query another id")
                file.create_dataset(key, data=features.numpy().astype(dtype))
                count += 1
        with part.open("rb+") as done:
            os.fsync(done.fileno())
        part.replace(path)
    except OSError as error:
        raise FeatureError(f"{path}: cannot be written ({error}); free some space or choose another folder") from error
    finally:
        part.unlink(missing_ok=True)
    return count


def _h5py() -> ModuleType:
    try:
        import h5py
    except ImportError as error:
        raise FeatureError("HDF5 packs need h5py; add it with `pip install 'prvr[packs]'`") from error
    module: ModuleType = h5py
    return module
