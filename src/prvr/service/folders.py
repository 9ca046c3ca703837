"""The folders of a library as people see them, and the folders of this machine that they may choose from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from prvr.core.errors import PrvrError, VideoError
from prvr.search.folders import SourceFolder, recall, set_watched, sources
from prvr.service.holdings import Holdings
from prvr.video.find import is_named_like_a_video
from prvr.video.source import shown

MOST_FOLDERS = 1000  # of one folder that are listed


class FolderOutside(PrvrError):
    """A folder that this server was not allowed to show or read."""


class FolderUnknown(PrvrError):
    """No folder of the library has this id."""


class HeldFolder(NamedTuple):
    """One folder of a library."""

    source: SourceFolder
    video_ids: Sequence[str]
    num_missing: int  # of them, whose files are gone
    bytes: int  # of the others
    duration_s: float
    there: bool

    @property
    def id(self) -> str:
        """A short name for it, the same as long as it lies where it lies."""
        return hashlib.sha256(os.fsencode(self.source.path)).hexdigest()[:12]


def held(folder: Path, holdings: Holdings | None) -> list[HeldFolder]:
    """The folders of the index at `folder`, in order of their paths; a look at the disk for each of its videos."""
    facts = holdings.facts if holdings else {}
    files = {one: file.absolute() for one in facts if holdings and (file := holdings.file(one))}
    known = recall(folder)
    found = []
    for path, video_ids in sources(folder, files).items():
        sizes = [_size(files[video_id]) for video_id in video_ids]
        found.append(
            HeldFolder(
                source=known.get(path, SourceFolder(path=path)),
                video_ids=video_ids,
                num_missing=sizes.count(None),
                bytes=sum(size or 0 for size in sizes),
                duration_s=sum(facts[video_id].duration_s for video_id in video_ids),
                there=path.is_dir(),
            )
        )
    return found


def read_before(folder: Path) -> list[Path]:
    """The folders that were read into the index at `folder`; they may be read again wherever they lie."""
    return list(recall(folder))


def chosen(folders: Sequence[HeldFolder], folder_id: str) -> HeldFolder:
    """The folder of an id. Raises FolderUnknown."""
    for one in folders:
        if one.id == folder_id:
            return one
    raise FolderUnknown(f"{folder_id[:40]}: no such folder in this library; it may have been removed meanwhile")


def keep_watched(folder: Path, one: HeldFolder, watched: bool) -> None:
    """Watch a folder of the index at `folder` from now on, or no more. Raises IndexFolderError."""
    set_watched(folder, one.source.path, watched)


class Surroundings(NamedTuple):
    """A folder of this machine, and what is in it."""

    path: Path
    parent: Path | None  # None where one may go no higher
    folders: list[Path]
    num_videos: int  # directly in it
    more: bool  # folders that are not listed


def inside(path: Path, roots: Sequence[Path]) -> Path:
    """Where a path leads, links followed. Raises FolderOutside unless that is below one of `roots`."""
    found = path.resolve()
    if not any(found.is_relative_to(root.resolve()) for root in roots):
        names = ", ".join(str(root) for root in roots)
        raise FolderOutside(
            f"{shown(path)}: is outside of {names}; to allow it, start `prvr serve --allow {shown(found)}`"
        )
    return found


def look(path: Path, roots: Sequence[Path]) -> Surroundings:
    """What is in a folder; hidden ones, and links that lead out of `roots`, are left out.

    Raises FolderOutside, and VideoError for a folder that cannot be read.
    """
    here = inside(path, roots)
    folders, num_videos = [], 0
    try:
        with os.scandir(here) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if _is_dir(entry):
                    folders.append(Path(entry.path))
                elif is_named_like_a_video(Path(entry.name)):
                    num_videos += 1
    except OSError as error:
        raise VideoError(f"{shown(here)}: cannot be opened ({error.strerror}); choose another folder") from error
    allowed = list(_allowed(sorted(folders, key=lambda one: one.name.casefold()), roots))
    parent = here.parent if any(here.parent.is_relative_to(root.resolve()) for root in roots) else None
    return Surroundings(here, parent, allowed[:MOST_FOLDERS], num_videos, len(allowed) > MOST_FOLDERS)


def _allowed(folders: Sequence[Path], roots: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        with suppress(OSError, FolderOutside):
            inside(folder, roots)
            yield folder


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _size(file: Path) -> int | None:
    """None where nothing is there; what cannot be looked at is not said to be gone."""
    try:
        return file.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return 0
