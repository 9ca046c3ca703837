"""Charades-STA in JSON lines, the field's common form: a video, a sentence, and one moment or more::

    {"qid": 0, "query": "a person is putting a book on a shelf.", "duration": 33.67, "vid": "AO8RW",
     "relevant_windows": [[0.0, 6.9]]}

The query id is `<video>#<qid>`; other sets of this form (TACoS, Ego4D) have names for numbers. Moments that end after
their video are clipped, as the authors of Charades-STA say, and written again as they were.
"""

from __future__ import annotations

from collections.abc import Sequence

from prvr.core.types import Query
from prvr.data.benchmarks.rows import (
    WINDOWS,
    Row,
    beyond,
    duration_of,
    id_of,
    moment_rows,
    numbers,
    one_line,
    render_rows,
    said_otherwise,
    seconds_of,
    source_of,
    span_of,
    spelling,
    text_of,
    windows_again,
    windows_of,
)

NAME = "charades"
KEYS = ("qid", "query", "duration", "vid")


def parse(text: str, *, where: str) -> list[Query]:
    """The content of one split -> its queries, in file order. Raises DataError naming file and line."""
    return [_query(row, where=place) for place, row in moment_rows(text, where=where, keys=KEYS)]


def render(queries: Sequence[Query]) -> str:
    """Queries -> the content of such a file. Raises DataError for a video of unknown length."""
    rows = []
    for query, qid in zip(queries, numbers(queries, NAME, "qid"), strict=True):
        said = source_of(query, NAME)
        duration = duration_of(query, form="Charades-STA")
        row: Row = {
            "qid": qid,
            "query": spelling(query, said, "query"),
            "duration": duration,
            "vid": query.video_id,
            **windows_again(said, query.windows, duration),
        }
        rows.append(said | row)
    return render_rows(rows)


def _query(row: Row, *, where: str) -> Query:
    video, duration = id_of(row, "vid", where=where), seconds_of(row, "duration", where=where)
    given = windows_of(row, where=where)
    windows = tuple(span_of(window, duration_s=duration, where=where, clipped=True) for window in given)
    return Query(
        query_id=f"{video}#{row['qid']}",
        video_id=video,
        text=one_line(text_of(row, "query", where=where)),
        windows=windows,
        duration_s=duration,
        source=beyond(NAME, row, says=(*KEYS[1:], WINDOWS), sentence="query") | said_otherwise(row, windows),
    )
