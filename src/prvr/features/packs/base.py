"""What every feature pack can do, whatever its format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prvr.core.errors import FeatureError

USUAL_BYTES = 64_000_000  # of one array that need no reason
MOST_DENSE = 50  # bytes in memory for one on the disk


class FeaturePack(Protocol):
    """Features by key: of frames by video id, or of words by query id. Nothing is read before it is asked for."""

    @property
    def path(self) -> Path:
        """The file or the folder that it lies in."""
        ...

    @property
    def name(self) -> str:
        """What its authors call it: the file's or the folder's name."""
        ...

    @property
    def width(self) -> int:
        """E."""
        ...

    @property
    def dtype(self) -> str:
        """What its values are stored as, such as `float16`."""
        ...

    @property
    def files(self) -> Sequence[Path]:
        """All that it is made of: where these hold the same bytes, it holds the same features."""
        ...

    def __len__(self) -> int:
        """How many keys it has."""
        ...

    def keys(self) -> Sequence[str]:
        """Its keys, in the order of the format."""
        ...

    def __contains__(self, key: object) -> bool:
        """Whether a key is there."""
        ...

    def read(self, key: str) -> Tensor:
        """-> (n, E) float32, as its authors made it. Raises FeatureError naming the pack, the key and why."""
        ...


def check_size(declared: int, stored: int, *, where: str) -> None:
    """Raises FeatureError where so few bytes on the disk cannot be meant to be so many numbers in memory.

    Nothing is allocated before: what says that it holds terabytes, or unpacks into zeros without end, is damaged or
    made to do harm. Features of hours of video are some hundred megabytes, and are hardly ever compressed tenfold.
    """
    if declared > USUAL_BYTES and declared > MOST_DENSE * stored:
        raise FeatureError(
            f"{where}: declares {declared:,} bytes, of which {stored:,} are there; the pack is damaged: get it again"
        )


def rows_of(array: NDArray[np.generic], width: int, *, where: str) -> Tensor:
    """What a pack holds under one key -> (n, E) float32; a single vector (E,) becomes one row.

    Raises FeatureError for another shape, another width or anything but floats.
    """
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2 or array.shape[1] != width or array.dtype.kind != "f":
        raise FeatureError(
            f"{where}: expected (n, {width}) floats, found {array.shape} of {array.dtype}; "
            "the pack is damaged or holds something else: get it again"
        )
    rows = np.asarray(array, dtype=np.float32, order="C")
    return torch.from_numpy(rows if rows.flags.writeable else rows.copy())  # torch has no word for what is read-only


def no_such_key(pack: FeaturePack, key: str) -> FeatureError:
    """The error for a key that is not there."""
    parts = sorted(name for name in list(pack.keys()) if name.startswith(f"{key}/"))[:3]
    if parts:
        return FeatureError(
            f"{pack.path}: key {key!r} is a group of several arrays ({', '.join(parts)}), and none is said to be the "
            f"features; write the one that is meant under {key!r}"
        )
    return FeatureError(
        f"{pack.path}: has no key {key!r} among its {len(pack)}; "
        "`prvr data check DIR` says how many are missing and what they would need"
    )
