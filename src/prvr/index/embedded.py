"""The embedded engine: an index that lives in a folder, needs no server, and loses nothing that was committed.

    index.db        the catalogue: what is in the index. The only truth
    segments/       vectors of batches of videos, written once; on the disk before the catalogue names them
    nearest/        approximate neighbours, derived from the segments; made again when stale, ignored when damaged

A search takes candidates from `nearest` (all videos where that is faster, or where it is missing) and scores them
exactly from the mapped segments. Readers see one commit of the catalogue during a search, so whole videos only.
"""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from prvr.core.errors import IndexFolderError
from prvr.core.facts import UNKNOWN, Cue, Facts, Where
from prvr.core.ranking import best_of_branches
from prvr.core.types import Bank, Candidate
from prvr.index import nearest, upkeep
from prvr.index.base import IndexHeader, Video, WordHit, check_bank, fits, unit
from prvr.index.catalogue import Catalogue, CatalogueRow, bank_of, seal
from prvr.index.database import FILE, explained, sole_writer
from prvr.index.merging import merge_alike
from prvr.index.rereading import until_sound
from prvr.index.segments import Changed, Longs, Places, Segments, VectorForm, encode, write_segment
from prvr.index.view import View, look

BATCH = 64  # videos a commit, unless `save` is called before
SLACK = 2e-3  # products of float16 are this far from those of float32 at most


