"""From ranked videos to hits: their moments, and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prvr.core.facts import SEEN, Facts
from prvr.core.ranking import TokenScores, moments, on_grid, per_second, relevance
from prvr.core.types import Span
from prvr.index.base import WordHit
from prvr.search.export import SearchHit
from prvr.search.ranking import HALF, Row


def read(
    rows: Sequence[Row], facts: Sequence[Facts], said: Mapping[str, WordHit], *, clip_weight: float
) -> list[SearchHit]:
    """The moments of videos, where their steps are seen and where words of the text are `said`, by video id.

    Times lie inside the videos. Where the files lie, and how sure the hits are, is not told yet.
    """
    lengths = [one.duration_s or float(row.candidate.bank.spans.max()) for row, one in zip(rows, facts, strict=True)]
    return [
        _hit(row, duration_s, *shown, said.get(row.candidate.video_id))
        for row, duration_s, shown in zip(rows, lengths, _shown(rows, lengths, clip_weight=clip_weight), strict=True)
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


def _hit(
    row: Row, duration_s: float, seen: tuple[Span, ...], relevance: tuple[float, ...], said: WordHit | None
) -> SearchHit:
    """`seen` are the moments, best first; of several steps there is one, from the first to the last."""
    steps = _clamped(row.spans, duration_s)
    spans = ((steps[0][0], steps[-1][1]),) if steps else _clamped(seen, duration_s)
    if said:
        spans = _with_cues(said, spans, duration_s)
    return SearchHit(
        video_id=row.candidate.video_id,
        score=row.score,
        moments=spans,
        duration_s=duration_s,
        relevance=relevance,
        steps=steps,
        channel=said.cues[0].kind if said and said.cues and (said.leads or said.score >= HALF) and not steps else SEEN,
        quote=said.cues[0].text if said and said.cues else "",
    )


def _with_cues(said: WordHit, spans: tuple[Span, ...], duration_s: float, *, most: int = 3) -> tuple[Span, ...]:
    """When it is said and when it is seen, what tells more first, without overlap."""
    heard = _clamped([(cue.start_s, cue.end_s) for cue in said.cues], duration_s)
    found: list[Span] = []
    for start, end in heard + spans if said.leads or said.score >= HALF else spans + heard:
        if all(end <= first or last <= start for first, last in found):
            found.append((start, end))
    return tuple(found[:most])


def _clamped(spans: Sequence[Span], duration_s: float) -> tuple[Span, ...]:
    return tuple((start, min(end, duration_s)) for start, end in spans if start < duration_s)
