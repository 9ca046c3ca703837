"""The field's caption text files: one query a line, the video before the first `#`, the sentence after a space::

    castle_s01e01_seg02_clip_20#enc#0 Beckett opens the door.

Numbers may have gaps. Such files know no moments and no lengths. A video called by its title, with a `#` or a space in
it, ends where `#enc#` and a number begin.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from prvr.core.errors import DataError
from prvr.core.types import Query
from prvr.data.benchmarks.rows import one_line, unique

_EXPECTED = "'<video id>#<n> <sentence>'"
_TITLED = re.compile(r"(?P<id>(?P<video>.*?\S)#enc#\d+)\s+(?P<text>.+)")


def parse(text: str, *, where: str) -> list[Query]:
    """The content of one split -> its queries, in file order. Raises DataError naming file and line."""
    lines = [(f"{where}:{i}", line.strip()) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    queries = [_query(line, where=place) for place, line in lines]
    if not queries:
        raise DataError(f"{where}: holds no query; expected lines of {_EXPECTED}")
    unique([query.query_id for query in queries], [place for place, _ in lines])
    return queries


def render(queries: Sequence[Query]) -> str:
    """Queries -> the content of such a file; an id that would not be read again becomes `<video id>#enc#<n>`.

    Raises DataError for a video id that cannot be written: one that has a line break, or `#enc#` and a number, in it.
    """
    count: Counter[str] = Counter()
    taken = {query.query_id for query in queries}
    lines = []
    for query in queries:
        video = query.video_id
        if len(video.splitlines()) != 1 or video != video.strip() or not _reads(f"{video}#enc#0", video):
            raise DataError(f"video id {video!r} cannot stand in a caption file: something in it would end it")
        query_id = query.query_id
        if not _reads(query_id, video):
            while (query_id := f"{video}#enc#{count[video]}") in taken:
                count[video] += 1
            taken.add(query_id)
        text = one_line(query.text) if len(query.text.splitlines()) > 1 else query.text.strip()
        lines.append(f"{query_id} {text}\n")
    return "".join(lines)


def is_line(line: str) -> bool:
    """Whether a line is of this form."""
    try:
        return bool(_query(line, where="").video_id)
    except DataError:
        return False


def _reads(query_id: str, video: str) -> bool:
    """Whether a line that begins so is read as a query of that name, of that video."""
    try:
        query = _query(f"{query_id} x", where="")
    except DataError:
        return False
    return (query.query_id, query.video_id) == (query_id, video)


def _query(line: str, *, where: str) -> Query:
    titled = _TITLED.match(line)
    if titled:
        return Query(query_id=titled["id"], video_id=titled["video"], text=titled["text"])
    query_id, _, text = line.partition(" ")
    video_id, hash_mark, _ = query_id.partition("#")
    if not (video_id and hash_mark and text):
        raise DataError(f"{where}: expected {_EXPECTED}, found {line[:60]!r}")
    return Query(query_id=query_id, video_id=video_id, text=text)
