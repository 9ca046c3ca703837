"""Files that can be made again: thumbnails, proxies, exports. The least recently used ones make room for new ones."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from prvr.core.errors import ConfigError
from prvr.core.files import HALF, own_folder, write_whole

Kind = Literal["thumbs", "proxies", "exports"]
KINDS: tuple[Kind, ...] = ("thumbs", "proxies", "exports")
KEPT: Mapping[Kind, re.Pattern[str]] = {  # the names that are ours to take away
    "thumbs": re.compile(r"[0-9a-f]{2}/[0-9a-f]{32}-[^/]+-\d+\.jpg"),
    "proxies": re.compile(r"[0-9a-f]{32}\.mp4"),
    "exports": re.compile(r"[0-9a-f]{32}/[^/.][^/]*"),
}
LEFT_OVER = re.compile(HALF.pattern + r"|\.[0-9a-f]{32}\.(?:tmp\.)?(?:mp4|webm)", re.DOTALL)
LEFT = 0.9  # of the limit, after tidying
TIDY_S = 60.0  # between two looks at all files
LEFT_BEHIND_S = 3600.0  # a half-written file this old is nobody's any more
TOUCH_S = 60.0  # how exactly it is known when a file was last used

log = logging.getLogger(__name__)


class _Entry(NamedTuple):
    used: float  # unix seconds
    size: int
    path: Path


class Cache:
    """A folder of files by kind and name; what cannot be kept is made anew, and that is said once."""

    def __init__(self, folder: Path, *, limit: int) -> None:
        self.folder = folder
        self._limit = limit
        self._lock = threading.Lock()
        self._tidied = -TIDY_S
        self._told = False

    def place(self, kind: Kind, name: str) -> Path:
        """Where a file lies, or would."""
        return self.folder / kind / name

    def room(self, kind: Kind, name: str) -> Path:
        """Where a file is to be written, its folder made. Raises ConfigError where that cannot be."""
        place = self.place(kind, name)
        try:
            own_folder(self.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"{place.parent}: cannot be written ({error.strerror}); make that folder writable, or free some room"
            ) from error
        return place

    def read(self, kind: Kind, name: str) -> bytes | None:
        """What is kept under a name; None where nothing is."""
        place = self.place(kind, name)
        try:
            content = place.read_bytes()
        except OSError:
            return None
        self.touch(place)
        return content or None

    def write(self, kind: Kind, name: str, content: bytes) -> None:
        """Keep something, if that is possible."""
        try:
            write_whole(self.room(kind, name), content)
        except (OSError, ConfigError) as error:
            if not self._told:
                log.warning("%s: cannot keep what is made here, so it is made again each time (%s)", self.folder, error)
            self._told = True
        self.tidy()

    def touch(self, place: Path) -> None:
        """It was used now."""
        with suppress(OSError):
            if time.time() - place.stat().st_mtime > TOUCH_S:
                os.utime(place)

    def tidy(self, *, now: bool = False) -> None:
        """Take away what was not used for longest until the limit is kept; looks at the disk once a minute at most."""
        with self._lock:
            if not now and time.monotonic() - self._tidied < TIDY_S:
                return
            self._tidied = time.monotonic()
            entries = sorted(self._entries())
            total = sum(entry.size for entry in entries)
            if total <= self._limit:
                return
            for entry in entries:
                if total <= LEFT * self._limit:
                    return
                with suppress(OSError):
                    entry.path.unlink()
                    total -= entry.size
                if entry.path.parent.parent.name == "exports":  # an export has a folder of its own
                    with suppress(OSError):
                        entry.path.parent.rmdir()

    def _entries(self) -> Iterator[_Entry]:
        """All files of ours; what was left half-written is taken away."""
        for kind in KINDS:
            for folder, _, names in os.walk(self.folder / kind):
                for path in (Path(folder) / name for name in names):
                    with suppress(OSError):
                        found = path.stat()
                        if KEPT[kind].fullmatch(path.relative_to(self.folder / kind).as_posix()):
                            yield _Entry(found.st_mtime, found.st_size, path)
                        elif LEFT_OVER.fullmatch(path.name) and time.time() - found.st_mtime > LEFT_BEHIND_S:
                            path.unlink()
