"""Annotation files in, `Query` out. Every benchmark's quirks end in this file.

The project's own format is JSON lines, one query a line, with the fields of `Query`::

    {"query_id": "w7#2", "video_id": "w7.webm", "text": "a red ball bounces", "windows": [[3.2, 9.8]]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from prvr.core.errors import DataError
from prvr.core.files import write_whole
from prvr.core.types import Query, Span

FIELDS = ("query_id", "video_id", "text", "windows", "duration_s", "attributes")


def read_queries(path: Path) -> list[Query]:
    """One file of the project's own format -> its queries, in file order.

    Raises DataError naming the file, the line and what was expected.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read as annotations ({error}); expected JSON lines, one query a line"
        ) from error
    queries = [_parse(line, where=f"{path}:{i}") for i, line in enumerate(lines, 1) if line.strip()]
    seen: set[str] = set()
    for query in queries:
        if query.query_id in seen:
            raise DataError(f"{path}: query id {query.query_id!r} stands twice; ids must be unique within a file")
        seen.add(query.query_id)
    if not queries:
        raise DataError(f"{path}: holds no query; expected JSON lines, one query a line")
    return queries


def write_queries(path: Path, queries: Iterable[Query]) -> None:
    """Queries -> one file of the project's own format, whole or not at all; `read_queries` gives the same back."""
    lines = []
    for query in queries:
        row = {name: getattr(query, name) for name in FIELDS}
        lines.append(
            json.dumps({key: value for key, value in row.items() if value not in (None, ())}, ensure_ascii=False)
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, ("\n".join(lines) + "\n").encode())


def group_by_video(queries: Sequence[Query]) -> dict[str, list[Query]]:
    """Video id -> its queries, videos in order of first appearance."""
    groups: dict[str, list[Query]] = {}
    for query in queries:
        groups.setdefault(query.video_id, []).append(query)
    return groups


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
    if duration is not None and not isinstance(duration, (int, float)):
        raise DataError(f"{where}: duration_s must be a number of seconds, found {duration!r}")
    windows = row.get("windows", [])
    if not isinstance(windows, list):
        raise DataError(f"{where}: windows must be a list of [start, end] in seconds, found {windows!r}")
    return Query(
        query_id=row["query_id"],
        video_id=row["video_id"],
        text=row["text"],
        windows=tuple(_window(window, where=where) for window in windows),
        duration_s=None if duration is None else float(duration),
        attributes=row.get("attributes"),
    )


def _window(window: Any, *, where: str) -> Span:
    match window:
        case [int() | float() as start, int() | float() as end] if 0 <= start <= end:
            return float(start), float(end)
    raise DataError(f"{where}: a window is [start, end] in seconds with 0 <= start <= end, found {window!r}")
