"""Sentences that a library answers: chosen when it is indexed, among the captions that lie with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from prvr.core.errors import DataError
from prvr.core.types import Query
from prvr.data.annotations import read_queries
from prvr.index.base import Index
from prvr.search.confidence import CONFIDENT, NOTHING
from prvr.search.engine import SearchEngine

NOTE = "examples"
CAPTIONS = Path("annotations") / "test.jsonl"
MOST = 6
ASKED, TRIED = 400, 60  # captions that are compared, and of these the ones that are searched as a user would


def keep_examples(engine: SearchEngine) -> None:
    """Choose and keep them with the index, which must be open for writing; none where no captions lie with it."""
    rows = [(query.text, query.video_id) for query in choose_examples(engine)]
    text = json.dumps(rows, ensure_ascii=False)
    if (engine.index.note(NOTE) or "[]") != text:
        engine.index.put_note(NOTE, text)


def kept_examples(index: Index) -> tuple[str, ...]:
    """Those of an index, best first, whose videos are still there."""
    try:
        rows = [(str(text), str(video_id)) for text, video_id in json.loads(index.note(NOTE) or "[]")]
    except (ValueError, TypeError):
        return ()
    there = index.versions if rows else {}
    return tuple(text for text, video_id in rows if video_id in there)


def choose_examples(engine: SearchEngine) -> list[Query]:
    """At most MOST captions whose own video is the first hit and, in a calibrated library, no guess; surest first.

    Each is of another video, and they are spread over all of them.
    """
    captions = _captions(engine)
    if not captions:
        return []
    ids, scores = engine.index.score_all(engine.embed_many([query.text for query in captions]))
    best = scores.argmax(1).tolist()
    first = [query for query, v in zip(captions, best, strict=True) if ids[v] == query.video_id]
    first = _spread(list({query.video_id: query for query in first}.values()), TRIED)
    hits = [found[0] for found in engine.search_many([query.text for query in first], k=1)]
    good = [
        (hit.confidence, query)
        for hit, query in zip(hits, first, strict=True)
        if hit.video_id == query.video_id and hit.confidence != NOTHING
    ]
    sure, others = ([query for label, query in good if (label == CONFIDENT) == wanted] for wanted in (True, False))
    return [*_spread(sure, MOST), *_spread(others, MOST)][:MOST]


def _captions(engine: SearchEngine) -> list[Query]:
    """Captions of videos that are there, beside the index or in the folder that it lies in."""
    known = engine.index.versions
    for place in (engine.folder, engine.folder.absolute().parent):
        try:
            queries = read_queries(place / CAPTIONS)
        except (OSError, DataError):
            continue
        if ours := [query for query in queries if query.video_id in known]:
            return _spread(ours, ASKED)
    return []


def _spread(items: Sequence[Query], most: int) -> list[Query]:
    return [items[at * len(items) // most] for at in range(most)] if len(items) > most else list(items)
