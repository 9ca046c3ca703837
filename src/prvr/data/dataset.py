"""Videos with all their queries, ready for a model: annotations and frozen features in, `Batch` out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from prvr.core.errors import DataError
from prvr.core.types import Batch, Query, QueryBatch, TextFeatures, VideoBatch, VideoFeatures
from prvr.data.annotations import group_by_video
from prvr.features.store import FeatureStore

T = TypeVar("T", VideoBatch, QueryBatch)

Prepare = Callable[[Sequence[VideoFeatures]], VideoBatch]
"""A recipe's way from frozen features to what its model reads; called once, since nothing in it changes."""


@dataclass(frozen=True, kw_only=True)
class RetrievalSet:
    """One split: V videos and their Q queries, in memory, in the form that models read."""

    name: str
    items: tuple[Query, ...]  # Q
    video_ids: tuple[str, ...]  # V, in order of first appearance
    videos: VideoBatch
    queries: QueryBatch
    video_of_query: Tensor  # (Q,) int64

    @classmethod
    def build(
        cls,
        name: str,
        items: Sequence[Query],
        store: FeatureStore,
        texts: TextFeatures,
        prepare: Prepare,
    ) -> RetrievalSet:
        """Queries in the order of `items`, whose `texts` are the features.

        Raises DataError for a video that is annotated but has no features.
        """
        groups = group_by_video(items)
        missing = [video_id for video_id in groups if video_id not in store]
        if missing:
            raise DataError(
                f"{name}: {len(missing)} of {len(groups)} annotated videos have no features in {store.folder} "
                f"(first: {missing[0]!r}); extract them with `prvr extract`, or remove their lines"
            )
        position = {video_id: v for v, video_id in enumerate(groups)}
        return cls(
            name=name,
            items=tuple(items),
            video_ids=tuple(groups),
            videos=prepare([store.read(video_id) for video_id in groups]),
            queries=unit_queries(texts),
            video_of_query=torch.tensor([position[item.video_id] for item in items]),
        )

    def __len__(self) -> int:
        return len(self.video_ids)

    def select(self, videos: Tensor) -> Batch:
        """videos (v,) positions -> those videos with all their queries, words cut to the longest among them."""
        place = torch.full((len(self),), -1)
        place[videos] = torch.arange(len(videos))
        column = place[self.video_of_query]  # (Q,) -1 = not in this batch
        rows = (column >= 0).nonzero().squeeze(1)
        return Batch(
            videos=take(self.videos, videos), queries=trim(take(self.queries, rows)), video_of_query=column[rows]
        )

    def batches(self, size: int, *, seed: int, epoch: int) -> Iterator[Batch]:
        """All videos once, `size` at a time, in an order that follows from (seed, epoch) alone."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
        for chunk in torch.split(order, size):
            yield self.select(chunk)


def unit_queries(texts: TextFeatures) -> QueryBatch:
    """Text features -> unit rows (norm + 1e-5, as published), zero where there is no word."""
    words = texts.words / (texts.words.norm(dim=-1, keepdim=True) + 1e-5)
    return QueryBatch(
        words=words * texts.valid[..., None],
        valid=texts.valid,
        sentence=texts.sentence / (texts.sentence.norm(dim=-1, keepdim=True) + 1e-5),
    )


def take(batch: T, rows: Tensor) -> T:
    """The given rows of every tensor."""
    return replace(batch, **{name: value[rows] for name, value in vars(batch).items()})


def trim(queries: QueryBatch) -> QueryBatch:
    """The same queries without the columns that are padding in all of them."""
    longest = int(queries.valid.sum(1).amax()) if len(queries) else 0
    return replace(queries, words=queries.words[:, :longest], valid=queries.valid[:, :longest])
