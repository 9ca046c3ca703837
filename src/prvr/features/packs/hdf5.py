"""HDF5 packs: one file a modality, key -> (n, E). What MSC, DL-DKD and most others publish.

To HDF5 a key with slashes is a path through groups; here it is one key again. Where every key is a group around one
array that is always called the same (ActivityNet's C3D: `v_id/c3d_features`), the group is the key.

HDF5 lets a file say that what it holds lies in another one, anywhere on the machine. A pack may not.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from prvr.core.errors import FeatureError
from prvr.core.files import half_written
from prvr.features.packs.base import check_size, no_such_key, rows_of

if TYPE_CHECKING:
    import h5py
    from _typeshed import ReadableBuffer, WriteableBuffer

SUFFIXES = (".h5", ".hdf5")
ELSEWHERE = "leads to another file, which no pack needs; get the pack again from whoever made it"


class Hdf5Pack:
    """One HDF5 file, opened read-only.

    Safe to share between threads (h5py takes turns by itself) and across a fork: each process opens the file once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem
        self._opened: tuple[int, h5py.File] | None = None  # process id, file
        try:
            links: list[tuple[str, int]] = []
            self._file.id.links.visit(lambda name, link: links.append((os.fsdecode(name), link.type)), info=True)
        except (RuntimeError, ValueError) as error:  # what h5py says where the inside of a file is damaged
            raise FeatureError(f"{path}: its list of keys is damaged ({error}); get the pack again") from error
        for name, kind in links:
            if kind not in (_h5py().h5l.TYPE_HARD, _h5py().h5l.TYPE_SOFT):
                raise FeatureError(f"{path}: key {name!r} {ELSEWHERE}")
        self._keys = _keys([name for name, _ in links])
        if not self._keys:
            raise FeatureError(f"{path}: holds no features at all; get the pack again")
        first = self._read(next(iter(self._keys)))
        self.width, self.dtype = (int(first.shape[-1]) if first.ndim else 1), str(first.dtype)

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        return type(self), (self.path,)  # an open file cannot travel to another process; its path can

    @property
    def files(self) -> Sequence[Path]:
        """The one file."""
        return [self.path]

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
            # h5py's own interface below its dictionaries: half the time, and a pack is a hundred thousand arrays
            opened = _h5py().h5d.open(self._file.id, os.fsencode(self._keys[key]))
            made = opened.get_create_plist()
            if made.get_external_count() or made.get_layout() == _h5py().h5d.VIRTUAL:
                raise FeatureError(f"{self.path}: key {key!r} {ELSEWHERE}")
            declared = math.prod(opened.shape) * opened.dtype.itemsize
            check_size(declared, opened.get_storage_size(), where=f"{self.path}: key {key!r}")
            array = np.empty(opened.shape, opened.dtype)
            opened.read(_h5py().h5s.ALL, _h5py().h5s.ALL, array)
            return array
        except (OSError, RuntimeError, KeyError, TypeError, AttributeError, ValueError, MemoryError) as error:
            raise FeatureError(
                f"{self.path}: key {key!r} holds no array that can be read ({error}); get the pack again"
            ) from error

    @property
    def _file(self) -> h5py.File:
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                file = _h5py().File(self.path, "r")
            except OSError as error:
                raise FeatureError(
                    f"{self.path}: is not a whole HDF5 file ({error}); get it again, and compare its size"
                ) from error
            self._opened = os.getpid(), file
        return self._opened[1]


def _keys(names: Sequence[str]) -> dict[str, str]:
    """The names of all groups and arrays of a file -> key -> the name of its array."""
    around = {name.rpartition("/")[0] for name in names}
    arrays = [name for name in names if name not in around]
    groups = [name.rpartition("/")[0] for name in arrays]
    one_each = len(arrays) > 1 and "" not in groups and len(set(groups)) == len(arrays)
    if one_each and len({name.rpartition("/")[2] for name in arrays}) == 1:
        return dict(zip(groups, arrays, strict=True))
    return {name: name for name in arrays}


def write_hdf5(
    path: Path, rows: Iterable[tuple[str, Tensor]], *, dtype: Literal["float16", "float32"] = "float32", note: str = ""
) -> int:
    """(key, (n, E)) one after the other -> one file, whole or not at all; the number of keys.

    `note` is kept in the file's attribute `note`. Raises FeatureError for a key that HDF5 cannot hold, one that
    comes twice, and for a disk that is full or read-only.
    """
    h5py = _h5py()
    part = half_written(path)
    seen: set[str] = set()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _Part(part) as disk, h5py.File(disk, "w") as file:
            file.attrs["note"] = note
            for key, features in rows:
                if key in seen or not key or "/" in key or key == ".":
                    why = "comes twice" if key in seen else "cannot be a key of HDF5"
                    raise FeatureError(f"{path}: id {key!r} {why}; give that video or query another id")
                seen.add(key)
                file.create_dataset(key, data=features.numpy().astype(dtype, copy=False))
                disk.check()
        part.replace(path)
    except OSError as error:
        raise FeatureError(
            f"{path}: cannot be written ({error.strerror or error}); free some space or choose another folder"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
    return len(seen)


class _Part(io.RawIOBase):
    """A file under HDF5 that keeps the first error to itself until `check` or the end of the `with` block.

    A full disk makes HDF5 itself print thousands of lines and crash when the process ends.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self._error: OSError | None = None

    def check(self) -> None:
        """Raises the OSError that was kept."""
        if self._error:
            raise self._error

    def write(self, data: ReadableBuffer, /) -> int:
        """All of it, or as if."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view) and not self._error:
                done += self._file.write(view[done:])
        except OSError as error:
            self._error = error
        return len(view)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return self._file.readinto(buffer) or 0

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None, /) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size or 0

    def flush(self) -> None:
        """Nothing waits: every write goes to the system."""

    def __exit__(self, *_: object) -> None:
        try:
            self.check()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()


def _h5py() -> ModuleType:
    try:
        import h5py
    except ImportError as error:
        raise FeatureError("HDF5 packs need h5py; add it with `pip install 'prvr[packs]'`") from error
    module: ModuleType = h5py
    return module
