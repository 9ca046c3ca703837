"""Videos with all their queries, ready for a model: annotations and frozen features in, `Batch` out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prvr.core.config import fingerprint
from prvr.core.errors import DataError
from prvr.core.method import Prepared
from prvr.core.types import Batch, Query, Teacher, Videos
from prvr.data.annotations import group_by_video
from prvr.data.prepared import prepared_queries, prepared_videos
from prvr.data.sources import FeatureSource, QueryTable


@dataclass(frozen=True, kw_only=True)
class RetrievalSet:
    """One split: V videos and their Q queries in the form that models read, in memory or mapped from a disk."""

    name: str
    items: tuple[Query, ...]  # Q
    video_ids: tuple[str, ...]  # V, in order of first appearance
    videos: Videos
    queries: QueryTable
    video_of_query: Tensor  # (Q,) int64
    digest: str  # of the queries and what features they have: one split under two names has one
    content: str  # the same, and of what the features hold: the same data, the same content
    teacher: Teacher | None = None  # of all videos and queries, where training has one

    @classmethod
    def build(
        cls, name: str, items: Sequence[Query], source: FeatureSource, prepared: Prepared, *, cache: Path
    ) -> RetrievalSet:
        """Queries in the order of `items`, and their videos as `prepared` says, kept below the folder `cache`.

        Raises DataError for a video that is annotated but has no features.
        """
        groups = group_by_video(items)
        missing = [video_id for video_id in groups if video_id not in source]
        if missing:
            raise DataError(
                f"{name}: {len(missing)} of {len(groups)} annotated videos have no features in {source.place} "
                f"(first: {missing[0]!r}); extract them with `prvr extract`, or remove their lines"
            )
        videos, stamp = list(groups), source.stamp(list(groups))
        of_videos = fingerprint([prepared.key, videos, stamp], length=24)
        said = [[item.query_id, item.text] for item in items]
        of_queries = fingerprint([*said, [source.text_stamp(items)]], length=24)
        revision = source.spec.revision
        position = {video_id: v for v, video_id in enumerate(groups)}
        return cls(
            name=name,
            items=tuple(items),
            video_ids=tuple(videos),
            videos=prepared_videos(cache / f"videos-{of_videos}", videos, source.read, prepared),
            queries=prepared_queries(cache / f"queries-{of_queries}", lambda: source.texts(items)),
            video_of_query=torch.tensor([position[item.video_id] for item in items]),
            digest=fingerprint([fingerprint([*said, [revision]], length=24), videos, revision]),
            content=fingerprint([said, videos, source.content]),
        )

    def __len__(self) -> int:
        return len(self.video_ids)

    def select(self, videos: Tensor) -> Batch[Any]:
        """videos (v,) positions -> those videos with all their queries, words cut to the longest among them."""
        place = torch.full((len(self),), -1)
        place[videos] = torch.arange(len(videos))
        column = place[self.video_of_query]  # (Q,) -1 = not in this batch
        rows = (column >= 0).nonzero().squeeze(1)
        teacher = self.teacher
        return Batch(
            videos=self.videos.take(videos),
            queries=self.queries.batch(rows),
            video_of_query=column[rows],
            teacher=teacher and Teacher(frames=teacher.frames[videos], sentence=teacher.sentence[rows]),
        )

    def batches(self, size: int, *, seed: int, epoch: int) -> Iterator[Batch[Any]]:
        """All videos once, `size` at a time, in an order that follows from (seed, epoch) alone."""
        for chunk in torch.split(shuffled(len(self), seed=seed, epoch=epoch), size):
            yield self.select(chunk)


def shuffled(number: int, *, seed: int, epoch: int) -> Tensor:
    """The order (number,) in which an epoch takes its videos."""
    return torch.randperm(number, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
