"""What a split holds, and holding a part of it out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from prvr.core.errors import ConfigError, DataError
from prvr.core.types import Query
from prvr.data.annotations import group_by_video
from prvr.data.benchmarks.opening import Annotations


class Quartiles(NamedTuple):
    """A quarter of the values lies below `low`, half below `median`, three quarters below `high`."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self | None:
        """None where there is no value; linear between two of them."""
        return cls(*np.percentile(values, (25, 50, 75)).tolist()) if values else None


@dataclass(frozen=True, kw_only=True)
class SplitInfo:
    """One annotation file in numbers."""

    splits: tuple[str, ...]  # the names that lead to it: `val` and `test` may be one file
    source: Path
    videos: int
    queries: int
    queries_per_video: float  # mean
    words_per_query: float  # mean, words as spaces part them
    windows_per_query: float  # mean
    moment_ratio: Quartiles | None  # share of its video that a query's moments cover, 0..1
    duration_s: Quartiles | None  # of the videos
    published: tuple[int, int] | None  # videos and queries of the authors' split, where the benchmark is known

    @property
    def as_published(self) -> bool:
        """Whether the counts are those published, where any are."""
        return self.published in (None, (self.videos, self.queries))


def describe(annotations: Annotations) -> list[SplitInfo]:
    """Every annotation file of a benchmark in numbers. Raises DataError when one cannot be read."""
    names: dict[Path, list[str]] = {}
    for split, path in annotations.files.items():
        names.setdefault(path, []).append(split)
    return [_describe(annotations, path, tuple(splits)) for path, splits in names.items()]


def hold_out(queries: Sequence[Query], *, share: float, seed: int) -> tuple[list[Query], list[Query]]:
    """Queries -> those to train on and those of a seeded part of the videos, both in the order given.

    A video goes with all its queries. Which videos are held out follows from their ids and the seed, not from any
    order, so that the same part is found in every form of the same annotations. At least one video stays on each side.
    Raises ConfigError for a share outside 0..1, DataError for fewer than two videos.
    """
    if not 0 < share < 1:
        raise ConfigError(f"share: {share} of the videos cannot be held out; choose between 0 and 1, such as 0.1")
    videos = {query.video_id for query in queries}
    if len(videos) < 2:
        raise DataError(f"only {len(videos)} video to train on; holding a part out needs 2 or more")
    drawn = sorted(videos, key=lambda video: hashlib.sha256(f"{seed}\0{video}".encode()).digest())
    held = set(drawn[: min(max(round(share * len(videos)), 1), len(videos) - 1)])
    return (
        [query for query in queries if query.video_id not in held],
        [query for query in queries if query.video_id in held],
    )


def _describe(annotations: Annotations, path: Path, splits: tuple[str, ...]) -> SplitInfo:
    queries = annotations.queries(splits[0])
    groups = group_by_video(queries)
    known = annotations.benchmark
    release = known.release(splits[-1]) if known else None
    return SplitInfo(
        splits=splits,
        source=path,
        videos=len(groups),
        queries=len(queries),
        queries_per_video=len(queries) / len(groups),
        words_per_query=sum(len(query.text.split()) for query in queries) / len(queries),
        windows_per_query=sum(len(query.windows) for query in queries) / len(queries),
        moment_ratio=Quartiles.of([ratio for query in queries if (ratio := moment_ratio(query)) is not None]),
        duration_s=Quartiles.of([group[0].duration_s for group in groups.values() if group[0].duration_s is not None]),
        published=(release.videos, release.queries) if release else None,
    )


def moment_ratio(query: Query) -> float | None:
    """Share of its video that a query's moments cover, 0..1; None where moments or length are not known.

    Moments that overlap count once.
    """
    if not query.windows or not query.duration_s:
        return None
    covered, reached = 0.0, 0.0
    for start, end in sorted(query.windows):
        covered += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return min(covered / query.duration_s, 1.0)
