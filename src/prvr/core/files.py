"""Files that are whole or not there, and folders that one process writes at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TextIO
from uuid import uuid4

from prvr.core.errors import PrvrError

Presence = Literal["here", "missing", "features_only"]
HALF = re.compile(r"\.(?:.+\.)?(?:[0-9a-f]{32}|\d+)\.tmp", re.DOTALL)  # names of `half_written`, and of those before it


def half_written(path: Path) -> Path:
    """Where a file is written before it is renamed into place: a name that nobody else gives, and no other writer."""
    return path.with_name(f".{path.name[:40]}.{uuid4().hex}.tmp")


def own_folder(folder: Path) -> None:
    """Make a folder, those above it as well, which only this user may look into. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_mode & 0o077 and folder.stat().st_uid == os.getuid():
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
    return open(path, "a+", encoding="utf-8", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o666))


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
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as reason:
            raise error(
                f"{folder}: another prvr process is writing here; wait for it, or choose another folder"
            ) from reason
        for part in (*folder.glob(".*.tmp"), *folder.glob(parts)):
            if HALF.fullmatch(part.name) or named.fullmatch(part.name):
                part.unlink(missing_ok=True)
        yield
