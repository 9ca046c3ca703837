"""The project's own annotation files: JSON lines, one query a line, with the fields of `Query`::

    {"query_id": "w7#2", "video_id": "w7.webm", "text": "a red ball bounces", "windows": [[3.2, 9.8]]}

The files of others are read by `prvr.data.benchmarks`; their quirks end there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from prvr.core.errors import DataError
from prvr.core.files import write_whole
from prvr.core.types import Query, Span

FIELDS = ("query_id", "video_id", "text", "windows", "duration_s", "attributes", "source")
_EXPECTED = "JSON lines, one query a line"


def read_queries(path: Path) -> list[Query]:
    """One file of the project's own format -> its queries, in file order.

    Raises DataError naming the file, the line and what was expected.
    """
    return parse_queries(read_text(path, expected=_EXPECTED), where=str(path))


def write_queries(path: Path, queries: Iterable[Query]) -> None:
    """Queries -> one file of the project's own format, whole or not at all; `read_queries` gives the same back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, render_queries(queries).encode())


def parse_queries(text: str, *, where: str) -> list[Query]:
    """The content of such a file -> its queries; `where` names the file in errors."""
    # split("\n"): a sentence may hold what splitlines() takes for the end of a line (U+2028, U+0085)
    queries = [_parse(line, where=f"{where}:{i}") for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    seen: set[str] = set()
    for query in queries:
        if query.query_id in seen:
            raise DataError(f"{where}: query id {query.query_id!r} stands twice; ids must be unique within a file")
        seen.add(query.query_id)
    if not queries:
        raise DataError(f"{where}: holds no query; expected {_EXPECTED}")
    return queries


def render_queries(queries: Iterable[Query]) -> str:
    """Queries -> the content of such a file."""
    lines = []
    for query in queries:
        row = {name: getattr(query, name) for name in FIELDS}
        said = {key: value for key, value in row.items() if value not in (None, ())}
        lines.append(json.dumps(said, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def read_text(path: Path, *, expected: str) -> str:
    """What an annotation file says. Raises DataError with what was expected when it cannot be read as text."""
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors write a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as annotations ({error}); expected {expected}") from error


def group_by_video(queries: Sequence[Query]) -> dict[str, list[Query]]:
    """Video id -> its queries, videos in order of first appearance."""
    groups: dict[str, list[Query]] = {}
    for query in queries:
        groups.setdefault(query.video_id, []).append(query)
    return groups


def is_number(value: object) -> bool:
    """Whether a JSON value is a number, and one that seconds can be: JSON in Python also knows NaN and Infinity."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12


def _parse(line: str, *, where: str) -> Query:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected an object with {', '.join(FIELDS[:3])}, found {line[:60]!r}")
    for name in FIELDS[:3]:
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise DataError(f"{where}: field {name!r} must be text that is not empty")
    unknown = sorted(set(row) - set(FIELDS))
    if unknown:
        raise DataError(f"{where}: unknown field {unknown[0]!r}; the fields are {', '.join(FIELDS)}")
    duration = row.get("duration_s")
    if duration is not None and not is_number(duration):
        raise DataError(f"{where}: duration_s must be a number of seconds, found {duration!r}")
    windows = row.get("windows", [])
    if not isinstance(windows, list):
        raise DataError(f"{where}: windows must be a list of [start, end] in seconds, found {windows!r}")
    for name in ("attributes", "source"):
        if not isinstance(row.get(name, {}), dict):
            raise DataError(f"{where}: {name} must be an object, found {row[name]!r}")
    return Query(
        query_id=row["query_id"],
        video_id=row["video_id"],
        text=row["text"],
        windows=tuple(_window(window, where=where) for window in windows),
        duration_s=None if duration is None else float(duration),
        attributes=row.get("attributes"),
        source=row.get("source"),
    )


def _window(window: object, *, where: str) -> Span:
    match window:
        case [int() | float() as start, int() | float() as end] if is_number(end) and 0 <= start <= end:
            return float(start), float(end)
    raise DataError(f"{where}: a window is [start, end] in seconds with 0 <= start <= end, found {window!r}")
