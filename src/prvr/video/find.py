"""Which files below a folder are videos."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from prvr.core.errors import VideoError
from prvr.video.source import check_file, shown

VIDEO_SUFFIXES = (
    ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
)  # fmt: skip


class Problem(NamedTuple):
    """A file or folder that could not be looked at."""

    path: Path
    line: str  # which begins with the path


class Found(NamedTuple):
    """What lies below a path, and what could not be looked at."""

    videos: list[Path]  # sorted
    problems: list[Problem]


def find_videos(root: Path, *, exclude: Sequence[str] = ()) -> Found:
    """A file is itself, whatever its name; of a folder, all files below it that are named like a video.

    Links to files and folders are followed, but no folder is entered twice: of a folder that is reached on several
    ways, the way without links is taken. Hidden files and folders are passed over, and so is what fits one of the
    patterns to `exclude`: by its name, or by its path below `root` (`*.part.mp4`, `private`, `2019/*/raw`). Folders
    that cannot be read, links that lead nowhere and special files are problems, not errors; a missing or unreadable
    `root` is a VideoError.
    """
    if not root.is_dir():
        check_file(root)
        return Found([root], [])
    found = Found([], [])
    entered: set[tuple[int, int]] = set()
    folders, linked = deque([root]), deque[Path]()
    while folders or linked:
        folder = folders.popleft() if folders else linked.popleft()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if folder == root:
                raise VideoError(f"{shown(root)}: the folder cannot be read ({error.strerror}); check it") from None
            line = f"{shown(folder)}: the folder cannot be read ({error.strerror}); it was left out"
            found.problems.append(Problem(folder, line))
            continue
        for entry in entries:
            path = folder / entry.name
            if entry.name.startswith(".") or _fits(path.relative_to(root).as_posix(), exclude):
                continue
            if _is_folder(path):
                (linked if entry.is_symlink() else folders).append(path)
            elif path.suffix.lower() in VIDEO_SUFFIXES:
                _sort_in(path, found)
    found.videos.sort()
    return found


def _fits(below: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(below, one) or fnmatchcase(below.rpartition("/")[2], one) for one in patterns)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # its name can be listed, but nothing else be asked
        return False


def _sort_in(path: Path, found: Found) -> None:
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        what = "the link leads nowhere" if path.is_symlink() else "cannot be read"
        found.problems.append(Problem(path, f"{shown(path)}: {what} ({error.strerror}); it was left out"))
        return
    if regular:
        found.videos.append(path)
    else:
        found.problems.append(Problem(path, f"{shown(path)}: is not a regular file; it was left out"))
