"""Token segments: vectors of a batch of videos in one file that is written once, mapped into memory and scored there.

A file is rows of one size and nothing else; which rows belong to which video stands in the catalogue. A row is D
numbers of float32 or float16, or one float32 scale and D numbers of int8.
"""

from __future__ import annotations

import mmap
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prvr.core.ranking import best_of_branches
from prvr.core.system import keep_names

Kind = Literal["fp32", "fp16", "int8"]
NUMBERS: dict[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "int8": torch.int8}
CHUNK = 4096  # rows that are made float32 at a time: 6 MB at D = 384, which stays in the cache
OURS = re.compile(r"\.?[0-9a-f]{12,32}\.(rows|faiss)(\.tmp)?")  # the files of vectors that we write, whole and half
Longs = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class VectorForm:
    """How vectors are kept."""

    tokens: Kind = "fp16"
    alike: float | None = None  # neighbouring frames of at least this cosine are kept as one


class Places(NamedTuple):
    """Where the tokens of V videos lie, in order of segment and first row."""

    key: Longs  # (V,) number of the video
    segment: Longs  # (V,)
    start: Longs  # (V,) first row: frames, then clips
    frames: Longs  # (V,) how many
    clips: Longs  # (V,)

    def at(self, chosen: Longs | NDArray[np.bool_]) -> Places:
        """Some of them; keeps the order if `chosen` is increasing."""
        return Places(*(column[chosen] for column in self))

    @property
    def size(self) -> Longs:
        """(V,) tokens of each video."""
        return self.frames + self.clips

    @property
    def sizes(self) -> Longs:
        """(V, 2) frames and clips of each video."""
        return np.stack([self.frames, self.clips], 1)


def encode(tokens: Tensor, kind: Kind) -> bytes:
    """tokens (N, D) -> N rows of a segment."""
    if kind != "int8":
        return tokens.detach().to(NUMBERS[kind]).contiguous().numpy().tobytes()
    scale = tokens.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127  # (N, 1)
    whole = (tokens / scale).round().to(torch.int8)
    return torch.cat([scale.float().contiguous().view(torch.int8), whole], 1).numpy().tobytes()


def row_bytes(width: int, kind: Kind) -> int:
    """Bytes of one row."""
    return width * NUMBERS[kind].itemsize + (4 if kind == "int8" else 0)


