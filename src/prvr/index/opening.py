"""Which engine answers for a place."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from prvr.core.errors import IndexFolderError
from prvr.core.files import write_whole
from prvr.index.base import Index, IndexHeader
from prvr.index.catalogue import Catalogue
from prvr.index.database import FILE, explained, sole_writer
from prvr.index.embedded import EmbeddedIndex
from prvr.index.segments import VectorForm
from prvr.index.upkeep import take_place

REMOTE = "qdrant://"
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
    """The index in a folder, or at `qdrant://host:port/collection`; a folder may name such a server.

    Raises IndexFolderError when there is none, or when it cannot be opened.
    """
    remote = engine_of(place)
    if remote is None:
        _refuse_old(Path(place))
        return EmbeddedIndex.open(Path(place), write=write)
    from prvr.index.qdrant import QdrantIndex

    return QdrantIndex.connect(remote)


def make_index(
    folder: Path, header: IndexHeader, *, engine: str | None = None, form: VectorForm | None = None
) -> OpenIndex:
    """The index of a folder opened for writing, made if there is none; its vectors lie in `engine` if that is given.

    Raises IndexFolderError for one that was made otherwise, or that cannot be written.
    """
    remote = engine or engine_of(folder)
    if remote is None:
        _refuse_old(folder)
        return EmbeddedIndex.create(folder, header, form=form)
    from prvr.index.qdrant import QdrantIndex

    index = QdrantIndex.connect(remote, header)
    with explained(folder, "written"):
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
            f"{folder}: its vectors lie in {remote}, which is not made anew; index into another folder and collection"
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
