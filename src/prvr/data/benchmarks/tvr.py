"""TVR: each clip of an episode is a video, each sentence has one moment::

    {"vid_name": "friends_s01e03_seg02_clip_19", "duration": 61.46, "ts": [16.48, 33.87],
     "desc": "Phoebe puts one of her ponytails in her mouth.", "type": "v", "desc_id": 90200}

The query id is `<video>#<desc_id>`.
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
    number_of,
    numbers,
    one_line,
    only_window,
    render_rows,
    seconds_of,
    source_of,
    span_of,
    spelling,
    text_of,
    unique,
)

NAME = "tvr"
KEYS = ("desc_id", "vid_name", "duration", "ts", "desc")


def parse(text: str, *, where: str) -> list[Query]:
    """The content of one split -> its queries, in file order. Raises DataError naming file and line."""
    rows = list(json_rows(text, where=where, keys=KEYS))
    unique([number_of(row, "desc_id", where=place) for place, row in rows], [place for place, _ in rows])
    return [_query(row, where=place) for place, row in rows]


def render(queries: Sequence[Query]) -> str:
    """Queries -> the content of such a file, with the first moment of each.

    Raises DataError for a video of unknown length and a query without a moment.
    """
    rows = []
    for query, desc_id in zip(queries, numbers(queries, NAME, "desc_id"), strict=True):
        said = source_of(query, NAME)
        row: Row = {
            "vid_name": query.video_id,
            "duration": duration_of(query, form="TVR"),
            "ts": list(only_window(query, form="TVR")),
            "desc": spelling(query, said, "desc"),
            "desc_id": desc_id,
        }
        rows.append(said | row)
    return render_rows(rows)


def _query(row: Row, *, where: str) -> Query:
    video, duration = id_of(row, "vid_name", where=where), seconds_of(row, "duration", where=where)
    return Query(
        query_id=f"{video}#{row['desc_id']}",
        video_id=video,
        text=one_line(text_of(row, "desc", where=where)),
        windows=(span_of(row["ts"], duration_s=duration, where=where),),
        duration_s=duration,
        source=beyond(NAME, row, says=KEYS[1:], sentence="desc"),
    )
