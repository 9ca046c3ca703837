"""How sure each hit is, read from the calibration of an index."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from prvr.core.ranking import score_banks
from prvr.core.types import Bank
from prvr.index.base import Index, unit
from prvr.search.background import COUNTS
from prvr.search.calibration import CalibrationState
from prvr.search.confidence import FEWEST_VIDEOS, Null, label, t_norm

ANCHORS, ANCHOR_TOKENS = 128, 32  # videos, and vectors of each branch of one, that t-norm looks at
STALE = 0.1  # share of videos newer than the calibration above which nothing is said


class Judgement(NamedTuple):
    """What is known of one hit."""

    confidence: str
    p_topic: float | None
    p_instance: float | None


class Judge:
    """The nulls of one index, ready for queries.

    p_topic is that of the kind of foreign sentences that does best, so that false accepts of every kind are kept down.
    """

    def __init__(self, state: CalibrationState, *, clip_weight: float, anchors: Sequence[Bank] = ()) -> None:
        self._bias = state.bias
        self._usual = sum(state.bias.values()) / max(len(state.bias), 1)  # of a video that is not known yet
        self._anchors, self._clip_weight = anchors, clip_weight
        nulls = {kind: self._null(state, state.rows(kind, null=True)) for kind in (*COUNTS, "home")}
        self._home = nulls.pop("home")
        self._foreign = [null for null in nulls.values() if null is not None]

    @classmethod
    def of(cls, index: Index) -> Judge | None:
        """The judge of an index; None where its library is too small, was never calibrated, or changed much since."""
        if len(index) < FEWEST_VIDEOS or (state := CalibrationState.of(index)) is None:
            return None
        versions = index.versions
        known = sum(state.versions.get(video_id) == version for video_id, version in versions.items())
        if max(len(versions), len(state.versions)) - known > STALE * len(versions):
            return None
        banks = []
        if state.t_norm:
            chosen = sorted(versions, key=lambda video_id: hashlib.sha1(video_id.encode()).digest())[:ANCHORS]
            zero = torch.zeros(index.header.width)
            banks = [_thinned(index.candidate(zero, video_id).bank) for video_id in chosen]
        return cls(state, clip_weight=index.header.clip_weight, anchors=banks)

    def bias(self, video_ids: Sequence[str]) -> Tensor:
        """(len(video_ids),) what each video's score loses; the mean for one that is new."""
        return torch.tensor([self._bias.get(video_id, self._usual) for video_id in video_ids])

    def chances(self, queries: Tensor, scores: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """queries (S, D), scores (S, n) less bias -> p_topic and p_instance, (S, n) each; None where not known."""
        scores = self._normed(queries, scores)
        if not self._foreign:
            return None, None
        topic = torch.stack([null.p(scores) for null in self._foreign]).amax(0)
        return topic, None if self._home is None else self._home.p(scores)

    def judge(self, queries: Tensor, scores: Tensor) -> list[Judgement]:
        """queries (S, D), scores (S, n) less bias of n hits -> what is known of each.

        Of several sentences that must all be seen, the least sure decides, which errs on the side of caution.
        """
        known = [None if p is None else p.amax(0).tolist() for p in self.chances(queries, scores)]
        pairs = zip(*(p or [None] * scores.shape[1] for p in known), strict=True)
        return [Judgement(label(topic, instance), topic, instance) for topic, instance in pairs]

    def _null(self, state: CalibrationState, rows: Sequence[int]) -> Null | None:
        best = torch.tensor([state.best[row][0] for row in rows])
        return Null.of(self._normed(state.queries[rows], best[:, None])[:, 0]) if rows else None

    def _normed(self, queries: Tensor, scores: Tensor) -> Tensor:
        """queries (S, D), scores (S, n) -> the same by t-norm over the anchors, where there are any."""
        if not self._anchors:
            return scores
        return t_norm(scores, score_banks(self._anchors, unit(queries), clip_weight=self._clip_weight))


def _thinned(bank: Bank) -> Bank:
    """At most a few vectors of each branch, evenly spread: enough for a mean and a deviation over many videos."""
    parts = bank.tokens[: bank.num_frames], bank.tokens[bank.num_frames :]
    keep = [torch.linspace(0, max(len(part) - 1, 0), min(len(part), ANCHOR_TOKENS)).round().long() for part in parts]
    both = torch.cat([keep[0], keep[1] + bank.num_frames])
    return Bank(bank.tokens[both].clone(), bank.spans[both], len(keep[0]))
