"""Files that are whole or not there, and folders that one process writes at a time."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TextIO
from uuid import uuid4

from prvr.core.errors import PrvrError
from prvr.core.system import is_open_to_others, is_own, locked, open_no_link

Presence = Literal["here", "missing", "features_only"]
HALF = re.compile(r"\.(?:.+\.)?(?:[0-9a-f]{32}|\d+)\.tmp", re.DOTALL)  # names of `half_written`, and of those before it


def half_written(path: Path) -> Path:
    """Where a file is written before it is renamed into place: a name that nobody else gives, and no other writer."""
    return path.with_name(f".{path.name[:40]}.{uuid4().hex}.tmp")


def own_folder(folder: Path) -> None:
    """Make a folder, those above it as well, which only this user may look into. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if is_open_to_others(folder.stat()) and is_own(folder.stat()):
        folder.chmod(0o700)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part, whatever is killed when.

    Raises OSError (full or read-only disk); the old content then stays and nothing else is left behind.
    """
    try:
        _write(path, content)
    except FileNotFoundError:  # swept by who has just got the right to write here, and took it for a dead one's
        _write(path, content)


def _write(path: Path, content: bytes) -> None:
    part = half_written(path)
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def there(path: Path) -> bool:
    """Whether something lies there, be it readable or not."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def emptied(folder: Path) -> Path | None:
    """A folder, or where it is gone the nearest above it, if that shows nothing at all any more; else None.

    Such is the place of a drive that is not connected, or of a share that is not mounted.
    """
    for place in (folder, *folder.parents):
        try:
            return place if all(one.name.startswith(".") for one in place.iterdir()) else None
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return None
    return None


def presence(path: Path | None) -> Presence:
    """Whether the file of a video is where it was; what cannot be looked at, for want of a right, is not missing."""
    if path is None:
        return "features_only"
    return "here" if there(path) else "missing"


def appending(path: Path) -> TextIO:
    """A file of UTF-8 to write at the end of; a link in a folder that may be anybody's leads nobody elsewhere.

    Raises OSError, also for such a link.
    """
    return open(path, "a+", encoding="utf-8", opener=open_no_link)


def refuse_newer(place: Path, said: object, known: int, error: type[PrvrError], *, key: str = "version") -> None:
    """Raises `error` where JSON says a number of its format, under `key`, that this version does not know yet."""
    number = said.get(key) if isinstance(said, dict) else None
    if isinstance(number, int) and number > known:
        raise error(f"{place}: was made by a newer prvr (its format is {number}, this one reads {known}); update prvr")


def refuse_links(folder: Path, parts: Iterable[str], error: type[PrvrError]) -> None:
    """Raises `error` where a part of a folder that is written and swept is a link to some other place."""
    for part in parts:
        if (folder / part).is_symlink():
            raise error(
                f"{folder / part}: is a link, and what it leads to would be changed; put that in its place, "
                "or move the whole folder there"
            )


@contextlib.contextmanager
def only_writer(
    folder: Path, error: type[PrvrError], *, parts: str = ".*.tmp", named: re.Pattern[str] = HALF
) -> Iterator[None]:
    """Hold the only right to write in a folder, made if it is missing; a killed process lets go of it.

    What such a process left half-written is swept first: in the folder itself, and files that fit `parts`, a pattern
    below it, and have names that we give (`named`). Raises `error` when another process has the right, or when the
    folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = appending(folder / ".lock")
    except OSError as reason:
        raise error(f"{folder}: cannot be written ({reason.strerror}); choose another folder") from reason
    with handle:
        if not locked(handle):
            raise error(f"{folder}: another prvr process is writing here; wait for it, or choose another folder")
        for part in (*folder.glob(".*.tmp"), *folder.glob(parts)):
            if HALF.fullmatch(part.name) or named.fullmatch(part.name):
                with contextlib.suppress(PermissionError):  # on Windows of a file that is open: the next one sweeps it
                    part.unlink(missing_ok=True)
        yield
