"""A search as the command line asks for it, and everything that it then says, whichever process computes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prvr.core.grammar import notes_of, parse
from prvr.core.text import json_text
from prvr.encoders.known import knows_only
from prvr.search.call import SearchCall, Told
from prvr.search.confidence import NOTHING, UNCALIBRATED, verdict
from prvr.search.engine import SearchEngine
from prvr.search.export import SearchHit
from prvr.search.listing import answer
from prvr.search.players import FilmPlayer, commands, players_here


def find(engine: SearchEngine, wanted: SearchCall) -> list[tuple[str, list[SearchHit]]]:
    """What was asked, as it was typed, with the hits of each. Raises QueryError, VideoError."""
    if wanted.picture is not None:
        return [(wanted.picture, engine.search_image(Path(wanted.picture), k=wanted.k))]
    if wanted.like is not None:
        return [(wanted.typed, engine.search_like(wanted.like, wanted.moment, k=wanted.k))]
    found = engine.search_many(wanted.queries, k=wanted.k, words=wanted.words, calibrated=wanted.calibrated)
    return list(zip(wanted.queries, found, strict=True))


def told(engine: SearchEngine, wanted: SearchCall, answers: Sequence[tuple[str, Sequence[SearchHit]]]) -> Told:
    """Answers as the command line prints them."""
    if wanted.for_machines:
        players = players_here()
        text = json_text(
            [
                {"query": query, "hits": [{"rank": rank, **_ready(hit, players)} for rank, hit in enumerate(hits, 1)]}
                for query, hits in answers
            ]
        )
    else:
        several = len(answers) > 1
        text = "\n".join(
            (f'"{query}"\n' if several else "") + answer(hits, everything=wanted.everything) + "\n" * several
            for query, hits in answers
        )
    notes = [
        *_lacks(engine, wanted.queries, answers),
        *dict.fromkeys(note for query in wanted.queries for note in notes_of(query)),
        *engine.problems,
    ]
    moments = tuple((str(hit.path) if hit.path else "", hit.start) for hit in answers[0][1])
    return Told(text, tuple(notes), all(not hits or verdict(hits) == NOTHING for _, hits in answers), moments)


def _ready(hit: SearchHit, players: Sequence[FilmPlayer]) -> dict[str, Any]:
    """A hit, and what opens it at its moment, by each player of this machine."""
    state = hit.state
    ready = commands(players, hit.path, hit.start) if hit.path and state == "here" else []
    return {**hit.as_dict(state), "open": ready}


def _lacks(
    engine: SearchEngine, queries: Sequence[str], answers: Sequence[tuple[str, Sequence[SearchHit]]]
) -> list[str]:
    """Words that the model does not know; else, where nothing says how good the hits are, what it is made for."""
    spec = engine.encoder.spec
    unknown = {word for one in map(parse, queries) for text in one.steps for word in engine.encoder.unknown_words(text)}
    if unknown:
        return [f"The model {spec.name} does not know: {', '.join(sorted(unknown))}{knows_only(spec)}"]
    if queries and knows_only(spec) and all(verdict(hits) in (NOTHING, UNCALIBRATED) for _, hits in answers):
        return [f"The model {spec.name}{knows_only(spec).replace('; it', '')}"]
    return []
