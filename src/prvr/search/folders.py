"""The folders that a library was read from, kept beside its index: when each was read last, and which are watched."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from prvr.core.errors import IndexFolderError
from prvr.core.files import write_whole
from prvr.search.places import root_of

FILE = "folders.json"


@dataclass(frozen=True, kw_only=True)
class WordsWanted:
    """The words that a folder was indexed with, and is whenever it is read again: what is said, what is written."""

    speech: bool = False
    language: str | None = None  # as for `speech.hearing.HowToHear`
    track: str | None = None
    over: bool = False
    text: bool = False
    sentences: str = "things"  # the model by which they are found by their meaning

    @property
    def any(self) -> bool:
        """Whether there is something to do."""
        return self.speech or self.text


NO_WORDS = WordsWanted()


@dataclass(frozen=True, kw_only=True)
class SourceFolder:
    """One of them."""

    path: Path  # absolute
    read_at: float | None = None  # unix seconds, when a reading of it ended; None: by a version that kept no time
    watched: bool = False  # what is new or changed in it is read without being asked for
    exclude: tuple[str, ...] = ()  # what was left out when it was read, and is when a server reads it again
    words: WordsWanted = NO_WORDS


def recall(folder: Path) -> dict[Path, SourceFolder]:
    """What is kept of the folders of the index at `folder`; lines that cannot be read are as if they were not there."""
    found: dict[Path, SourceFolder] = {}
    with suppress(OSError, ValueError, TypeError, AttributeError):
        for row in json.loads((folder / FILE).read_text(encoding="utf-8")):
            path = Path(os.path.normpath(folder.absolute().parent / row["path"]))
            words = WordsWanted(**row.get("words", {}))
            found[path] = SourceFolder(
                **{**row, "path": path, "exclude": tuple(row.get("exclude", ())), "words": words}
            )
    return found


def note_read(folder: Path, paths: Iterable[Path], exclude: Iterable[str] = ()) -> None:
    """The folders among `paths` were read into the index at `folder` just now, but for what fits `exclude`."""
    known, left_out = recall(folder), tuple(exclude)
    for path in (path.resolve() for path in paths if path.is_dir()):
        known[path] = replace(known.get(path, SourceFolder(path=path)), read_at=time.time(), exclude=left_out)
    _keep(folder, known)


def note_words(folder: Path, paths: Iterable[Path], words: WordsWanted) -> None:
    """Those of `paths` that are folders of the index at `folder` have these words from now on."""
    known = recall(folder)
    wanted = {path: replace(known[path], words=words) for path in (path.resolve() for path in paths) if path in known}
    if any(known[path] != one for path, one in wanted.items()):
        _keep(folder, {**known, **wanted})


def set_watched(folder: Path, path: Path, watched: bool) -> None:
    """Watch a folder of the index at `folder`, or no more. Raises IndexFolderError where that cannot be kept."""
    known = recall(folder)
    known[path] = replace(known.get(path, SourceFolder(path=path)), watched=watched)
    _keep(folder, known)


def unwatch(folder: Path) -> list[Path]:
    """Watch nothing of the index at `folder` any more; -> what was watched. Raises IndexFolderError."""
    known = recall(folder)
    if watched := [path for path, one in known.items() if one.watched]:
        _keep(folder, {path: replace(one, watched=False) for path, one in known.items()})
    return watched


def sources(folder: Path, files: Mapping[str, Path]) -> dict[Path, list[str]]:
    """The folders of the index at `folder`, each with the ids of its videos; `files` are their places by id.

    A video belongs to the deepest folder it lies in that was read as a whole. Of others the folder follows from the
    id, which is the path below it.
    """
    known = recall(folder)
    found: dict[Path, list[str]] = {path: [] for path in known}
    for video_id, file in files.items():
        inside = next((parent for parent in file.parents if parent in known), None)
        found.setdefault(inside or root_of(file, video_id), []).append(video_id)
    return dict(sorted(found.items()))


def drop(folder: Path, *paths: Path, below: bool = False) -> None:
    """Keep folders of the index at `folder` no longer, with `below` those in them either. Raises IndexFolderError."""
    known = recall(folder)
    left = {one: kept for one, kept in known.items() if not {one, *(one.parents if below else ())} & set(paths)}
    if left != known:
        _keep(folder, left)


def _keep(folder: Path, known: Mapping[Path, SourceFolder]) -> None:
    """Relative to where the index lies for what lies beside it, so that both can be moved together."""
    base = folder.absolute().parent
    rows = []
    for path, one in sorted(known.items()):
        near = path.relative_to(base) if path.is_relative_to(base) else path
        row = {**asdict(one), "path": str(near)}
        if not one.words.any:
            del row["words"]  # a version that knows of none can read the list
        rows.append(row)
    keep_rows(folder / FILE, rows)


def keep_rows(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A list that is kept beside an index, whole or not at all. Raises IndexFolderError."""
    try:
        write_whole(file, json.dumps(rows, indent=1).encode())
    except OSError as error:
        raise IndexFolderError(f"{file}: cannot be written ({error.strerror}); free some space") from error
