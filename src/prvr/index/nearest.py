"""Which videos are worth an exact look: approximate nearest tokens, from product-quantised vectors in memory.

Derived from the segments and never the truth: a file that is damaged, stale or foreign is made again. Vectors of four
bits for two numbers (FAISS `PQ{D/2}x4fs`), in one flat list, or in an inverted file where there are very many.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prvr.index.segments import OURS, Longs, Places, Segments, write_segment

FLAT = 4_000_000  # vectors; a flat list is read in about 10 ms here, and loses no neighbour to a list not looked into
TRAIN = 32_768  # vectors that the quantiser learns from
ALIKE = 0.9  # correlation of the two branches' scores below which one does not stand for both
PER_VIDEO = 10  # tokens asked for of each video that is wanted
INNER = 37  # bytes of FAISS' own header, after which the index begins that numbers are put around
BATCH = 1024  # videos whose vectors are added at a time


class Part(NamedTuple):
    """One branch as it is searched."""

    file: str
    crc: int
    per_video: float  # vectors


@dataclass(frozen=True)
class NearestState:
    """What the catalogue keeps of the vectors derived last."""

    parts: tuple[Part, ...]
    last: int  # number of the newest video in it; newer ones are looked at one by one
    count: int  # videos in it, those gone since included


class Nearest:
    """The derived vectors in memory."""

    def __init__(self, parts: list[tuple[Any, float]], state: NearestState) -> None:
        self._parts = parts
        self.state = state

    def shortlist(self, unit: Tensor, most: int, allowed: Longs | None) -> Longs:
        """unit (D,) -> the numbers of about `most` videos, increasing; of `allowed` ones (increasing) if given."""
        found = [self._videos(index, per, unit, most // len(self._parts), allowed) for index, per in self._parts]
        return np.unique(np.concatenate(found))

    def _videos(self, index: Any, per_video: float, unit: Tensor, most: int, allowed: Longs | None) -> Longs:
        spread = self.state.count / max(len(allowed), 1) if allowed is not None else 1.0
        tokens = min(int(most * max(PER_VIDEO, per_video / 3) * spread), index.ntotal)
        keys: Longs = index.search(unit[None].numpy(), tokens)[1][0]
        keys = keys[keys >= 0] if allowed is None else keys[np.isin(keys, allowed)]
        first = np.sort(np.unique(keys, return_index=True)[1])[:most]  # best token first, so first come is the best
        return keys[first]


def possible(width: int) -> bool:
    """Whether vectors of this width can be quantised here."""
    try:
        import faiss  # noqa: F401
    except ImportError:  # the extra `ann` is not installed: every vector is compared with
        return False
    return width % 2 == 0 and width >= 16


def build(segments: Segments, places: Places, folder: Path, *, clip_weight: float) -> str:
    """Derive the vectors of all videos, write them; -> the state for the catalogue. Raises OSError."""
    import faiss

    folder.mkdir(exist_ok=True)
    parts = []
    for branch in _branches(segments, places, clip_weight):
        slices = [_slice(places, v, branch) for v in range(len(places.key))]
        counts = np.array(
            [len(range(*part.indices(int(size)))) for part, size in zip(slices, places.size, strict=True)]
        )
        index = _empty(segments.width, int(counts.sum()))
        enough = max(TRAIN, 40 * getattr(index, "nlist", 0)) / max(counts.mean(), 1)
        sample = np.random.default_rng(0).permutation(len(slices))[: int(enough) + 1]
        index.train(torch.cat([segments.tokens(places, v, slices[v]) for v in sample]).numpy())
        numbered = index if hasattr(index, "nlist") else faiss.IndexIDMap(index)
        for at in range(0, len(slices), BATCH):
            chunk = range(at, min(at + BATCH, len(slices)))
            vectors = torch.cat([segments.tokens(places, v, slices[v]) for v in chunk]).numpy()
            numbered.add_with_ids(
                vectors, places.key[chunk.start : chunk.stop].repeat(counts[chunk.start : chunk.stop])
            )
        content = faiss.serialize_index(numbered).tobytes()
        part = Part(f"{uuid4().hex[:12]}.faiss", zlib.crc32(content), float(counts.mean()))
        write_segment(folder / part.file, [content])
        parts.append(part)
    return json.dumps(asdict(NearestState(tuple(parts), int(places.key.max()), len(places.key))))


def state_of(text: str) -> NearestState | None:
    """What the catalogue keeps, read back; None where nothing was derived yet."""
    try:
        values = json.loads(text)
        return NearestState(tuple(Part(*part) for part in values["parts"]), values["last"], values["count"])
    except (ValueError, TypeError, KeyError):  # empty, or damaged: then they are derived again
        return None


def load(state: NearestState, folder: Path) -> Nearest | str:
    """The vectors of a state, or one line why they cannot be used."""
    import faiss

    parts = []
    for part in state.parts:
        if not OURS.fullmatch(part.file):
            return f"{folder}: {part.file!r} is no file of an index"
        try:
            content = np.fromfile(folder / part.file, np.uint8)
        except OSError as error:
            return f"{folder / part.file}: cannot be read ({error.strerror})"
        if zlib.crc32(content.data) != part.crc:
            return f"{folder / part.file}: is damaged"
        if not _is_ours(content):
            return f"{folder / part.file}: is of another kind than prvr writes"
        index: Any = faiss.deserialize_index(content)
        if hasattr(index, "nlist"):
            index.nprobe = max(index.nlist // 4, 1)
        parts.append((index, part.per_video))
    return Nearest(parts, state)


def _is_ours(content: NDArray[np.uint8]) -> bool:
    """Whether a file of FAISS is of one of the two kinds that `build` writes, with its lists inside.

    Others can name a file in which their lists lie, and FAISS would open that, wherever it is. Looked at before FAISS
    does, in the layout that FAISS writes: what differs is derived again.
    """

    def at(place: int, kind: str = "<i8") -> int:
        return int(content[place : place + np.dtype(kind).itemsize].view(kind)[0])

    kind = content[:4].tobytes()
    if len(content) < 98 or kind != b"IwPf":
        return kind == b"IxMp" and content[INNER : INNER + 4].tobytes() == b"IPfs"
    width, lists = at(4, "<i4"), at(INNER)
    numbers = lists * width
    behind = 98 + 4 * numbers  # the coarse centroids: then no direct map, settings, the fine centroids, the lists
    if not 0 < numbers < len(content) // 4 or at(90) != numbers or content[behind : behind + 9].any():
        return False
    return at(behind + 66) == 16 * width and content[behind + 74 + 64 * width :][:4].tobytes() == b"ilbl"


def correlation(segments: Segments, places: Places) -> float:
    """How alike the two branches rank videos: mean correlation of their scores for frames of other videos."""
    random = np.random.default_rng(0)
    chosen = np.sort(random.permutation(len(places.key))[:544])
    asked, others = chosen[::17], np.delete(chosen, np.s_[::17])
    frames = torch.cat([segments.tokens(places, v, slice(0, 1)) for v in asked])
    scores = [segments.scores_of_many(frames, places.at(others), clip_weight=weight) for weight in (0.0, 1.0)]
    return float(np.mean([np.corrcoef(frame, clip)[0, 1] for frame, clip in zip(*scores, strict=True)]))


def _branches(segments: Segments, places: Places, clip_weight: float) -> list[str]:
    if clip_weight == 0:
        return ["frames"]
    if clip_weight == 1 or correlation(segments, places) >= ALIKE:
        return ["clips"]
    return ["clips", "every fourth frame"]


def _slice(places: Places, v: int, branch: str) -> slice:
    frames = int(places.frames[v])
    return {"clips": slice(frames, None), "frames": slice(frames)}.get(branch, slice(0, frames, 4))


def _empty(width: int, count: int) -> Any:
    import faiss

    lists = 2 ** round(np.log2(4 * count**0.5))
    kind = f"PQ{width // 2}x4fs" if count <= FLAT else f"IVF{lists},PQ{width // 2}x4fs"
    index: Any = faiss.index_factory(width, kind, faiss.METRIC_INNER_PRODUCT)
    for clustering in (index.pq.cp, *((index.cp,) if hasattr(index, "cp") else ())):
        clustering.min_points_per_centroid = 1  # or it prints a warning about small libraries
    return index
