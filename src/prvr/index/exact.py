"""The exact engine: every vector is compared with, so that it is the judge of all others.

score(q, v) = w_clip · max over v's clips of cos + (1 - w_clip) · max over v's frames of cos.

All in memory, in float32; a folder that it is saved to is one of the embedded engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor

from prvr.core.errors import IndexFolderError
from prvr.core.facts import UNKNOWN, Cue, Facts, Where
from prvr.core.ranking import Array, best_of_branches, score_bank, sizes_of
from prvr.core.types import Bank, Candidate
from prvr.index.base import IndexHeader, Video, WordHit, check_bank, unit
from prvr.index.embedded import EmbeddedIndex
from prvr.index.segments import VectorForm
from prvr.index.words import fold, informative, of_kind, passages_of, rank_words


class _Joined(NamedTuple):
    """All banks end to end, in the order of `ids`."""

    ids: list[str]
    tokens: Tensor  # (ΣN, D)
    sizes: Array  # (V, 2) frames and clips of each


class ExactIndex:
    """All vectors in memory, compared with one matrix product."""

    problems: Sequence[str] = ()  # memory is not damaged
    num_bytes = 0  # on the disk

    def __init__(self, header: IndexHeader) -> None:
        self.header = header
        self._videos: dict[str, Video] = {}
        self._notes: dict[str, str] = {}
        self._changes = 0

    @classmethod
    def open(cls, folder: Path) -> Self:
        """All of an index that was saved. Raises IndexFolderError when there is none, or a damaged or foreign one."""
        with EmbeddedIndex.open(folder) as saved:
            index = cls(saved.header)
            index._videos = {video.video_id: video for video in saved.videos()}
            index._notes = dict(saved.notes())
        return index

    @property
    def generation(self) -> str:
        """Another one after every change."""
        return str(self._changes)

    @property
    def versions(self) -> Mapping[str, str]:
        """Every video's `version`, as it was given to `add`."""
        return {video_id: video.version for video_id, video in self._videos.items()}

    def add(
        self, video_id: str, bank: Bank, *, version: str = "", facts: Facts = UNKNOWN, cues: Sequence[Cue] = ()
    ) -> None:
        """One video; replaces what was there under this id. bank.tokens (N, D) of unit length.

        Raises IndexFolderError when the vectors are not as wide as the index.
        """
        check_bank(video_id, bank, self.header)
        self._videos[video_id] = Video(video_id, bank, version, facts, tuple(cues))
        self._changed()

    def remove(self, video_id: str) -> None:
        """Forget one video; nothing happens if it is not there."""
        self._videos.pop(video_id, None)
        self._changed()

    def search(self, query: Tensor, *, k: int, where: Where | None = None) -> list[Candidate]:
        """query (D,) -> the k best videos, best first; equal scores in order of their ids."""
        ids, scores = self.score_all(query[None], where=where)
        best = scores[0].argsort(descending=True, stable=True)[:k].tolist()
        return [self.candidate(query, ids[v]) for v in best]

    def save(self, folder: Path) -> None:
        """Write a folder of the embedded engine that holds exactly this, in float32.

        Raises IndexFolderError for a full or read-only disk; what was committed until then stays.
        """
        with EmbeddedIndex.create(folder, self.header, form=VectorForm(tokens="fp32")) as target:
            target.remove(*(target.versions.keys() - self._videos.keys()))
            for video_id, bank, version, facts, cues in self.videos():
                target.add(video_id, bank, version=version, facts=facts, cues=cues)
            for name, text in self._notes.items():
                target.put_note(name, text)
            target.save(folder)

    def __len__(self) -> int:
        return len(self._videos)

    def videos(self, ids: Iterable[str] | None = None) -> Iterator[Video]:
        """These videos, or all, with all that was given to `add`, in order of their ids."""
        return (self._video(video_id) for video_id in sorted(self._videos if ids is None else ids))

    def facts(self, video_id: str) -> Facts:
        """What is known of one video. Raises IndexFolderError when it is not there."""
        return self._video(video_id).facts

    def all_facts(self) -> dict[str, Facts]:
        """What is known of every video, in order of their ids."""
        return {video.video_id: video.facts for video in self.videos()}

    def candidate(self, query: Tensor, video_id: str) -> Candidate:
        """query (D,) -> one named video, scored. Raises IndexFolderError when it is not there."""
        weight = self.header.clip_weight
        return score_bank(video_id, self._video(video_id).bank, unit(query), clip_weight=weight)

    def score_all(self, queries: Tensor, *, where: Where | None = None) -> tuple[list[str], Tensor]:
        """queries (B, D) -> ids in order, and the fused score of every video (B, V)."""
        ids, tokens, sizes = self._joined
        scores = best_of_branches((tokens @ unit(queries).T).T, sizes).fused(self.header.clip_weight)
        if not where:
            return ids, scores
        meant = [v for v, video_id in enumerate(ids) if where.holds(self._videos[video_id].facts)]
        return [ids[v] for v in meant], scores[:, meant]

    def words(self, text: str, *, k: int, where: Where | None = None, kind: str | None = None) -> list[WordHit]:
        """The k videos whose names or words of a kind hold most of a text, best first."""
        passages = [passage for video in self.videos() for passage in passages_of(video)]
        frequency = Counter(word for passage in passages for word in set(fold(passage.text)))
        meant = [passage for passage in passages if not where or where.holds(self.facts(passage.video_id))]
        return rank_words(informative(text, frequency, len(passages)), of_kind(meant, kind), k=k)

    def put_tags(self, tags: Mapping[str, Sequence[str]]) -> None:
        """Set `Facts.tags` of some videos."""
        for video_id in tags.keys() & self._videos.keys():
            video = self._videos[video_id]
            self._videos[video_id] = video._replace(facts=replace(video.facts, tags=tuple(tags[video_id])))
        self._changes += 1

    def note(self, name: str) -> str | None:
        """A text kept with the index."""
        return self._notes.get(name)

    def notes(self) -> dict[str, str]:
        """All notes by their names."""
        return dict(self._notes)

    def put_note(self, name: str, text: str) -> None:
        """Keep a text with the index; replaces what was there under this name."""
        self._notes[name] = text
        self._changes += 1

    def _changed(self) -> None:
        """Other vectors than before."""
        self._changes += 1
        self.__dict__.pop("_joined", None)

    @cached_property
    def _joined(self) -> _Joined:
        ids = sorted(self._videos)
        banks = [self._videos[video_id].bank for video_id in ids]
        empty = torch.empty(0, self.header.width)
        return _Joined(ids, torch.cat([empty, *(bank.tokens for bank in banks)]), sizes_of(banks))

    def _video(self, video_id: str) -> Video:
        try:
            return self._videos[video_id]
        except KeyError as error:
            raise IndexFolderError(f"{video_id}: no such video in the index; add it with `prvr index PATH`") from error
