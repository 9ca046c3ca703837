"""Charades-STA in JSON lines: each video with its sentences, and one moment or more a sentence::

    {"qid": 0, "query": "a person is putting a book on a shelf.", "duration": 33.67, "vid": "AO8RW",
     "relevant_windows": [[0.0, 6.9]]}

The query id is `<video>#<qid>`.
"""

from __future__ import annotations

from collections.abc import Sequence

from prvr.core.types import Query
from prvr.data.benchmarks.rows import (
    Row,
    beyond,
    duration_of,
    id_of,
    json_rows,
    list_of,
    number_of,
    numbers,
    one_line,
    render_rows,
    seconds_of,
    source_of,
    span_of,
    spelling,
    text_of,
    unique,
)

NAME = "charades"
KEYS = ("qid", "query", "duration", "vid", "relevant_windows")


def parse(text: str, *, where: str) -> list[Query]:
    """The content of one split -> its queries, in file order. Raises DataError naming file and line."""
    rows = list(json_rows(text, where=where, keys=KEYS))
    unique([number_of(row, "qid", where=place) for place, row in rows], [place for place, _ in rows])
    return [_query(row, where=place) for place, row in rows]


def render(queries: Sequence[Query]) -> str:
    """Queries -> the content of such a file. Raises DataError for a video of unknown length."""
    rows = []
    for query, qid in zip(queries, numbers(queries, NAME, "qid"), strict=True):
        said = source_of(query, NAME)
        row: Row = {
            "qid": qid,
            "query": spelling(query, said, "query"),
            "duration": duration_of(query, form="Charades-STA"),
            "vid": query.video_id,
            "relevant_windows": [list(window) for window in query.windows],
        }
        rows.append(said | row)
    return render_rows(rows)


def _query(row: Row, *, where: str) -> Query:
    video, duration = id_of(row, "vid", where=where), seconds_of(row, "duration", where=where)
    windows = list_of(row, "relevant_windows", where=where)
    return Query(
        query_id=f"{video}#{row['qid']}",
        video_id=video,
        text=one_line(text_of(row, "query", where=where)),
        windows=tuple(span_of(window, duration_s=duration, where=where) for window in windows),
        duration_s=duration,
        source=beyond(NAME, row, says=KEYS[1:], sentence="query"),
    )