class EmbeddedIndex:
    """An index folder, opened by any number of readers and at most one writer. Threads may share it."""

    def __init__(self, folder: Path, catalogue: Catalogue, *, write: bool, held: ExitStack) -> None:
        self.folder = folder
        self.header = catalogue.header()
        self.form = catalogue.form()
        self.problems: list[str] = []  # damage that was met, one line each; what is sound answers all the same
        self._catalogue = catalogue
        self._segments = Segments(folder / "segments", self.header.width, self.form.tokens)
        self._write = write
        self._held = held
        self._pending: dict[str, Video] = {}
        self._view: View | None = None
        self._sound: set[int] = set()  # keys of videos whose checksum was compared
        self._lost: set[int] = set()  # and of those where it was another
        self._lock = threading.RLock()

    @classmethod
    def create(cls, folder: Path, header: IndexHeader, *, form: VectorForm | None = None) -> Self:
        """The index in `folder` opened for writing, made if there is none.

        Raises IndexFolderError for one that was made otherwise, in use by another writer, damaged or not writable.
        """
        if (folder / FILE).exists():
            index = cls.open(folder, write=True)
            if fits(index.header, header) and form in (None, index.form):
                return index
            index.close()
            raise IndexFolderError(
                f"{folder}: holds an index that was made otherwise; add --replace to make it anew, or choose another "
                "folder"
            )
        with explained(folder, "written"), ExitStack() as held:
            held.enter_context(sole_writer(folder))
            upkeep.need_room(folder)
            (folder / "segments").mkdir(exist_ok=True)
            catalogue = Catalogue.create(folder, header, form or VectorForm())
            return cls(folder, catalogue, write=True, held=held.pop_all())

    @classmethod
    def open(cls, folder: Path, *, write: bool = False) -> Self:
        """An index that exists; a writer sweeps what a killed one left behind.

        Raises IndexFolderError when there is none, or one of another version, without a header, or with a writer.
        """
        if not (folder / FILE).exists():
            raise IndexFolderError(f"{folder}: no index here; make one with `prvr index PATH --index DIR`")
        with explained(folder, "written" if write else "read"), ExitStack() as held:
            if write:
                held.enter_context(sole_writer(folder))
            catalogue = Catalogue.open(folder, write=write)
            held.callback(catalogue.sql.close)
            index = cls(folder, catalogue, write=write, held=held.pop_all())
            index._report([catalogue.broken] if catalogue.broken else [])
            if write:
                upkeep.sweep(catalogue, index._segments)
            return index

    def close(self) -> None:
        """Commit what is pending, and let others write. Nothing happens if that was done."""
        with self._lock:
            try:
                self._flush()
            finally:
                self._write = False
                self._catalogue.sql.close()
                self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._pending.clear()  # the error says what went wrong; the next run adds what is missing
        self.close()

    @property
    @until_sound
    def versions(self) -> Mapping[str, str]:
        """Every video's `version`, as it was given to `add`."""
        with self._sql() as catalogue:
            return catalogue.versions()

    @property
    @until_sound
    def generation(self) -> str:
        """Another one after every change, whoever made it."""
        with self._sql() as catalogue:
            return catalogue.meta("generation")

    @until_sound
    def all_facts(self) -> dict[str, Facts]:
        """What is known of every video, in order of their ids."""
        with self._sql() as catalogue:
            return catalogue.facts()

    def add(
        self, video_id: str, bank: Bank, *, version: str = "", facts: Facts = UNKNOWN, cues: Sequence[Cue] = ()
    ) -> None:
        """One video; replaces what was there under this id. bank.tokens (N, D) of unit length.

        It is committed with the next ones, by `save`, or before a search here, whichever is first. Raises
        IndexFolderError when the vectors are not as wide as the index, or when it cannot be written.
        """
        check_bank(video_id, bank, self.header)
        with self._lock:
            self._need_write()
            kept = merge_alike(bank, self.form.alike) if self.form.alike is not None else bank
            self._pending[video_id] = Video(video_id, kept, version, facts, tuple(cues))
            if len(self._pending) >= BATCH:
                self._flush()

    def remove(self, *video_ids: str) -> None:
        """Forget videos; nothing happens for those that are not there."""
        with self._writing():
            self._catalogue.forget(video_ids)

    @until_sound
    def search(self, query: Tensor, *, k: int, where: Where | None = None) -> list[Candidate]:
        """query (D,) -> the k best videos, best first, with exact scores; equal scores in order of their ids."""
        direction = unit(query)
        places = self._look().candidates(direction, self._meant(where), k, self._segments)
        if not len(places.key) or k < 1:
            return []
        scores = self._segments.scores(direction, places, clip_weight=self.header.clip_weight).numpy()  # (V',)
        scores = np.nan_to_num(scores, nan=np.inf)  # only damage is not a number: up, where its checksum is compared
        last = np.partition(scores, -min(k, len(scores)))[-min(k, len(scores))]
        return self._answer(direction, places.at(scores >= last - SLACK), k)

    def save(self, folder: Path) -> None:
        """Commit what is pending, join small segments, derive the neighbours again if they are stale.

        Raises IndexFolderError for another folder than this index lives in, and for a full or read-only disk.
        """
        if folder.resolve() != self.folder.resolve():
            raise IndexFolderError(f"{folder}: the index lives in {self.folder}; copy that folder instead")
        with self._lock, explained(self.folder, "written"):
            self._need_write()
            self._flush()
            upkeep.compact(self._catalogue, self._segments)
            view = self._look()
            if view.stale:
                weight = self.header.clip_weight
                state = nearest.build(self._segments, view.places, self.folder / "nearest", clip_weight=weight)
                with self._writing():
                    self._catalogue.put_meta("nearest", state)
            upkeep.sweep(self._catalogue, self._segments)

    @until_sound
    def __len__(self) -> int:
        with self._sql() as catalogue:
            return catalogue.count()

    @until_sound
    def facts(self, video_id: str) -> Facts:
        """What is known of one video. Raises IndexFolderError when it is not there."""
        with self._sql() as catalogue:
            return catalogue.rows([self._key(video_id)]).popitem()[1].facts

    @until_sound
    def candidate(self, query: Tensor, video_id: str) -> Candidate:
        """query (D,) -> one named video, scored. Raises IndexFolderError when it is not there."""
        view = self._look()
        with self._sql():
            key = self._key(video_id)
        at = view.positions(np.array([key]))
        if not len(at):
            if key in self._lost or self._look() is view:
                raise IndexFolderError(f"{video_id}: its vectors are damaged; {upkeep.mend(self.folder)}")
            raise Changed
        return self._answer(unit(query), view.places.at(at), 1)[0]

    @until_sound
    def score_all(self, queries: Tensor, *, where: Where | None = None) -> tuple[list[str], Tensor]:
        """queries (B, D) -> ids in order, and the exact fused score of every video (B, V)."""
        view, meant = self._look(), self._meant(where)
        places = view.places if meant is None else view.places.at(view.positions(meant))
        scores = self._segments.scores_of_many(unit(queries), places, clip_weight=self.header.clip_weight)  # (B, V)
        with self._sql() as catalogue:
            names = catalogue.names()
        self._need(names, places)
        ids = [names[key] for key in places.key.tolist()]
        order = sorted(range(len(ids)), key=ids.__getitem__)
        return [ids[v] for v in order], scores[:, order]

    @until_sound
    def words(self, text: str, *, k: int, where: Where | None = None, kind: str | None = None) -> list[WordHit]:
        """The k videos whose names or words of a kind hold most of a text, best first."""
        with self._sql() as catalogue:
            return catalogue.words(text, k=k, where=where, kind=kind)

    def put_tags(self, tags: Mapping[str, Sequence[str]]) -> None:
        """Set `Facts.tags` of some videos."""
        with self._writing() as catalogue:
            catalogue.put_tags(tags)

    @until_sound
    def note(self, name: str) -> str | None:
        """A text kept with the index."""
        with self._sql() as catalogue:
            return catalogue.notes().get(name)

    def put_note(self, name: str, text: str) -> None:
        """Keep a text with the index; replaces what was there under this name."""
        with self._writing():
            self._catalogue.sql.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (name, text))

    def videos(self, ids: Iterable[str] | None = None) -> Iterator[Video]:
        """These videos, or all, with all that was given to `add`, in order of their ids."""
        versions = self.versions
        for video_id in versions if ids is None else sorted(ids):
            bank = self.candidate(torch.zeros(self.header.width), video_id).bank
            with self._sql() as catalogue:
                cues = catalogue.cues(self._key(video_id))
            yield Video(video_id, bank, versions[video_id], self.facts(video_id), cues)

    def notes(self) -> dict[str, str]:
        """All notes by their names."""
        with self._sql() as catalogue:
            return catalogue.notes()

    @property
    def num_bytes(self) -> int:
        """Bytes of all files of the index on the disk."""
        return sum(path.stat().st_size for part in (FILE, "segments/*", "nearest/*") for path in self.folder.glob(part))

    @until_sound
    def verify(self) -> list[upkeep.Damage]:
        """Read everything and compare it with its checksums; -> what is damaged, and which video is lost by it."""
        with self._sql() as catalogue:
            return upkeep.verify(catalogue, self._segments)

    def repair(self, damages: Sequence[upkeep.Damage]) -> list[str]:
        """Take out what is damaged; -> the ids of the videos that must be added again."""
        lost = sorted({one.video_id for one in damages if one.video_id is not None})
        derived = any(one.place.endswith(".faiss") for one in damages)
        with self._writing() as catalogue:
            catalogue.forget(lost)
            if derived:
                catalogue.put_meta("nearest", "")
        return lost

    @contextmanager
    def _sql(self) -> Iterator[Catalogue]:
        """The catalogue, to read from, with everything that was added."""
        with self._lock:
            self._flush()
            yield self._catalogue

    @contextmanager
    def _writing(self) -> Iterator[Catalogue]:
        """The catalogue, to change in one commit."""
        with self._sql() as catalogue, explained(self.folder, "written"):
            self._need_write()
            with catalogue.change():
                yield catalogue

    def _need_write(self) -> None:
        if not self._write:
            raise IndexFolderError(f"{self.folder}: was opened for reading; open it with write=True")

    def _flush(self) -> None:
        """Commit what is pending: the vectors are on the disk before the catalogue names them."""
        if not self._pending:
            return
        videos, name = list(self._pending.values()), upkeep.new_name()
        rows = [encode(video.bank.tokens, self.form.tokens) for video in videos]
        with explained(self.folder, "written"):
            write_segment(self._segments.folder / name, rows)
            with self._catalogue.change():
                self._catalogue.put(videos, [zlib.crc32(row) for row in rows], name)
        self._pending.clear()

    def _look(self) -> View:
        """The newest commit as searches read it."""
        with self._sql() as catalogue:
            self._view, problems = look(catalogue, self._segments, self._lost, self._view)
            self._report(problems)
            return self._view

    def _meant(self, where: Where | None) -> Longs | None:
        if not where:
            return None
        with self._sql() as catalogue:
            return catalogue.meant(where)

    def _key(self, video_id: str) -> int:
        key = self._catalogue.key_of(video_id)
        if key is None:
            raise IndexFolderError(f"{video_id}: no such video in the index; add it with `prvr index PATH`")
        return key

    def _answer(self, unit: Tensor, places: Places, k: int) -> list[Candidate]:
        """The k best of some videos, scored in float32; each is compared with its checksum the first time."""
        tokens = [self._segments.tokens(places, v) for v in range(len(places.key))]
        cosines = [rows @ unit for rows in tokens]
        fused = best_of_branches(torch.cat(cosines)[None], places.sizes).fused(self.header.clip_weight)
        with self._sql() as catalogue:
            known = catalogue.rows(places.key.tolist())
        self._need(known, places)
        rows = [known[key] for key in places.key.tolist()]
        scores = np.nan_to_num(fused[0].numpy(), nan=np.inf)
        best = sorted(range(len(rows)), key=lambda v: (-scores[v], rows[v].video_id))[:k]
        self._check(places, best, rows)
        return [
            Candidate(
                rows[v].video_id, float(scores[v]), cosines[v], bank_of(rows[v], tokens[v], int(places.frames[v]))
            )
            for v in best
        ]

    def _check(self, places: Places, chosen: Sequence[int], rows: Sequence[CatalogueRow]) -> None:
        """Set aside the videos that are not as they were written, and say so."""
        new = [v for v in chosen if rows[v].key not in self._sound]
        bad = [v for v in new if seal(self._segments.checksum(places, v), rows[v]) != rows[v].crc]
        self._sound.update(rows[v].key for v in new)
        if bad:
            self._report([f"{self._segments.path(int(places.segment[v]))}: {rows[v].video_id} is damaged" for v in bad])
            self._lost.update(rows[v].key for v in bad)
            self._view = None
            raise Changed

    def _need(self, known: Mapping[int, object], places: Places) -> None:
        """Look again unless the catalogue knows all these videos, without those that it ought to know."""
        missing = set(places.key.tolist()) - known.keys()
        if missing:
            with self._sql() as catalogue:
                if self._view and self._view.generation == catalogue.meta("generation"):
                    self._lost |= missing
                    self._report([f"{self.folder / FILE}: is damaged"])
            self._view = None
            raise Changed

    def _report(self, problems: Sequence[str]) -> None:
        self.problems += [
            line for one in problems if (line := f"{one}; {upkeep.mend(self.folder)}") not in self.problems
        ]

    def _fall_back(self, error: sqlite3.DatabaseError) -> None:
        """Read on from the rows of a damaged catalogue that can be read. Raises IndexFolderError when none can."""
        with self._lock, explained(self.folder, "read"):
            if self._write or self._catalogue.broken:
                raise error
            self._catalogue = self._catalogue.salvaged(error)
            self._report([self._catalogue.broken])
            self._view = None
