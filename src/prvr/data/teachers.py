"""Another encoder's features of the same videos and queries: what an objective is taught by, and no model reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.config import fingerprint
from prvr.core.errors import DataError
from prvr.core.types import Encoder, EncoderSpec, FeatureSpec, Query, Teacher
from prvr.data.dataset import RetrievalSet
from prvr.data.prepared import prepared_frames
from prvr.data.sources import FeatureSource, PackSource, StoreSource
from prvr.features.packs import FeaturePack, content_of, open_pack, packs_at, words_of
from prvr.features.store import HEADER, FeatureStore

Resample = Callable[[Tensor, int], Tensor]
"""Frames (T, E) -> (n, E), each for an equal stretch of the video."""


@dataclass(frozen=True, kw_only=True)
class TeacherSource:
    """Where a teacher's features come from."""

    spec: FeatureSpec  # frames 0 wide where there are none
    content: str  # what its features hold
    videos: FeatureSource | None  # None: it has seen no video
    sentences: Callable[[Sequence[Query]], Tensor]  # (Q, E); raises FeatureError or DataError naming what is missing


def open_teacher(
    path: Path,
    annotated: Sequence[Query],
    encoder: Callable[[EncoderSpec], Encoder],
    *,
    memory: Path,
    texts: Path | None = None,
) -> TeacherSource:
    """What lies at a path: a feature store, published packs (or one of several, by its video file), a text pack.

    Raises FeatureError for anything else.
    """
    packs = None if (path / HEADER).exists() else packs_at(path)
    if (path / HEADER).exists() or packs:
        found = (
            PackSource(packs, annotated, memory=memory)
            if packs
            else StoreSource(FeatureStore.open(path), encoder, texts=texts)
        )
        return TeacherSource(spec=found.spec, content=found.content, videos=found, sentences=found.sentences)
    pack = open_pack(path)
    identity = fingerprint([pack.name, len(pack), pack.width], length=24)
    spec = FeatureSpec(name=pack.name, revision=identity, video_width=0, text_width=pack.width)
    return TeacherSource(
        spec=spec, content=content_of(pack, memory), videos=None, sentences=partial(last_rows, pack, annotated)
    )


def last_rows(pack: FeaturePack, annotated: Sequence[Query], items: Sequence[Query]) -> Tensor:
    """What a text pack has for the whole of each query, (Q, E). Raises FeatureError for a query that it lacks."""
    return torch.stack([rows[-1] for rows in words_of(pack, items, annotated)])


def taught(items: RetrievalSet, teacher: TeacherSource, resample: Resample, *, cache: Path) -> RetrievalSet:
    """The same split with what a teacher makes of its videos, at the places of their frames, and of its queries.

    Frames are kept below the folder `cache`. Raises DataError for a video or a query that the teacher does not know.
    """
    frames = torch.zeros(len(items), 0, 0)
    if teacher.videos:
        frames = _frames(items, teacher.videos, resample, cache)
    return replace(items, teacher=Teacher(frames=frames, sentence=teacher.sentences(items.items).float()))


def _frames(items: RetrievalSet, teacher: FeatureSource, resample: Resample, cache: Path) -> Tensor:
    missing = [video_id for video_id in items.video_ids if video_id not in teacher]
    if missing:
        raise DataError(
            f"{teacher.place}: the teacher has no features of {len(missing)} of {len(items)} videos (first: "
            f"{missing[0]!r}); extract them with `prvr extract`, or get the whole pack"
        )
    counts, longest = items.videos.frame_valid.sum(1).tolist(), items.videos.frame_valid.shape[1]

    def read(rows: range) -> Tensor:
        seen = [teacher.read(items.video_ids[v]).features.float() for v in rows]
        if not all(map(len, seen)):
            raise DataError(f"{teacher.place}: a video has no frames for the teacher; extract it again")
        made = [resample(x, counts[v]) for x, v in zip(seen, rows, strict=True)]
        return torch.stack([F.pad(x, (0, 0, 0, longest - len(x))) for x in made])

    key = fingerprint([list(items.video_ids), teacher.stamp(items.video_ids), counts, longest], length=24)
    return prepared_frames(cache / f"teacher-{key}", len(items), read)
