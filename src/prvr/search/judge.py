"""How sure each hit is, read from the calibration of an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from prvr.index.base import Index
from prvr.search.background import IN_COMMON
from prvr.search.calibration import HOME, PIECE, STRINGS, TOPIC, CalibrationState
from prvr.search.confidence import FEWEST_VIDEOS, Null, label
from prvr.search.words import ALL, NONE, SIZES, SOME, Kind

HALF = 0.5  # of the sentences without a target that a hit has to beat, where no foreign ones can be compared with
STALE = 0.1  # share of videos newer than the calibration above which nothing is said


class Judgement(NamedTuple):
    """What is known of one hit."""

    confidence: str
    p_topic: float | None
    p_instance: float | None


class Judge:
    """The nulls of one index, ready for queries; each is judged by sentences of its own kind.

    p_topic is that of the source of foreign sentences that does best, so that false accepts of each are kept down.
    A sentence of which the encoder knows nothing is foreign, whatever it scores. One of which it knows all, where it
    knows all of hardly any foreign sentence, is about what the encoder was made for: p_topic of its first hit is 0, and
    of those that do better than half of the sentences at home (else the foreign ones of which it knows a part) do at
    best. It is that share for the others, so that not every video is an answer.
    """

    def __init__(self, state: CalibrationState) -> None:
        self._state = state
        sizes = range(len(SIZES))
        self._home = [self._null((HOME,), size) or self._null((HOME, PIECE), size) for size in sizes]
        self._foreign = {
            (size, knows): [
                null for source in (TOPIC, *IN_COMMON, STRINGS) if (null := self._null((source,), size, knows))
            ]
            for size in sizes
            for knows in (ALL, SOME)
        }

    @classmethod
    def of(cls, index: Index) -> Judge | None:
        """The judge of an index; None where its library is too small, was never calibrated, or changed much since."""
        if len(index) < FEWEST_VIDEOS or (state := CalibrationState.of(index)) is None:
            return None
        versions = index.versions
        known = sum(state.versions.get(video_id) == version for video_id, version in versions.items())
        if max(len(versions), len(state.versions)) - known > STALE * len(versions):
            return None
        return cls(state)

    def chances(self, kind: Kind, scores: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """scores (n,) of hits of a sentence of a kind, first hit first -> p_topic and p_instance; None: not known."""
        home = self._home[kind.size]
        return self._topic(kind, scores), None if home is None else home.p(scores)

    def judge(self, kinds: Sequence[Kind], scores: Tensor) -> list[Judgement]:
        """The kinds of S sentences, scores (S, n) of the n first hits -> what is known of each.

        Of several sentences that must all be seen, the least sure decides, which errs on the side of caution.
        """
        every = zip(*(self.chances(kind, row) for kind, row in zip(kinds, scores, strict=True)), strict=True)
        unknown: list[float | None] = [None] * scores.shape[1]
        known = [_least_sure(one) or unknown for one in every]
        return [Judgement(label(topic, instance), topic, instance) for topic, instance in zip(*known, strict=True)]

    def _topic(self, kind: Kind, scores: Tensor) -> Tensor | None:
        if kind.knows == NONE:
            return torch.ones_like(scores, dtype=torch.float64)
        if nulls := self._foreign[kind]:
            return _most([null.p(scores) for null in nulls])
        home, part = self._home[kind.size], self._foreign[kind.size, SOME]
        if not part:
            return None
        p = home.p(scores) if home else _most([null.p(scores) for null in part])
        return p.where(p > HALF, 0.0).index_fill(0, torch.tensor([0]), 0.0)

    def _null(self, sources: Sequence[str], size: int, knows: str | None = None) -> Null | None:
        """What sentences of these sources and a size score; `knows`: how much of them the encoder knows, or any."""
        pairs = enumerate(self._state.sentences)
        rows = [
            row
            for row, (_, source, kind, _) in pairs
            if source in sources and kind.size == size and knows in (None, kind.knows)
        ]
        return Null.of(torch.tensor([self._state.best[row][0] for row in rows]))


def _most(chances: Sequence[Tensor]) -> Tensor:
    """p (n,) of each source -> the highest."""
    return torch.stack(list(chances)).amax(0)


def _least_sure(chances: Sequence[Tensor | None]) -> list[float] | None:
    """p (n,) of each sentence -> the highest; None where one is not known."""
    known = [p for p in chances if p is not None]
    return _most(known).tolist() if len(known) == len(chances) else None
