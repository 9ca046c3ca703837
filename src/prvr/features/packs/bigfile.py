"""MS-SL's BigFile: all frames of all videos in one matrix on the disk, and text files that say which is whose::

feature.bin        float32, N × D, row after row
shape.txt          "N D"
id.txt             N frame ids, separated by white space
video2frames.txt   a Python dict: {video id: [frame ids]}
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from prvr.core.errors import FeatureError
from prvr.features.packs.base import no_such_key, rows_of

FILES = ("feature.bin", "shape.txt", "id.txt", "video2frames.txt")


class BigFilePack:
    """One BigFile folder. `feature.bin` is memory-mapped; reading a video gathers its frame rows."""

    def __init__(self, path: Path) -> None:
        missing = [name for name in FILES if not (path / name).is_file()]
        if missing:
            raise FeatureError(f"{path}: lacks {', '.join(missing)}; a BigFile is {', '.join(FILES)}")
        self.path = path
        self.name = path.name
        self.dtype = "float32"
        num_rows, self.width = _shape(path / "shape.txt")
        expected, found = num_rows * self.width * 4, (path / "feature.bin").stat().st_size
        if found != expected:
            raise FeatureError(
                f"{path / 'feature.bin'}: has {found} bytes, but {num_rows} × {self.width} float32 are {expected}; "
                "the download or the unpacking stopped early: get it again"
            )
        self._matrix = np.memmap(path / "feature.bin", dtype="<f4", mode="r", shape=(num_rows, self.width))
        self._rows = _rows(path, num_rows)

    @property
    def files(self) -> Sequence[Path]:
        """The four of them."""
        return [self.path / name for name in FILES]

    def __len__(self) -> int:
        return len(self._rows)

    def keys(self) -> Sequence[str]:
        """Video ids, in the order of video2frames.txt."""
        return list(self._rows)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def read(self, key: str) -> Tensor:
        """-> (n, D) float32, frames in the order of video2frames.txt."""
        if key not in self._rows:
            raise no_such_key(self, key)
        return rows_of(self._matrix[self._rows[key]], self.width, where=f"{self.path}: video {key!r}")


def parse_dict(text: str) -> object:
    """A Python dict literal of texts and lists -> its value; never evaluated as code.

    Such a literal is nearly always JSON with other quotation marks, and JSON is read some thirty times faster; where
    it is not JSON after all, the literal is taken as what it is. Raises ValueError or SyntaxError.
    """
    try:
        return json.loads(text.replace("'", '"'))
    except ValueError:
        return ast.literal_eval(text)


def _shape(path: Path) -> tuple[int, int]:
    try:
        rows, width = map(int, path.read_text(encoding="utf-8-sig").split())
    except ValueError as error:
        raise FeatureError(f"{path}: expected two whole numbers, 'rows width' ({error}); get the pack again") from error
    if rows < 1 or width < 1:
        raise FeatureError(f"{path}: {rows} × {width} is no matrix; get the pack again")
    return rows, width


def _rows(path: Path, num_rows: int) -> dict[str, NDArray[np.int64]]:
    """Video id -> the rows of its frames."""
    ids = (path / "id.txt").read_text(encoding="iso-8859-1").removeprefix("ï»¿").split()  # a byte order mark
    if len(ids) != num_rows:
        raise FeatureError(f"{path / 'id.txt'}: has {len(ids)} ids for {num_rows} rows of feature.bin; get it again")
    place = {frame_id: row for row, frame_id in enumerate(ids)}
    source = path / "video2frames.txt"
    try:
        frames_of = parse_dict(source.read_text(encoding="utf-8-sig"))
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise FeatureError(f"{source}: is not a Python dict of lists ({error}); get it again") from error
    if not isinstance(frames_of, dict) or not all(isinstance(frames, list) for frames in frames_of.values()):
        raise FeatureError(f"{source}: expected {{video id: [frame ids]}}; get it again")
    lost = [frame for frames in frames_of.values() for frame in frames if frame not in place]
    if lost:
        raise FeatureError(f"{source}: {len(lost)} frames are not in id.txt (first: {lost[0]!r}); get both again")
    return {video: np.array([place[frame] for frame in frames], dtype=np.int64) for video, frames in frames_of.items()}
