"""The field's caption text files: one query a line, the video before the first `#`, the sentence after a space::

    castle_s01e01_seg02_clip_20#enc#0 Beckett opens the door.

Numbers may have gaps. Such files know no moments and no lengths.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from prvr.core.errors import DataError
from prvr.core.types import Query
from prvr.data.benchmarks.rows import one_line, unique

_EXPECTED = "'<video id>#<n> <sentence>'"


def parse(text: str, *, where: str) -> list[Query]:
    """The content of one split -> its queries, in file order. Raises DataError naming file and line."""
    lines = [(f"{where}:{i}", line.strip()) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    queries = [_query(line, where=place) for place, line in lines]
    if not queries:
        raise DataError(f"{where}: holds no query; expected lines of {_EXPECTED}")
    unique([query.query_id for query in queries], [place for place, _ in lines])
    return queries


def render(queries: Sequence[Query]) -> str:
    """Queries -> the content of such a file; an id that is not of the field's form becomes `<video id>#enc#<n>`.

    Raises DataError for a video id that cannot be written: a `#` or a space would end it.
    """
    count: Counter[str] = Counter()
    taken = {query.query_id for query in queries}
    lines = []
    for query in queries:
        video = query.video_id
        if "#" in video or video.split() != [video]:
            raise DataError(f"video id {video!r} cannot stand in a caption file: a '#' or a space would end it")
        query_id = query.query_id
        if not query_id.startswith(f"{video}#") or query_id.split() != [query_id]:
            while (query_id := f"{video}#enc#{count[video]}") in taken:
                count[video] += 1
            taken.add(query_id)
        text = one_line(query.text) if len(query.text.splitlines()) > 1 else query.text.strip()
        lines.append(f"{query_id} {text}\n")
    return "".join(lines)


def _query(line: str, *, where: str) -> Query:
    query_id, _, text = line.partition(" ")
    video_id, hash_mark, _ = query_id.partition("#")
    if not (video_id and hash_mark and text):
        raise DataError(f"{where}: expected {_EXPECTED}, found {line[:60]!r}")
    return Query(query_id=query_id, video_id=video_id, text=text)
