"""From one ranked video to a hit: its moments, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from prvr.core.types import Hit, Span
from prvr.index.base import Facts, WordHit
from prvr.search.indexing import locate
from prvr.search.judge import Judgement
from prvr.search.moments import Curve, moments, per_second, relevance
from prvr.search.ranking import HALF, Row


class Reading(NamedTuple):
    """What is read from one video of an answer."""

    row: Row
    facts: Facts
    duration_s: float
    curve: Curve
    spans: tuple[Span, ...]  # best first
    steps: tuple[Span, ...]  # of several sentences, in order of time
    quote: str

    def hit(self, judgement: Judgement, folder: Path, *, same_as: str | None = None) -> Hit:
        """As it is told; paths lie below `folder`."""
        return Hit(
            video_id=self.row.candidate.video_id,
            score=self.row.score,
            moments=self.spans,
            duration_s=self.duration_s,
            path=locate(folder, self.facts.path) if self.facts.path else None,
            **judgement._asdict(),
            relevance=per_second(self.curve),
            steps=self.steps,
            quote=self.quote,
            same_as=same_as,
        )


def read(row: Row, facts: Facts, said: WordHit | None, *, clip_weight: float) -> Reading:
    """The moments of a video, where its steps are seen and where words of the text are said."""
    duration = facts.duration_s or float(row.candidate.bank.spans.max())
    curve = row.curve or relevance(row.candidate, clip_weight=clip_weight, duration_s=duration)
    steps = tuple(_clamped(row.spans, duration))
    spans = ((steps[0][0], steps[-1][1]),) if steps else tuple(_clamped(moments(curve), duration))
    if said:
        spans = _with_cues(said, spans, duration)
    return Reading(row, facts, duration, curve, spans, steps, said.cues[0].text if said and said.cues else "")


def _with_cues(said: WordHit, spans: tuple[Span, ...], duration_s: float, *, most: int = 3) -> tuple[Span, ...]:
    """When it is said and when it is seen, what tells more first, without overlap."""
    heard = tuple(_clamped([(cue.start_s, cue.end_s) for cue in said.cues], duration_s))
    found: list[Span] = []
    for start, end in heard + spans if said.score >= HALF else spans + heard:
        if all(end <= first or last <= start for first, last in found):
            found.append((start, end))
    return tuple(found[:most])


def _clamped(spans: Sequence[Span], duration_s: float) -> list[Span]:
    return [(start, min(end, duration_s)) for start, end in spans if start < duration_s]
