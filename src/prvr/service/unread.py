"""The files that could not be read into the library."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Literal, NamedTuple, Self

from prvr.core.text import cell
from prvr.search import keeping

ELSEWHERE = {
    "find": "cannot be looked at",
    "open": "is no video that can be read",
    "decode": "no picture of it could be had",
    "cut": "is cut off or damaged, and was read as far as it goes",
    "killed": "ended what read it, or took too much, and is left alone",
}


class Unread(NamedTuple):
    """One of them, or a folder."""

    id: str
    file: str  # its whole path
    stage: Literal["find", "open", "decode", "cut", "killed"]
    reason: str  # and what to do
    time: float  # unix seconds, of the last attempt
    ignored: bool

    def hidden(self) -> Self:
        """As users of other machines see it, without folders, which a reason may name too."""
        return self._replace(file=PurePath(self.file).name, reason=ELSEWHERE[self.stage])


def unread(folder: Path, *, hidden: bool = False) -> list[Unread]:
    """Those of the index at `folder`, in order of their paths. Raises IndexFolderError."""
    found = [Unread(one.id, one.file, one.stage, one.reason, one.time, one.ignored) for one in keeping.failures(folder)]
    return [one.hidden() for one in found] if hidden else found


def ignore(folder: Path, failure_id: str) -> bool:
    """Leave one alone until it changes; False: there is none of this id. Raises IndexFolderError as `keeping`."""
    return keeping.ignore(folder, failure_id)


def table(files: Sequence[Unread]) -> str:
    """As CSV; a text that begins as a formula does has an apostrophe before it."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(("time", "file", "stage", "reason", "ignored"))
    for one in files:
        when = datetime.fromtimestamp(one.time, UTC).isoformat(timespec="seconds")
        rows.writerow(map(cell, (when, one.file, one.stage, one.reason, "yes" if one.ignored else "no")))
    return text.getvalue()
