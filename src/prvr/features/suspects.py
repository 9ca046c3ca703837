"""Which files were being read when a whole run died: a mark a file, put down before it is read and taken up after.

A reader that dies is no such case, since whoever asked it lives on and knows. What is left is what takes the run with
it: an encoder that dies of a picture, a container that is ended whole. The next run reads the files with a mark last,
each alone; one that was alone when the run died is known to be at fault.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

FOLDER = "reading"
NAME = re.compile(r"[0-9a-f]{16}\.json")


class ReadingMark(NamedTuple):
    """A file that was being read."""

    path: str
    size: int
    mtime_ns: int
    alone: bool  # nothing else was

    @property
    def name(self) -> str:
        """Of the mark."""
        return hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16] + ".json"


class Suspects:
    """The marks of a store; only who holds the right to write there may make any."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._left: dict[tuple[str, int, int], ReadingMark] = {}
        for place in self._places():
            with suppress(OSError, ValueError, TypeError):  # one that was cut off accuses nobody
                mark = ReadingMark(*json.loads(place.read_text(encoding="ascii")))
                self._left[mark[:3]] = mark
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)

    def of(self, path: Path, size: int, mtime_ns: int) -> ReadingMark | None:
        """The mark that a run left of a file which is still what it was then."""
        return self._left.get((str(path.absolute()), size, mtime_ns))

    @contextmanager
    def held(self, path: Path, size: int, mtime_ns: int, *, alone: bool) -> Iterator[None]:
        """Inside, the file is being read."""
        mark = ReadingMark(str(path.absolute()), size, mtime_ns, alone)
        place = self._folder / mark.name
        with suppress(OSError):  # a full disk is said where features are written
            place.write_text(json.dumps(mark), encoding="ascii")
        try:
            yield
        finally:
            with suppress(OSError):
                place.unlink()

    def clear(self) -> None:
        """All is read: nobody is suspected any more."""
        for place in self._places():
            with suppress(OSError):
                place.unlink()
        with suppress(OSError):
            self._folder.rmdir()

    def _places(self) -> Iterator[Path]:
        with suppress(OSError):
            yield from [place for place in self._folder.iterdir() if NAME.fullmatch(place.name)]
