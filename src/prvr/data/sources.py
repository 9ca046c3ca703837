"""Where frozen features come from: a store that we extracted, or a pack that others published. One face for both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from prvr.core.config import fingerprint
from prvr.core.errors import FeatureError
from prvr.core.types import Encoder, EncoderSpec, FeatureSpec, Query, QueryBatch, TextFeatures, VideoFeatures
from prvr.core.vectors import unit_rows
from prvr.features.packs import PackFolder
from prvr.features.store import FeatureStore
from prvr.features.texts import text_features


@dataclass(frozen=True, kw_only=True)
class QueryTable:
    """Q queries of different length, end to end, so that none is padded before it stands in a batch."""

    words: Tensor  # (ΣW, E) unit length
    start: Tensor  # (Q + 1,) int64, where each query's words begin
    sentence: Tensor  # (Q, E) unit length: the encoder's sentence embedding

    def __len__(self) -> int:
        return len(self.start) - 1

    def batch(self, rows: Tensor) -> QueryBatch:
        """rows (q,) -> those queries, padded with zeros to the longest of them."""
        start, length = self.start[rows], self.start[rows + 1] - self.start[rows]
        place = torch.arange(int(length.max()) if len(rows) else 0)
        valid = place < length[:, None]  # (q, W)
        words = self.words[torch.where(valid, start[:, None] + place, 0)] * valid[..., None]
        return QueryBatch(words=words, valid=valid, sentence=self.sentence[rows])


class FeatureSource(Protocol):
    """Features of videos by id, and of queries."""

    @property
    def spec(self) -> FeatureSpec:
        """What they have in common."""
        ...

    @property
    def place(self) -> str:
        """Where they lie, for people."""
        ...

    def __contains__(self, video_id: str) -> bool:
        """Whether there are features of a video."""
        ...

    def stamp(self, video_ids: Sequence[str]) -> str:
        """Changes when the features of these videos do."""
        ...

    def read(self, video_id: str) -> VideoFeatures:
        """The features of one video. Raises FeatureError when they are missing or damaged."""
        ...

    def texts(self, items: Sequence[Query]) -> QueryTable:
        """The features of Q queries, in order. Raises FeatureError naming what is missing."""
        ...

    def sentences(self, items: Sequence[Query]) -> Tensor:
        """(Q, E): one vector a query, as the encoder made it. Raises FeatureError naming what is missing."""
        ...


class StoreSource:
    """A feature store, and the encoder that made it for the sentences."""

    def __init__(self, store: FeatureStore, encoder: Callable[[EncoderSpec], Encoder]) -> None:
        self.store = store
        self.spec = FeatureSpec.of_encoder(store.header.encoder)
        self.place = str(store.folder)
        self._encoder = encoder  # brought only for sentences that were never encoded before

    def __contains__(self, video_id: str) -> bool:
        return video_id in self.store

    def stamp(self, video_ids: Sequence[str]) -> str:
        """Changes when the features of these videos do."""
        found = [self.store.path_of(video_id).stat() for video_id in video_ids]
        return fingerprint([[stat.st_size, stat.st_mtime_ns] for stat in found])

    def read(self, video_id: str) -> VideoFeatures:
        """The features of one video."""
        return self.store.read(video_id)

    def texts(self, items: Sequence[Query]) -> QueryTable:
        """Sentences as the store's encoder sees them."""
        return query_table(self._found(items))

    def sentences(self, items: Sequence[Query]) -> Tensor:
        """The encoder's own sentence embeddings."""
        return self._found(items).sentence

    def _found(self, items: Sequence[Query]) -> TextFeatures:
        header = self.store.header
        return text_features(self.store, [item.text for item in items], lambda: self._encoder(header.encoder))


class PackSource:
    """Feature packs as their authors published them; ids of queries are the keys of the text pack."""

    def __init__(self, packs: PackFolder, durations: Mapping[str, float]) -> None:
        self.packs = packs
        self.durations = durations  # seconds, by video id
        self.spec = packs.spec
        self.place = f"{packs.video.path}"

    def __contains__(self, video_id: str) -> bool:
        return self.packs.has_video(video_id)

    def stamp(self, video_ids: Sequence[str]) -> str:
        """Changes when the pack does."""
        return fingerprint([self.spec.revision, [self.durations.get(video_id) for video_id in video_ids]])

    def read(self, video_id: str) -> VideoFeatures:
        """The features of one video."""
        return self.packs.read_video(video_id, duration_s=self.durations.get(video_id))

    def texts(self, items: Sequence[Query]) -> QueryTable:
        """Token rows of every query; its last row is the sentence ([EOS]), as MSC reads it."""
        words = self._words(items)
        return _table(words, torch.stack([rows[-1] for rows in words]))

    def sentences(self, items: Sequence[Query]) -> Tensor:
        """The last row of every query."""
        return torch.stack([rows[-1] for rows in self._words(items)])

    def _words(self, items: Sequence[Query]) -> list[Tensor]:
        if not items:
            raise FeatureError("there is no query to read text features of; the split is empty")
        missing = self.packs.missing_queries([item.query_id for item in items])
        if missing:
            raise FeatureError(
                f"{self.packs.text.path}: has no text features of {len(missing)} of {len(items)} queries (first: "
                f"{missing[0]!r}); put the caption files that belong to the pack beside it, or run `prvr data check`"
            )
        return [self.packs.read_words(item.query_id) for item in items]


def query_table(texts: TextFeatures) -> QueryTable:
    """Padded text features -> unit rows (length + 1e-5, as published) without the padding."""
    return QueryTable(
        words=unit_rows(texts.words[texts.valid].float()),
        start=_starts(texts.valid.sum(1)),
        sentence=unit_rows(texts.sentence.float()),
    )


def _table(words: Sequence[Tensor], sentence: Tensor) -> QueryTable:
    lengths = torch.tensor([len(rows) for rows in words])
    return QueryTable(
        words=unit_rows(torch.cat(list(words)).float()), start=_starts(lengths), sentence=unit_rows(sentence.float())
    )


def _starts(lengths: Tensor) -> Tensor:
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
