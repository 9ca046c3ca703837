"""Charades-STA as its authors publish it, `charades_sta_train.txt` and `charades_sta_test.txt`: a line a sentence::

    3MSZA 24.3 30.4##person turn a light on.

The query id is `<video>#<n>`, n counting the lines from 0. Lengths of videos are not said. Some moments run backwards:
they are put in order, and written backwards again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from prvr.core.errors import DataError
from prvr.core.types import Query
from prvr.data.benchmarks import charades
from prvr.data.benchmarks.rows import Row, one_line, only_window, source_of

NAME = "charades_sta"
_LINE = re.compile(r"(?P<video>\S+) +(?P<start>\d+(?:\.\d+)?) +(?P<end>\d+(?:\.\d+)?) *##(?P<text>.+)")
_EXPECTED = "'<video> <start> <end>##<sentence>'"


def is_line(line: str) -> bool:
    """Whether a line is of this form."""
    return _LINE.fullmatch(line) is not None


def parse(text: str, *, where: str) -> list[Query]:
    """The content of one split -> its queries, in file order. Raises DataError naming file and line."""
    lines = [(f"{where}:{i}", line.strip()) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise DataError(f"{where}: holds no query; expected lines of {_EXPECTED}")
    return [_query(line, number, where=place) for number, (place, line) in enumerate(lines)]


def render(queries: Sequence[Query]) -> str:
    """Queries -> the content of such a file, with the first moment of each.

    Raises DataError for a query without a moment and for a video id with a space.
    """
    return "".join(f"{_line(query)}\n" for query in queries)


def _query(line: str, number: int, *, where: str) -> Query:
    match = _LINE.fullmatch(line)
    sentence = one_line(match["text"]) if match else ""
    if match is None or not sentence:
        raise DataError(f"{where}: expected {_EXPECTED}, found {line[:60]!r}")
    start, end = float(match["start"]), float(match["end"])
    source: Row = {"benchmark": charades.NAME} | ({"backwards": True} if end < start else {})
    return Query(
        query_id=f"{match['video']}#{number}",
        video_id=match["video"],
        text=sentence,
        windows=((min(start, end), max(start, end)),),
        source=source,
    )


def _line(query: Query) -> str:
    if query.video_id.split() != [query.video_id]:
        raise DataError(f"video id {query.video_id!r} cannot stand in such a file: a space would end it")
    start, end = only_window(query, form="Charades-STA")
    if source_of(query, charades.NAME).get("backwards"):
        start, end = end, start
    return f"{query.video_id} {start:.15g} {end:.15g}##{one_line(query.text)}"