def write_segment(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Put a segment in place, whole and on the disk, so that a row of the catalogue may name it from now on.

    Raises OSError (full or read-only disk); nothing is then left behind.
    """
    part = path.with_name(f".{path.name}.tmp")
    try:
        with part.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        put_in_place(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def put_in_place(part: Path, path: Path) -> None:
    """Rename a file that is whole, and see to it that a power cut does not lose the name. Raises OSError."""
    part.replace(path)
    keep_names(path.parent)


class Changed(Exception):
    """What is read was replaced, cut or found to be damaged meanwhile; the next look will not see it."""


class Segments:
    """The mapped files of one index."""

    def __init__(self, folder: Path, width: int, kind: Kind) -> None:
        self.folder = folder
        self.width = width
        self.kind: Kind = kind
        self.row = row_bytes(width, kind)
        self._rows: dict[int, int] = {}
        self._names: dict[int, str] = {}  # of all that were ever seen: a search may still read what is gone by now
        self._maps: dict[int, tuple[mmap.mmap, Tensor]] = {}

    def use(self, files: Mapping[int, tuple[str, int]]) -> None:
        """Number -> file and rows of the segments there are now."""
        self._names.update({key: name for key, (name, _) in files.items() if OURS.fullmatch(name)})
        self._rows = {key: rows for key, (_, rows) in files.items() if key in self._names}
        self._maps = {key: one for key, one in self._maps.items() if key in files and not _shrunk(one[0])}

    def whole(self, places: Places) -> NDArray[np.bool_]:
        """(V,) whether all rows of a video are there; a damaged catalogue may name any place."""
        known, at = np.unique(places.segment, return_inverse=True)
        rows = [min(self._rows.get(key, 0), self.rows_on_disk(key)) for key in known.tolist()]
        limit = np.array(rows, np.int64)[at]
        parts = (places.start, places.frames, places.clips)
        inside = [(part >= 0) & (part <= limit) for part in parts]
        whole: NDArray[np.bool_] = np.logical_and.reduce(inside) & (sum(parts) <= limit)
        return whole

    def knows(self, segment: int) -> bool:
        """Whether there is a file of ours under a number."""
        return segment in self._rows

    def path(self, segment: int) -> Path:
        """The file of a segment. Raises KeyError for one whose name is none of ours: it would lie anywhere."""
        return self.folder / self._names[segment]

    def rows_on_disk(self, segment: int) -> int:
        """Whole rows that the file has; 0 where there is none."""
        try:
            return self.path(segment).stat().st_size // self.row
        except (OSError, KeyError):
            return 0

    def raw(self, places: Places, v: int) -> memoryview:
        """The bytes of one video's rows."""
        begin = int(places.start[v]) * self.row
        return memoryview(self._mapped(int(places.segment[v]))[0])[begin : begin + int(places.size[v]) * self.row]

    def tokens(self, places: Places, v: int, part: slice = slice(None)) -> Tensor:
        """One video -> its tokens (N, D), or a part of them, float32."""
        begin, end, step = part.indices(int(places.size[v]))
        start = int(places.start[v])
        return self._floats(int(places.segment[v]), start + begin, start + end)[::step]

    def checksum(self, places: Places, v: int) -> int:
        """CRC-32 of one video's rows."""
        return zlib.crc32(self.raw(places, v))

    def scores(self, unit: Tensor, places: Places, *, clip_weight: float) -> Tensor:
        """unit (D,), places of V videos -> fused scores (V,), as exact as products of the stored type are."""
        stored = unit if self.kind == "int8" else unit.to(NUMBERS[self.kind])
        cosines = torch.cat([stored[:0], *(self._products(stored, *run) for run in _runs(places))]).float()
        return best_of_branches(cosines[None], places.sizes).fused(clip_weight)[0]

    def scores_of_many(self, units: Tensor, places: Places, *, clip_weight: float) -> Tensor:
        """units (B, D) -> fused scores (B, V) in float32, a few thousand rows of the map at a time."""
        opens = np.flatnonzero(np.diff(places.size.cumsum() // CHUNK, prepend=0)).tolist()
        scores = [units.new_empty(len(units), 0)]
        for first, last in pairwise([0, *opens, len(places.key)]):
            some = places.at(np.arange(first, last))
            rows = torch.cat([units[:0], *(self._floats(*run) for run in _runs(some))])
            scores.append(best_of_branches((rows @ units.T).T, some.sizes).fused(clip_weight))
        return torch.cat(scores, 1)

    def will_need(self, places: Places) -> None:
        """Ask the system to read these videos at once; one page after the other takes 30 times as long when cold."""
        for segment, start, end in _runs(places):
            begin = start * self.row // mmap.PAGESIZE * mmap.PAGESIZE
            self._mapped(segment)[0].madvise(mmap.MADV_WILLNEED, begin, end * self.row - begin)

    def _mapped(self, segment: int) -> tuple[mmap.mmap, Tensor]:
        """A file -> its map and, over it, rows as a tensor: (R, D) floats, or (R, 4 + D) int8."""
        if segment in self._maps:
            if _shrunk(self._maps[segment][0]):
                raise Changed
            return self._maps[segment]
        with self.path(segment).open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # private: nothing is ever written through
        count = len(mapped) // self.row
        numbers = torch.frombuffer(
            mapped, dtype=NUMBERS[self.kind], count=count * self.row // NUMBERS[self.kind].itemsize
        )
        self._maps[segment] = mapped, numbers.view(count, -1)
        return self._maps[segment]

    def _floats(self, segment: int, start: int, end: int) -> Tensor:
        rows = self._mapped(segment)[1][start:end]
        if self.kind != "int8":
            return rows.float()
        return rows[:, 4:].float() * rows[:, :4].contiguous().view(torch.float32)

    def _products(self, unit: Tensor, segment: int, start: int, end: int) -> Tensor:
        """Cosines of a run of rows: straight from the map where its type can be multiplied."""
        if self.kind != "int8":
            return torch.mv(self._mapped(segment)[1][start:end], unit)
        chunks = range(start, end, CHUNK)
        return torch.cat([self._floats(segment, begin, min(begin + CHUNK, end)) @ unit for begin in chunks])


def _shrunk(mapped: mmap.mmap) -> bool:
    """Whether a file became shorter than its map: to read there would end the process (SIGBUS)."""
    return mapped.size() < len(mapped)


def _runs(places: Places) -> Iterator[tuple[int, int, int]]:
    """Segment, first row and end of every stretch of neighbouring rows."""
    if not len(places.key):
        return iter(())
    end = places.start + places.size
    opens = np.ones(len(end), bool)
    opens[1:] = (places.segment[1:] != places.segment[:-1]) | (places.start[1:] != end[:-1])
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(end)) - 1
    return zip(places.segment[first].tolist(), places.start[first].tolist(), end[last].tolist(), strict=True)
