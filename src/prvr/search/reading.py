"""From ranked videos to hits: their moments, and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from prvr.core.ranking import TokenScores, moments, on_grid, per_second, relevance
from prvr.core.types import Hit, Span
from prvr.index.base import Facts, WordHit
from prvr.search.indexing import locate
from prvr.search.judge import Judgement
from prvr.search.ranking import HALF, Row


class Reading(NamedTuple):
    """What is read from one video of an answer; times lie inside it."""

    row: Row
    facts: Facts
    duration_s: float
    spans: tuple[Span, ...]  # best first; of several steps the one from the first to the last
    steps: tuple[Span, ...]  # of several sentences, in order of time
    relevance: tuple[float, ...]  # mean score of every second
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
            relevance=self.relevance,
            steps=self.steps,
            quote=self.quote,
            same_as=same_as,
        )


def read(
    rows: Sequence[Row], facts: Sequence[Facts], said: Mapping[str, WordHit], *, clip_weight: float
) -> list[Reading]:
    """The moments of videos, where their steps are seen and where words of the text are `said`, by video id."""
    lengths = [one.duration_s or float(row.candidate.bank.spans.max()) for row, one in zip(rows, facts, strict=True)]
    return [
        _reading(row, one, duration_s, *shown, said.get(row.candidate.video_id))
        for row, one, duration_s, shown in zip(
            rows, facts, lengths, _shown(rows, lengths, clip_weight=clip_weight), strict=True
        )
    ]


def _shown(
    rows: Sequence[Row], durations_s: Sequence[float], *, clip_weight: float
) -> list[tuple[tuple[Span, ...], tuple[float, ...]]]:
    """Moments and relevance of each row: from its tokens, or from the best of several steps at every instant."""
    plain = [i for i, row in enumerate(rows) if row.values is None]
    grids = {i: row.values.amax(0) for i, row in enumerate(rows) if row.values is not None}
    found: dict[int, tuple[tuple[Span, ...], tuple[float, ...]]] = {}
    if plain:
        lengths = [durations_s[i] for i in plain]
        tokens = TokenScores.of([rows[i].candidate for i in plain])
        curves = relevance(tokens, clip_weight=clip_weight, durations_s=lengths)
        found |= zip(plain, zip(moments(curves).each(), per_second(curves), strict=True), strict=True)
    if grids:
        curves = on_grid(list(grids.values()), steps_s=[rows[i].step_s for i in grids])
        found |= zip(grids, zip(moments(curves).each(), per_second(curves), strict=True), strict=True)
    return [found[i] for i in range(len(rows))]


def _reading(
    row: Row,
    facts: Facts,
    duration_s: float,
    seen: tuple[Span, ...],
    relevance: tuple[float, ...],
    said: WordHit | None,
) -> Reading:
    steps = _clamped(row.spans, duration_s)
    spans = ((steps[0][0], steps[-1][1]),) if steps else _clamped(seen, duration_s)
    if said:
        spans = _with_cues(said, spans, duration_s)
    return Reading(row, facts, duration_s, spans, steps, relevance, said.cues[0].text if said and said.cues else "")


def _with_cues(said: WordHit, spans: tuple[Span, ...], duration_s: float, *, most: int = 3) -> tuple[Span, ...]:
    """When it is said and when it is seen, what tells more first, without overlap."""
    heard = _clamped([(cue.start_s, cue.end_s) for cue in said.cues], duration_s)
    found: list[Span] = []
    for start, end in heard + spans if said.score >= HALF else spans + heard:
        if all(end <= first or last <= start for first, last in found):
            found.append((start, end))
    return tuple(found[:most])


def _clamped(spans: Sequence[Span], duration_s: float) -> tuple[Span, ...]:
    return tuple((start, min(end, duration_s)) for start, end in spans if start < duration_s)
