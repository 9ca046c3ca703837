"""The catalogue of an index: one SQLite file that says what is in it. What it does not name does not exist.

Readers never wait for the writer (write-ahead log); a commit is on the disk when it returns (synchronous=FULL).
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import torch

from prvr.core.config import from_dict, to_dict
from prvr.core.errors import ConfigError, IndexFolderError
from prvr.core.facts import SAID, Cue, Facts, Where
from prvr.core.types import Bank
from prvr.index.base import VERSION, IndexHeader, Video, WordHit
from prvr.index.database import FILE, PART, TABLES, condition, connect, empty, has_kinds, transaction
from prvr.index.segments import Longs, Places, VectorForm, put_in_place
from prvr.index.words import Passage, content, fold, informative, passages_of, rank_words

OF_VIDEO = ("evidence", "tag", "passage")
COLUMNS = "id, video_id, version, crc, path, duration_s, modified"
T = TypeVar("T")
GIVE_UP = 1000  # rows one after the other that cannot be read; a page holds fewer
NO_BIAS = 0.0  # of a column that nothing reads any more; without it older files would have to be made again
MOST_PASSAGES = 2000  # that a search for words looks at more closely


class OlderIndex(IndexFolderError):
    """A catalogue of a format that is not read any more."""


class CatalogueRow(NamedTuple):
    """What the catalogue knows of one video beside its place."""

    key: int
    video_id: str
    version: str
    crc: int  # of its rows in the segment, then of what identifies it here
    facts: Facts
    spans: bytes | None  # (N, 2) float32; None where they are lost


class Catalogue:
    """One connection to the file; every method is one statement or one transaction."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self.sql = connection
        self.broken = ""  # what was the matter, where this is a copy of what can be read of the file

    @classmethod
    def create(cls, folder: Path, header: IndexHeader, form: VectorForm) -> Self:
        """An empty one, renamed into place when it is complete. Raises sqlite3.Error, OSError."""
        part = folder / PART
        with closing(empty(part)) as connection:
            values = {"header": json.dumps(to_dict(header)), "form": json.dumps(to_dict(form))}
            first = secrets.randbits(40)  # not what an index that lay here before has counted up to
            values |= {"generation": str(first), "nearest": ""}
            connection.executemany("INSERT INTO meta VALUES (?, ?)", values.items())
            connection.execute("COMMIT")
        put_in_place(part, folder / FILE)
        return cls.open(folder, write=True)

    @classmethod
    def open(cls, folder: Path, *, write: bool) -> Self:
        """One that exists, or a copy of what can be read of it. Raises IndexFolderError for another version,
        sqlite3.Error for one that cannot be read at all, or only in parts and is to be written.
        """
        connection = connect(folder / FILE, write=write)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            connection.close()
            raise IndexFolderError(
                f"{folder / FILE}: was made by a newer prvr (its format is {version}, this one reads {VERSION}); "
                "update prvr, or index into another folder"
            )
        if version < VERSION:
            connection.close()
            raise OlderIndex(
                f"{folder / FILE}: is of an older format ({version}, this prvr reads {VERSION}); `prvr index --repair "
                f"--index {folder}` makes it anew from the features there"
            )
        catalogue = cls(folder, connection)
        try:
            catalogue.header(), catalogue.form(), catalogue.meta("generation"), catalogue.meta("nearest")
        except sqlite3.DatabaseError as error:
            if write:
                connection.close()
                raise
            return catalogue.salvaged(error)
        return catalogue

    def header(self) -> IndexHeader:
        """What the vectors have in common. Raises sqlite3.DatabaseError when that is not readable."""
        return self._settings(IndexHeader, "header")

    def form(self) -> VectorForm:
        """How vectors are kept. Raises sqlite3.DatabaseError when that is not readable."""
        return self._settings(VectorForm, "form")

    def meta(self, name: str) -> str:
        """A value of our own."""
        found = self.sql.execute("SELECT text FROM meta WHERE name = ?", (name,)).fetchone()
        if found is None:
            raise sqlite3.DatabaseError(f"{name} is missing")
        return str(found[0])

    def put_meta(self, name: str, text: str) -> None:
        """Set a value of our own."""
        self.sql.execute("UPDATE meta SET text = ? WHERE name = ?", (text, name))

    @contextmanager
    def change(self) -> Iterator[None]:
        """Everything inside is committed together or not at all; readers see it as the next generation."""
        with transaction(self.sql, "IMMEDIATE"):
            yield
            self.put_meta("generation", str(int(self.meta("generation")) + 1))

    def count(self) -> int:
        """Number of videos."""
        return int(self.sql.execute("SELECT count(*) FROM video").fetchone()[0])

    def versions(self) -> dict[str, str]:
        """Id -> version of every video."""
        return dict(self.sql.execute("SELECT video_id, version FROM video ORDER BY video_id"))

    def notes(self) -> dict[str, str]:
        """All notes by their names."""
        return dict(self.sql.execute("SELECT name, text FROM note"))

    def facts(self) -> dict[str, Facts]:
        """Id -> what is known of every video, in order of their ids."""
        tags: dict[int, list[str]] = {}
        for key, name in self.sql.execute("SELECT video, name FROM tag ORDER BY rowid"):
            tags.setdefault(key, []).append(name)
        rows = self.sql.execute(f"SELECT {COLUMNS}, NULL FROM video ORDER BY video_id")
        with _numbers():
            return {str(row[1]): _row(row, tags.get(row[0], [])).facts for row in rows}

    def names(self) -> dict[int, str]:
        """Number -> id of every video."""
        return dict(self.sql.execute("SELECT id, video_id FROM video"))

    def segments(self) -> dict[int, tuple[str, int]]:
        """Number -> name and rows of every segment."""
        return {key: (name, rows) for key, name, rows in self.sql.execute("SELECT id, name, rows FROM segment")}

    def places(self) -> Places:
        """Where every video lies."""
        sql = "SELECT id, segment, start, frames, clips FROM video ORDER BY segment, start"
        with _numbers():
            return Places(*np.array(self.sql.execute(sql).fetchall(), np.int64).reshape(-1, 5).T.copy())

    def key_of(self, video_id: str) -> int | None:
        """The number of a video."""
        found = self.sql.execute("SELECT id FROM video WHERE video_id = ?", (video_id,)).fetchone()
        return int(found[0]) if found else None

    def meant(self, where: Where) -> Longs:
        """The numbers of the videos that a filter means, increasing."""
        clause, values = condition(where)
        found = self.sql.execute(f"SELECT id FROM video WHERE {clause} ORDER BY id", values).fetchall()
        return np.array(found, np.int64).flatten()

    def rows(self, keys: Iterable[int]) -> dict[int, CatalogueRow]:
        """Number -> all that is known of some videos."""
        wanted = json.dumps(list(keys))
        listed = "(SELECT value FROM json_each(?))"
        tags: dict[int, list[str]] = {}
        for key, name in self.sql.execute(
            f"SELECT video, name FROM tag WHERE video IN {listed} ORDER BY rowid", (wanted,)
        ):
            tags.setdefault(key, []).append(name)
        sql = f"SELECT {COLUMNS}, spans FROM video LEFT JOIN evidence ON video = id WHERE id IN {listed}"
        with _numbers():
            return {row[0]: _row(row, tags.get(row[0], [])) for row in self.sql.execute(sql, (wanted,))}

    def cues(self, key: int) -> tuple[Cue, ...]:
        """The words in one video."""
        sql = f"SELECT {self._words_of} FROM passage WHERE video = ? AND start_s IS NOT NULL ORDER BY id"
        return tuple(Cue(*row) for row in self.sql.execute(sql, (key,)))

    def put(self, videos: Sequence[Video], crcs: Sequence[int], segment: str) -> None:
        """Videos whose rows lie one after the other in a new segment; replaces those of the same ids."""
        self.forget([video.video_id for video in videos])
        sizes = [len(video.bank.tokens) for video in videos]
        number = self.sql.execute("INSERT INTO segment (name, rows) VALUES (?, ?)", (segment, sum(sizes))).lastrowid
        start = 0
        for video, crc, size in zip(videos, crcs, sizes, strict=True):
            self._put(video, crc, (number or 0, start))
            start += size

    def forget(self, video_ids: Iterable[str]) -> int:
        """Remove videos; -> how many there were. Their rows stay in the segment until it is written anew."""
        keys = [key for key in map(self.key_of, video_ids) if key is not None]
        for key in keys:
            self.sql.execute("DELETE FROM words WHERE rowid IN (SELECT id FROM passage WHERE video = ?)", (key,))
            for table in OF_VIDEO:
                self.sql.execute(f"DELETE FROM {table} WHERE video = ?", (key,))
            self.sql.execute("DELETE FROM video WHERE id = ?", (key,))
        return len(keys)

    def move(self, places: Places, segment: str) -> None:
        """The rows of some videos were copied, one after the other, to a new segment; drop those that hold none now."""
        rows = int(places.size.sum())
        number = self.sql.execute("INSERT INTO segment (name, rows) VALUES (?, ?)", (segment, rows)).lastrowid
        starts = (places.size.cumsum() - places.size).tolist()
        moved = ((number, start, key) for start, key in zip(starts, places.key.tolist(), strict=True))
        self.sql.executemany("UPDATE video SET segment = ?, start = ? WHERE id = ?", moved)

    def drop_empty(self) -> None:
        """Forget the segments that hold no video."""
        self.sql.execute("DELETE FROM segment WHERE id NOT IN (SELECT segment FROM video)")

    @property
    def _words_of(self) -> str:
        """The columns of a passage."""
        return f"start_s, end_s, text, {'kind' if has_kinds(self.sql) else repr(SAID)}"

    def words(self, text: str, *, k: int, where: Where | None, kind: str | None = None) -> list[WordHit]:
        """The k videos whose names or words hold most of a text; only words of one `kind` where that is given."""
        (total,) = self.sql.execute("SELECT count(*) FROM passage").fetchone()
        wanted = content(text)
        marks = ", ".join("?" * len(wanted))
        frequency = dict(self.sql.execute(f"SELECT term, doc FROM vocabulary WHERE term IN ({marks})", wanted))
        asked = informative(text, frequency, total)
        if not frequency:
            return []
        clause, values = condition(where or Where())
        if kind is not None:
            known = has_kinds(self.sql)
            clause += " AND start_s IS NOT NULL AND " + ("kind = ?" if known else f"? = {SAID!r}")
            values.append(kind)
        found = self.sql.execute(
            f"SELECT video_id, {self._words_of} FROM words JOIN passage ON passage.id = words.rowid "
            f"JOIN video ON video.id = passage.video WHERE words MATCH ? AND {clause} ORDER BY rank LIMIT ?",
            (" OR ".join(f'"{word}"' for word in asked.weights), *values, MOST_PASSAGES),
        )
        passages = (Passage(row[0], None if row[1] is None else Cue(*row[1:]), row[3]) for row in found)
        return rank_words(asked, passages, k=k)

    def problems(self) -> list[str]:
        """What SQLite finds wrong with the file."""
        try:
            found = [str(row[0]) for row in self.sql.execute("PRAGMA integrity_check(20)")]
        except sqlite3.DatabaseError as error:
            return [str(error)]
        return [] if found == ["ok"] else found

    def other_words(self) -> list[str]:
        """The ids of the videos whose place, tags or subtitles are not what was written."""
        found = []
        for key, kept in self.sql.execute("SELECT id, unused FROM video WHERE unused != '' ORDER BY id").fetchall():
            row = self.rows([key])[key]
            said = self.sql.execute(f"SELECT {self._words_of} FROM passage WHERE video = ? ORDER BY id", (key,))
            if kept != f"{_sum_of_words(row.facts, said.fetchall())}:{_sum(list(row.facts.tags))}":
                found.append(row.video_id)
        return found

    def salvage(self, target: Path | str) -> Self:
        """Every row that can still be read, in a new file (or ":memory:"). Raises sqlite3.Error without a header."""
        saved = empty(target)
        for table in TABLES:
            for row in self._readable(table):
                if table == "passage":
                    row = (*row, SAID)[:6]
                with suppress(sqlite3.IntegrityError):  # of another type than its column: damaged
                    saved.execute(f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        lost = "NOT IN (SELECT video FROM evidence)"
        saved.execute(f"DELETE FROM video WHERE id {lost} OR segment NOT IN (SELECT id FROM segment)")
        for table in OF_VIDEO:
            saved.execute(f"DELETE FROM {table} WHERE video NOT IN (SELECT id FROM video)")
        for key, text in saved.execute("SELECT id, text FROM passage").fetchall():
            saved.execute("INSERT INTO words (rowid, said) VALUES (?, ?)", (key, " ".join(fold(text))))
        saved.execute("COMMIT")
        copy = type(self)(self.folder, saved)
        copy.header(), copy.form()
        return copy

    def salvaged(self, error: sqlite3.DatabaseError) -> Self:
        """What can be read, in memory, in the place of this. Raises sqlite3.Error when the header cannot."""
        copy = self.salvage(":memory:")
        copy.broken = f"{self.folder / FILE}: is damaged ({error})"
        self.sql.close()
        return copy

    def _settings(self, kind: type[T], name: str) -> T:
        try:
            return from_dict(kind, json.loads(self.meta(name)))
        except (ValueError, TypeError, AttributeError, ConfigError) as error:
            raise sqlite3.DatabaseError(f"{name}: {error}") from error

    def _readable(self, table: str) -> Iterator[tuple[Any, ...]]:
        """Row by row, so that a damaged page costs what is on it; what is damaged all over is given up."""
        failures, last = 0, []
        numbers = (
            "SELECT max(1000, 20 * coalesce(max(seq), 0)) FROM sqlite_sequence"  # no video has more tags than that
        )
        for guess in (f"SELECT coalesce(max(rowid), 0) FROM {table}", numbers):
            with suppress(sqlite3.DatabaseError):
                last += self.sql.execute(guess).fetchone()
        for rowid in range(1, min(last, default=GIVE_UP) + 1):
            try:
                row = self.sql.execute(f"SELECT * FROM {table} WHERE rowid = ?", (rowid,)).fetchone()
                failures = 0
            except sqlite3.DatabaseError:
                row, failures = None, failures + 1
            if row is not None:
                yield row
            elif failures > GIVE_UP:
                return

    def put_tags(self, tags: Mapping[str, Sequence[str]]) -> None:
        """Set the tags of some videos; those that are not there stay so."""
        keys = {video_id: self.key_of(video_id) for video_id in tags}
        there = {key: tags[video_id] for video_id, key in keys.items() if key is not None}
        self.sql.executemany("DELETE FROM tag WHERE video = ?", [(key,) for key in there])
        self.sql.executemany(
            "INSERT INTO tag VALUES (?, ?)", [(name, key) for key, names in there.items() for name in names]
        )
        self.sql.executemany(  # eight letters of the words, a colon, eight of the tags
            "UPDATE video SET unused = substr(unused, 1, 9) || ? WHERE id = ? AND unused != ''",
            [(_sum(list(names)), key) for key, names in there.items()],
        )

    def _put(self, video: Video, crc: int, place: tuple[int, int]) -> None:
        facts, bank, passages = video.facts, video.bank, _rows_of(list(passages_of(video)))
        spans = bank.spans.detach().float().contiguous().numpy().tobytes()
        row = (
            *(video.video_id, video.version, *place, bank.num_frames, len(bank.tokens) - bank.num_frames),
            seal(crc, CatalogueRow(0, video.video_id, video.version, 0, facts, spans)),
            *(
                facts.path,
                f"{_sum_of_words(facts, passages)}:{_sum(list(facts.tags))}",
                facts.duration_s,
                facts.modified,
                NO_BIAS,
            ),
        )
        key = self.sql.execute(f"INSERT INTO video VALUES (NULL{', ?' * len(row)})", row).lastrowid
        self.sql.execute("INSERT INTO evidence VALUES (?, ?)", (key, spans))
        self.sql.executemany("INSERT INTO tag VALUES (?, ?)", [(name, key) for name in facts.tags])
        for row_of_words in passages:
            number = self.sql.execute(
                "INSERT INTO passage VALUES (NULL, ?, ?, ?, ?, ?)", (key, *row_of_words)
            ).lastrowid
            self.sql.execute("INSERT INTO words (rowid, said) VALUES (?, ?)", (number, " ".join(fold(row_of_words[2]))))


def seal(crc: int, row: CatalogueRow) -> int:
    """The checksum of a video's rows in its segment, gone on over what belongs to them here."""
    return zlib.crc32(row.spans or b"", zlib.crc32(f"{row.video_id}\0{row.version}".encode(), crc))


def _rows_of(passages: Sequence[Passage]) -> list[tuple[float | None, float | None, str, str]]:
    spans = [(float(one.cue.start_s), float(one.cue.end_s)) if one.cue else (None, None) for one in passages]
    return [(*span, one.text, one.cue.kind if one.cue else SAID) for span, one in zip(spans, passages, strict=True)]


def _sum_of_words(facts: Facts, passages: Sequence[Sequence[Any]]) -> str:
    """The checksum of what is known of a video but its tags, which change, and of all that can be searched by words."""
    said = [list(one[: 3 if one[3] == SAID else 4]) for one in passages]  # as before there were kinds
    return _sum([facts.path, float(facts.duration_s), float(facts.modified), said])


def _sum(values: list[Any]) -> str:
    return f"{zlib.crc32(json.dumps(values).encode()):08x}"


def bank_of(row: CatalogueRow, tokens: torch.Tensor, frames: int) -> Bank:
    """A video's vectors with their spans."""
    spans = torch.frombuffer(bytearray(row.spans or b""), dtype=torch.float32) if row.spans else torch.empty(0)
    return Bank(tokens, spans.view(-1, 2), frames)


def _row(values: Sequence[Any], tags: Sequence[str]) -> CatalogueRow:
    key, video_id, version, crc, path, duration_s, modified, spans = values
    facts = Facts(path=str(path), duration_s=float(duration_s), modified=float(modified), tags=tuple(tags))
    return CatalogueRow(key, str(video_id), str(version), int(crc), facts, spans if isinstance(spans, bytes) else None)


@contextmanager
def _numbers() -> Iterator[None]:
    """Inside, a value that is no number where one was written is damage."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        raise sqlite3.DatabaseError(f"a value is not what was written: {error}") from error
