"""Which engine answers for a place."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from prvr.core.errors import IndexFolderError
from prvr.core.files import write_whole
from prvr.core.places import data_folder
from prvr.index.base import Index, IndexHeader
from prvr.index.catalogue import Catalogue
from prvr.index.collection import CollectionForm
from prvr.index.database import FILE, explained, sole_writer
from prvr.index.embedded import EmbeddedIndex
from prvr.index.segments import VectorForm
from prvr.index.upkeep import take_place

REMOTE = ("qdrant://", "qdrants://")
NAMED = "PRVR_ENGINE"  # servers that the user names, with commas between, as between the nodes of one
ENGINES = "engines.json"  # in the user's data folder: those that were named to `make_index`
ANEW = ".anew"  # a folder in it where an index that is to take its place is made
OLD = "index.json"  # of a format that is not read any more
ENGINE = "engine"  # a file in the folder that names the server, where one holds the vectors


@runtime_checkable
class OpenIndex(Index, Protocol):
    """An index that is open; `with` closes it."""

    def __enter__(self) -> Self:
        """Itself."""
        ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close it."""
        ...


def exists(folder: Path) -> bool:
    """Whether an index lies in a folder, of whatever state."""
    return any((folder / name).exists() for name in (FILE, ENGINE, OLD))


def identity(folder: Path) -> tuple[int, int] | None:
    """Another one when another index has taken the place of that in a folder; None where there is none."""
    for name in (FILE, ENGINE):
        with suppress(OSError):
            found = (folder / name).stat()
            return found.st_dev, found.st_ino
    return None


def open_index(place: Path | str, *, write: bool = False) -> OpenIndex:
    """The index in a folder, or at `qdrant://host:port/collection`; a folder may name a server that the user named.

    Raises IndexFolderError when there is none, when it cannot be opened, or when nobody but the folder named a server.
    """
    remote = engine_of(place)
    if remote is None:
        _refuse_old(Path(place))
        return EmbeddedIndex.open(Path(place), write=write)
    from prvr.index.qdrant import QdrantIndex

    if remote != str(place):
        _need_named(Path(place), remote)
    return QdrantIndex.connect(remote)


def make_index(
    folder: Path,
    header: IndexHeader,
    *,
    engine: str | None = None,
    form: VectorForm | None = None,
    collection: CollectionForm | None = None,
) -> OpenIndex:
    """The index of a folder opened for writing, made if there is none; its vectors are in `engine` if that is given,
    which is a server that keeps them as `collection` says.

    Raises IndexFolderError for one that was made otherwise, or that cannot be written.
    """
    remote = engine or engine_of(folder)
    if remote is None:
        _refuse_old(folder)
        return EmbeddedIndex.create(folder, header, form=form)
    from prvr.index.qdrant import QdrantIndex

    if engine is None:
        _need_named(folder, remote)
    index = QdrantIndex.connect(remote, header, form=collection)
    with explained(folder, "written"):
        note_named(remote)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / ENGINE, remote.encode())
    return index


@contextmanager
def remake_index(folder: Path, header: IndexHeader, *, form: VectorForm | None = None) -> Iterator[OpenIndex]:
    """An empty index that takes the place of that in a folder when the block ends well; until then the old one answers.

    Nothing of the old one is looked at, so that it may be damaged. Raises IndexFolderError when it cannot be written,
    when another process is writing, and where a server holds the vectors.
    """
    if remote := engine_of(folder):
        raise IndexFolderError(
            f"{folder}: its vectors are in {remote}, which is not made anew; index into another folder and collection"
        )
    with sole_writer(folder), explained(folder, "written"):
        shutil.rmtree(folder / ANEW, ignore_errors=True)
        with EmbeddedIndex.create(folder / ANEW, header, form=form) as index:
            yield index
            index.save(folder / ANEW)
        take_place(folder / ANEW, folder)


def header_of(place: Path | str) -> IndexHeader | None:
    """What an index was made with; None where there is none. Raises IndexFolderError for one that cannot be read."""
    if engine_of(place) is None:
        return read_header(Path(place))
    with open_index(place) as index:
        return index.header


def engine_of(place: Path | str) -> str | None:
    """The server that a place names; None for a folder with vectors of its own."""
    if str(place).startswith(REMOTE):
        return str(place)
    try:
        return (Path(place) / ENGINE).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise IndexFolderError(f"{place}: cannot be read ({error.strerror}); check its permissions") from error


def _named() -> list[str]:
    """The servers that the user named: now, or when an index was made there."""
    now = re.split(",(?=qdrants?://)", os.environ.get(NAMED, "").replace(" ", ""))
    try:
        before = json.loads((data_folder() / ENGINES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = []
    return [*now, *(before if isinstance(before, list) else [])]


def note_named(remote: str) -> None:
    """Keep that the user named a server, so that a folder which names it may lead there."""
    known = _named()
    if remote not in known:
        data_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(data_folder() / ENGINES, json.dumps(sorted({*filter(None, known), remote}), indent=1).encode())


def _need_named(folder: Path, remote: str) -> None:
    """Raises IndexFolderError for a server that only the folder named: nothing is sent there, least of all a key."""
    if remote not in _named():
        raise IndexFolderError(
            f"{folder}: says that its vectors are at {remote!r}, which you have not named on this machine, so nothing "
            f"is sent there; if you know that server, name it: `export {NAMED}={shlex.quote(remote)}`"
        )


def read_header(folder: Path) -> IndexHeader | None:
    """What an index was made with, without reading its vectors; None where there is no index.

    Raises IndexFolderError for a damaged one, or one of another version.
    """
    _refuse_old(folder)
    if not (folder / FILE).exists():
        return None
    with explained(folder, "read"), closing(Catalogue.open(folder, write=False).sql) as connection:
        return Catalogue(folder, connection).header()


def _refuse_old(folder: Path) -> None:
    if (folder / OLD).exists() and not (folder / FILE).exists():
        raise IndexFolderError(
            f"{folder}: holds an index of a format that is not read any more; `prvr index --repair --index {folder}` "
            "makes it anew from the features there, or index into another folder"
        )
