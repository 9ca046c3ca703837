"""Where frozen features come from: a store that we extracted, or a pack that others published. One face for both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from prvr.core.config import fingerprint
from prvr.core.types import Encoder, EncoderSpec, FeatureSpec, Query, QueryBatch, TextFeatures, VideoFeatures
from prvr.core.vectors import unit_rows
from prvr.features.packs import PackFolder, content_of, match, words_of
from prvr.features.store import FeatureStore
from prvr.features.texts import text_features

_READING = 2
"""How words of a pack are read; another number makes what was kept of them anew."""


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

    @property
    def content(self) -> str:
        """What they are: of one encoder, or of the bytes that others published."""
        ...

    def stamp(self, video_ids: Sequence[str]) -> str:
        """Changes when the features of these videos do."""
        ...

    def text_stamp(self, items: Sequence[Query]) -> str:
        """Changes when the features of these queries do, their sentences aside."""
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

    def __init__(
        self, store: FeatureStore, encoder: Callable[[EncoderSpec], Encoder], *, texts: Path | None = None
    ) -> None:
        self.store = store
        self.spec = FeatureSpec.of_encoder(store.header.encoder)
        self.place = str(store.folder)
        self._encoder = encoder  # brought only for sentences that were never encoded before
        self._texts = texts  # where these are kept; None: in the store

    def __contains__(self, video_id: str) -> bool:
        return video_id in self.store

    @property
    def content(self) -> str:
        """The encoder's weights: all features follow from them."""
        return self.spec.revision

    def text_stamp(self, _: Sequence[Query]) -> str:
        """The encoder's weights."""
        return self.spec.revision

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
        said = [item.text for item in items]
        return text_features(self.store, said, lambda: self._encoder(header.encoder), kept=self._texts)


class PackSource:
    """Feature packs as their authors published them, of all the queries of a folder.

    `annotated` says how long videos are, what cuts they are joined of, and by what numbers the authors call queries.
    """

    def __init__(self, packs: PackFolder, annotated: Sequence[Query], *, memory: Path) -> None:
        self.packs = packs
        self.durations = {query.video_id: query.duration_s for query in annotated if query.duration_s}  # seconds
        self.cuts = cuts_of(annotated)
        self.videos = tuple(dict.fromkeys(query.video_id for query in annotated))
        self.spec = packs.spec
        self.place = f"{packs.video.path}"
        self._annotated = tuple(annotated)
        self._memory = memory  # a file: what the packs' bytes came to

    def __contains__(self, video_id: str) -> bool:
        return bool(self.keys(video_id))

    def keys(self, video_id: str) -> list[str]:
        """What the rows of a video are called in the pack, in order; none where it is missing."""
        return self.packs.video_keys(video_id, self.cuts.get(video_id))

    @cached_property
    def _contents(self) -> tuple[str, str]:
        return content_of(self.packs.video, self._memory), content_of(self.packs.text, self._memory)

    @property
    def content(self) -> str:
        """All that both packs hold."""
        return fingerprint(self._contents, length=24)

    def stamp(self, video_ids: Sequence[str]) -> str:
        """Changes when the pack does, or what the annotations say of these videos' lengths."""
        lengths = [[self.durations.get(one), list(self.cuts.get(one, {}).items())] for one in video_ids]
        return fingerprint([self._contents[0], lengths])

    def text_stamp(self, items: Sequence[Query]) -> str:
        """Changes when the pack does, or what belongs to which query."""
        keys = match(self.packs.text, items).of
        return fingerprint([self._contents[1], _READING, [keys.get(item.query_id) for item in items]])

    def read(self, video_id: str) -> VideoFeatures:
        """The features of one video."""
        return self.packs.read_video(video_id, duration_s=self.durations.get(video_id), cuts=self.cuts.get(video_id))

    def texts(self, items: Sequence[Query]) -> QueryTable:
        """Token rows of every query; its last row is the sentence ([EOS]), as MSC reads it."""
        words = self._words(items)
        return _table(words, torch.stack([rows[-1] for rows in words]))

    def sentences(self, items: Sequence[Query]) -> Tensor:
        """The last row of every query."""
        return torch.stack([rows[-1] for rows in self._words(items)])

    def _words(self, items: Sequence[Query]) -> list[Tensor]:
        return words_of(self.packs.text, items, self._annotated)


def cuts_of(queries: Sequence[Query]) -> dict[str, dict[str, float]]:
    """Video id -> the cuts that annotations join to it, in order, with their seconds; no entry where they say none."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for query in queries:
        match query.source:
            case {"vid": str() as cut, "duration": int() | float() as length, "offset_s": int() | float() as offset}:
                found.setdefault(query.video_id, {})[cut] = float(offset), float(length)
    return {
        video: {cut: length for cut, (_, length) in sorted(cuts.items(), key=lambda item: item[1])}
        for video, cuts in found.items()
    }


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
