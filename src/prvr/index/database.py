"""The SQLite file of an index: its tables, how it is opened, and what is said when it cannot be."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from prvr.core.errors import IndexFolderError
from prvr.core.facts import Where, fits
from prvr.core.files import only_writer, refuse_links
from prvr.index.base import VERSION

FILE = "index.db"
PARTS = ("segments", "nearest", "features")  # folders beside it
MADE = re.compile(r"\.index\.db\.tmp(-journal|-wal|-shm)?")
PART = f".{FILE}.tmp"  # one that is being made; what a killed writer leaves of it is swept
# `video.unused` has the checksums of a video's words and tags; nothing, where an older version wrote it.
SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;
CREATE TABLE note (name TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;
CREATE TABLE segment (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, rows INTEGER NOT NULL) STRICT;
CREATE TABLE video (
  id INTEGER PRIMARY KEY AUTOINCREMENT, video_id TEXT NOT NULL UNIQUE, version TEXT NOT NULL, segment INTEGER NOT NULL,
  start INTEGER NOT NULL, frames INTEGER NOT NULL, clips INTEGER NOT NULL, crc INTEGER NOT NULL, path TEXT NOT NULL,
  unused TEXT NOT NULL, duration_s REAL NOT NULL, modified REAL NOT NULL, bias REAL NOT NULL) STRICT;
CREATE INDEX place ON video (segment, start, frames, clips);
CREATE TABLE evidence (video INTEGER PRIMARY KEY, spans BLOB NOT NULL) STRICT;
CREATE TABLE tag (name TEXT NOT NULL, video INTEGER NOT NULL) STRICT;
CREATE INDEX tag_name ON tag (name, video);
CREATE INDEX tag_video ON tag (video);
CREATE TABLE passage (id INTEGER PRIMARY KEY AUTOINCREMENT, video INTEGER NOT NULL, start_s REAL, end_s REAL,
  text TEXT NOT NULL, kind TEXT NOT NULL DEFAULT 'said') STRICT;
CREATE INDEX passage_video ON passage (video);
"""
WORDS = """
CREATE VIRTUAL TABLE words USING fts5 (said, tokenize="unicode61 remove_diacritics 0");
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, row);
"""
TABLES = ("meta", "note", "segment", "video", "evidence", "tag", "passage")


def sole_writer(folder: Path) -> AbstractContextManager[None]:
    """Hold the only right to write an index; see `only_writer`. Raises IndexFolderError, also where parts are links."""
    refuse_links(folder, (FILE, *PARTS), IndexFolderError)
    return only_writer(folder, IndexFolderError, parts=f"{PART}*", named=MADE)


class _Copied(sqlite3.Connection):
    """A connection to a copy, which goes with it."""

    place: TemporaryDirectory[str] | None = None

    def close(self) -> None:
        super().close()
        if self.place:
            self.place.cleanup()


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """A connection to a file that must exist if it is only read.

    Where nothing may be written beside it, SQLite passes over what was committed to the log (`-wal`): a copy of both is
    read then. Raises sqlite3.Error, OSError where there is no room for a copy.
    """
    refuse_links(path.parent, (path.name,), IndexFolderError)  # or files are made beside what it leads to
    if write:
        return _connect(path, "mode=rwc")
    try:
        return _connect(path, "mode=ro")
    except sqlite3.OperationalError:
        if not path.exists():
            raise
    log = path.with_name(f"{path.name}-wal")
    return _connect(path, "immutable=1") if not log.exists() or not log.stat().st_size else _copy(path, log)


def _connect(path: Path, mode: str) -> _Copied:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=30,
        factory=_Copied,
    )
    connection.create_function("fits", 2, _fits, deterministic=True)
    connection.text_factory = lambda text: text.decode("utf-8", "replace")  # damage is for checksums to find
    try:
        connection.execute("PRAGMA trusted_schema = OFF")  # the file may be from anybody
        (programs,) = connection.execute(
            "SELECT count(*) FROM sqlite_master WHERE type IN ('trigger', 'view')"
        ).fetchone()
        if programs:
            raise sqlite3.DatabaseError("it holds triggers or views, which no prvr writes")
        if mode == "mode=rwc":
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            if has_passages(connection) and not has_kinds(connection):  # of a version that knew only what is said
                connection.execute("ALTER TABLE passage ADD COLUMN kind TEXT NOT NULL DEFAULT 'said'")
    except UnicodeDecodeError as error:  # the module reads SQLite's message, which quotes the damage
        connection.close()
        raise sqlite3.DatabaseError("its tables are damaged") from error
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def has_passages(connection: sqlite3.Connection) -> bool:
    """Whether the tables are there already."""
    return bool(connection.execute("SELECT count(*) FROM pragma_table_info('passage')").fetchone()[0])


def has_kinds(connection: sqlite3.Connection) -> bool:
    """Whether passages say of which kind they are; older ones are all of what is said."""
    found = connection.execute("SELECT count(*) FROM pragma_table_info('passage') WHERE name = 'kind'")
    return bool(found.fetchone()[0])


def condition(where: Where) -> tuple[str, list[str | float]]:
    """A filter -> a condition on the table of videos, with its values."""
    parts: dict[str, str | float | None] = {
        "fits(CAST(path AS BLOB), ?)": where.path,
        "modified >= ?": where.after,
        "modified < ?": where.before,
        "duration_s >= ?": where.longer_s,
        "duration_s < ?": where.shorter_s,
    }
    given = [(clause, value) for clause, value in parts.items() if value is not None]
    given += [("video.id IN (SELECT tag.video FROM tag WHERE name = ?)", name) for name in where.tags]
    return " AND ".join(["1", *(clause for clause, _ in given)]), [value for _, value in given]


def _copy(path: Path, log: Path) -> sqlite3.Connection:
    """The same of a copy, taken while neither file changed."""
    place = TemporaryDirectory(prefix="prvr-")
    try:
        while True:
            before = [(one.stat().st_size, one.stat().st_mtime_ns) for one in (path, log)]
            for one in (path, log):
                shutil.copyfile(one, Path(place.name) / one.name)
            if before == [(one.stat().st_size, one.stat().st_mtime_ns) for one in (path, log)]:
                break
        connection = _connect(Path(place.name) / path.name, "mode=ro")
    except BaseException:
        place.cleanup()
        raise
    connection.place = place
    return connection


def empty(path: Path | str) -> sqlite3.Connection:
    """A new file with all tables, in a transaction that is the caller's to commit."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    for statement in (SCHEMA + WORDS).split(";\n"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    return connection


def _fits(path: bytes, text: str) -> bool:
    return fits(path.decode("utf-8", "replace"), text)


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "DEFERRED") -> Iterator[None]:
    """Begin, then commit or roll back."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def explained(folder: Path, verb: str, *, damage: bool = True) -> Iterator[None]:
    """Inside, what the disk and SQLite refuse is an IndexFolderError with the way out.

    With `damage` False a damaged catalogue and a file that is gone are left for the caller to go on from.
    """
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        if not damage and isinstance(error, FileNotFoundError):
            raise
        why = getattr(error, "strerror", None) or str(error)
        help_ = "free some space or choose another folder, then run the same command again: what was committed stays"
        raise IndexFolderError(
            f"{folder}: the index cannot be {verb} ({why}); {help_ if verb == 'written' else 'check its permissions'}"
        ) from error
    except sqlite3.DatabaseError as error:
        if not damage:
            raise
        raise IndexFolderError(
            f"{folder / FILE}: is damaged ({error}); `prvr index --repair --index {folder}` mends it"
        ) from error
