"""What could not be read, kept beside the features: a line of JSON a file, until it is read, ignored or gone.

A failure is appended when it happens, so that a run that is killed forgets none; at the end of a run the file is
written anew, whole. A line that was cut off is passed over: that file is tried again like every other.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from prvr.core.errors import FeatureError
from prvr.core.files import appending, write_whole
from prvr.video.source import shown

FILE = "failures.jsonl"
Stage = Literal["find", "open", "decode", "cut", "killed"]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One file, or folder, that could not be read, or only in part.

    By its stage: it cannot be looked at (`find`); is no video that opens; gave no picture (`decode`); gave fewer than
    its header promises (`cut`); ended the process that read it, or went beyond that one's bounds, and is left alone.
    """

    path: str  # absolute
    root: str  # the folder that its video id is counted from
    stage: Stage
    reason: str  # and what to do, in one line
    time: float = 0.0  # unix seconds, of the last attempt
    size: int | None = None  # bytes, then; None where it could not be looked at
    mtime_ns: int | None = None
    ignored: bool = False  # not tried again until it changes, or is asked for by name

    @property
    def id(self) -> str:
        """A short name for it, the same in every run."""
        return hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]

    @property
    def file(self) -> str:
        """Its path, printable whatever bytes it is made of."""
        return shown(Path(self.path))


def failure(path: Path, root: Path, stage: Stage, line: str, stat: tuple[int, int] | None = None) -> Failure:
    """A failure that happened just now; `line` is an error's message, `stat` the file's size and time of change."""
    size, mtime_ns = stat or (None, None)
    reason = line.removeprefix(f"{shown(path)}: ")
    place, base = _place(path), _place(root)
    return Failure(path=place, root=base, stage=stage, reason=reason, time=time.time(), size=size, mtime_ns=mtime_ns)


class Failures:
    """All of a store, in order of their paths; only who holds the right to write there may change them."""

    def __init__(self, folder: Path) -> None:
        """Those of the store at `folder`. Raises FeatureError when the file is there and cannot be read."""
        self._file = folder / FILE
        self._known: dict[str, Failure] = {}
        try:
            text = self._file.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            text = ""
        except OSError as error:
            raise FeatureError(f"{self._file}: cannot be read ({error.strerror}); check its permissions") from error
        for line in text.splitlines():
            with suppress(ValueError, TypeError):  # cut off, or by another hand
                found = Failure(**json.loads(line))
                if found.stage in get_args(Stage):
                    self._known[found.path] = found
        self._torn = bool(text) and not text.endswith("\n")

    def __iter__(self) -> Iterator[Failure]:
        return iter(sorted(self._known.values(), key=lambda failure: failure.path))

    def __getitem__(self, path: Path) -> Failure | None:
        """What is known of a file."""
        return self._known.get(_place(path)) if self._known else None

    def same(self, path: Path, stat: tuple[int, int] | None = None) -> Failure | None:
        """What is known of a file that is still what it was then."""
        known = self[path]
        return known if known is not None and (known.size, known.mtime_ns) == (stat or (None, None)) else None

    def ignores(self, path: Path, stat: tuple[int, int] | None = None) -> bool:
        """Whether a file is to be left alone: somebody said so, and it is still what it was then."""
        known = self.same(path, stat)
        return known is not None and known.ignored

    def add(self, failure: Failure) -> None:
        """Keep one, at once where the disk lets us; `save` says if it does not."""
        self._known[failure.path] = failure
        with suppress(OSError), appending(self._file) as file:
            file.write("\n" * self._torn + _line(failure))
            self._torn = False
            file.flush()
            os.fsync(file.fileno())

    def drop(self, path: Path) -> None:
        """Forget a file that was read, or that is gone."""
        if self._known:
            self._known.pop(_place(path), None)

    def mend(self, below: Path, problems: Collection[Path]) -> None:
        """Forget what could not be found below a path and now can: all of that but the `problems` of today."""
        still = {_place(path) for path in problems}
        for one in self.below(below):
            if one.stage == "find" and one.path not in still and os.path.lexists(one.path):
                del self._known[one.path]

    def prune(self, paths: Iterable[Path]) -> None:
        """Forget the files below some paths that are gone."""
        for one in [one for path in paths for one in self.below(path) if not os.path.lexists(one.path)]:
            self._known.pop(one.path, None)

    def below(self, path: Path) -> list[Failure]:
        """Those of a path itself and of all below it."""
        place = _place(path)
        return [one for one in self if one.path == place or one.path.startswith(place.rstrip("/") + "/")]

    def recall(self, ids: Collection[str] = ()) -> list[Failure]:
        """Those of some ids, or all, to be tried again: they are not ignored any more."""
        wanted = set(ids)
        found = [replace(one, ignored=False) for one in self if not wanted or one.id in wanted]
        self._known |= {one.path: one for one in found}
        return found

    def ignore(self, failure_id: str) -> bool:
        """Leave a file alone from now on; False: there is none of this id. One that is gone is forgotten."""
        found = next((one for one in self if one.id == failure_id and not one.ignored), None)
        if found is None:
            return False
        if os.path.lexists(found.path):
            self._known[found.path] = replace(found, ignored=True)
        else:
            del self._known[found.path]
        return True

    def save(self) -> None:
        """Put the file in place, whole. Raises FeatureError for a full or read-only disk."""
        text = "".join(map(_line, self))
        try:
            if text or self._file.exists():
                write_whole(self._file, text.encode("ascii"))
        except OSError as error:
            raise FeatureError(
                f"{self._file}: cannot be written ({error.strerror}); free some space, then run the command again"
            ) from error


def _place(path: Path) -> str:
    """Absolute, with links as they are: two of them may lead to one file."""
    return os.path.abspath(path)  # noqa: PTH100


def _line(failure: Failure) -> str:
    return json.dumps(asdict(failure)) + "\n"
