"""What keeps an index folder small and sound: sweeping, joining and mending of its files."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np

from prvr.core.errors import IndexFolderError
from prvr.index import nearest
from prvr.index.catalogue import Catalogue, OlderIndex, seal
from prvr.index.database import FILE, PART, explained, sole_writer
from prvr.index.segments import OURS, Longs, Segments, put_in_place, write_segment

SMALL = 64 << 20  # bytes; segments below are joined when there are many
MANY = 16
LARGE = 512 << 20  # bytes of a joined segment
DEAD = 0.3  # share of rows of no video above which a segment is written anew


OTHER_WORDS = "has not the place, tags or subtitles that were written"


class Damage(NamedTuple):
    """Something that is not as it was written."""

    place: str  # the file
    video_id: str | None  # the video that is lost by it; None where none is
    why: str

    def __str__(self) -> str:
        return f"{self.place}: " + (f"video {self.video_id!r} " if self.video_id else "") + self.why


def sweep(catalogue: Catalogue, segments: Segments) -> None:
    """Delete files of ours that the catalogue does not name: of a writer killed before its commit, or replaced."""
    state = nearest.state_of(catalogue.meta("nearest"))
    named = {name for name, _ in catalogue.segments().values()} | {part.file for part in (state.parts if state else ())}
    for folder in (segments.folder, segments.folder.parent / "nearest"):
        for path in folder.glob("*"):
            if path.name not in named and OURS.fullmatch(path.name):
                with suppress(PermissionError):  # on Windows of what a search has mapped: the next sweep takes it
                    path.unlink()


def need_room(folder: Path) -> None:
    """Raises IndexFolderError where something else lies where an index keeps its vectors."""
    for part in ("segments", "nearest"):
        for path in (folder / part).glob("*"):
            if not OURS.fullmatch(path.name):
                raise IndexFolderError(
                    f"{path}: is no file of an index; choose another folder for the index, or move it away"
                )


def compact(catalogue: Catalogue, segments: Segments) -> None:
    """Write anew the segments that are mostly dead, and join small ones where there are many. Raises OSError."""
    files = catalogue.segments()
    places = catalogue.places()
    segments.use(files)
    whole = segments.whole(places)
    alive = dict.fromkeys(files, 0)
    for segment, size in zip(places.segment[whole].tolist(), places.size[whole].tolist(), strict=True):
        alive[segment] += size
    sound = files.keys() - set(places.segment[~whole].tolist())
    small = [key for key in sound if files[key][1] * segments.row < SMALL]
    worn = [key for key in sound if min(alive[key] / (1 - DEAD), segments.rows_on_disk(key)) < files[key][1]]
    chosen = sorted({*worn, *(small if len(small) > MANY else ())})
    size = np.cumsum([alive[key] * segments.row for key in chosen]) // LARGE
    for part in np.unique(size):
        _join(catalogue, segments, np.array(chosen)[size == part])


def _join(catalogue: Catalogue, segments: Segments, chosen: Longs) -> None:
    """Copy what is alive in some segments, byte by byte, so that a damage stays one that checksums find."""
    places = catalogue.places()
    places = places.at(np.isin(places.segment, chosen))
    name = new_name()
    if len(places.key):
        write_segment(segments.folder / name, (segments.raw(places, v) for v in range(len(places.key))))
    with catalogue.change():
        if len(places.key):
            catalogue.move(places, name)
        catalogue.drop_empty()


def new_name() -> str:
    """A file name that no segment ever had."""
    return f"{uuid4().hex[:16]}.rows"


def verify(catalogue: Catalogue, segments: Segments) -> list[Damage]:
    """Compare everything with its checksums."""
    file = str(catalogue.folder / FILE)
    found = [Damage(file, None, why) for why in [catalogue.broken, *catalogue.problems()] if why]
    files, places = catalogue.segments(), catalogue.places()
    segments.use(files)
    rows, whole = catalogue.rows(places.key.tolist()), segments.whole(places)
    for v, (key, segment) in enumerate(zip(places.key.tolist(), places.segment.tolist(), strict=True)):
        path, row = str(segments.path(segment)) if segments.knows(segment) else file, rows.get(key)
        if row is None:
            found.append(Damage(file, None, f"names rows of a video {key} that is not in it"))
        elif not whole[v]:
            found.append(Damage(path, row.video_id, "is not in it: it was cut off or deleted"))
        elif seal(segments.checksum(places, v), row) != row.crc:
            found.append(Damage(path, row.video_id, "has not the bytes that were written"))
    found += [Damage(file, video_id, OTHER_WORDS) for video_id in catalogue.other_words()]
    state = nearest.state_of(catalogue.meta("nearest"))
    if (
        state
        and nearest.possible(segments.width)
        and isinstance(why := nearest.load(state, catalogue.folder / "nearest"), str)
    ):
        place, _, why = why.rpartition(": ")
        found.append(Damage(place, None, why))
    return found


def take_place(new: Path, folder: Path) -> None:
    """Put a closed index from one folder in the place of that in another, whose only writer the caller is.

    Until the catalogue, which is the only truth, is renamed the old one answers; what only that named is swept later.
    Raises OSError.
    """
    for part in ("segments", "nearest"):
        (folder / part).mkdir(exist_ok=True)
        for path in (new / part).glob("*"):
            put_in_place(path, folder / part / path.name)
    for rest in (f"{FILE}-wal", f"{FILE}-shm"):  # or the new file would be changed by what belongs to the old
        (folder / rest).unlink(missing_ok=True)
    put_in_place(new / FILE, folder / FILE)
    shutil.rmtree(new)


def mend(folder: Path) -> str:
    """The command that repairs an index."""
    return f"`prvr index --repair --index {folder}` mends it"


def mend_catalogue(folder: Path) -> list[Damage]:
    """Where the catalogue is damaged, keep the rows that can be read; where none can, put it aside.

    What is lost by it is no longer in the index, and is added again like any video that is missing. Raises
    IndexFolderError for one of a newer version, or that cannot be written.
    """
    file, part = folder / FILE, folder / PART
    with explained(folder, "written"), sole_writer(folder):
        if not file.exists():
            return []
        try:
            with closing(Catalogue.open(folder, write=False).sql) as connection:
                problems = Catalogue(folder, connection).problems()
                if problems:
                    Catalogue(folder, connection).salvage(part).sql.close()
        except OlderIndex:
            problems = ["is of an older format, and was put aside"]
            put_in_place(file, folder / f"{FILE}.old")
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            problems = [f"cannot be read at all ({error}), and was put aside"]
            put_in_place(file, folder / f"{FILE}.damaged")
        if problems:
            for rest in (f"{FILE}-wal", f"{FILE}-shm"):  # or the new file would be changed by what belongs to the old
                (folder / rest).unlink(missing_ok=True)
        if part.exists():
            put_in_place(part, file)
    return [Damage(str(file), None, why) for why in problems]
