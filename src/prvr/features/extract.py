"""Video files to features, many at a time, safe to stop at any moment and to go on.

What is finished is renamed into place whole; what is not leaves nothing behind. A second run does only what is missing
or has changed since. One file that cannot be read is one line in the report and stops nothing, whatever it does to the
process that reads it: files are read apart (`video.apart`). One whose reader died is read once more when all others are
done, alone, so that only what dies by its own doing is set aside.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from prvr.core.errors import FeatureError, VideoError
from prvr.core.files import there
from prvr.core.text import path_of, text_of
from prvr.core.types import Encoder
from prvr.features.failures import Failure, Failures, Stage, failure
from prvr.features.hands import FileToRead, ReadFile, ReadingThreads, Refused, Work, Workplace
from prvr.features.listening import listen
from prvr.features.store import Entry, FeatureStore, StoreHeader
from prvr.features.suspects import Suspects
from prvr.video.apart import ask
from prvr.video.decode import check_sampling
from prvr.video.find import find_videos, looked_at
from prvr.video.probe import READING, reads_otherwise
from prvr.video.source import check_there, shown

NOTHING: Mapping[Path, Path] = MappingProxyType({})
ENDED_ALL = (
    "{}: was the only file being read when a whole run ended, and is left alone until it changes or is tried again by "
    "name; check that it plays, or leave it out"
)


@dataclass(kw_only=True)
class Plan:
    """What is to be done with some paths."""

    jobs: list[FileToRead] = field(default_factory=list)
    kept: dict[str, Entry] = field(default_factory=dict)  # by id, what is there already
    moved: dict[str, Path] = field(default_factory=dict)  # those whose files lie elsewhere now -> where
    failed: dict[str, str] = field(default_factory=dict)  # file -> one line why
    notes: list[str] = field(default_factory=list)  # a line for what subtitles inside the files could not be read
    before: Mapping[str, Failure] = field(default_factory=dict)  # what had failed already, by path
    ignored: int = 0


@dataclass(kw_only=True)
class Progress:
    """How far an extraction has come."""

    total: int  # files to do
    done: int = 0
    video_s: float = 0.0  # seconds of video encoded so far
    wall_s: float = 0.0
    current: str = ""
    made: list[Entry] = field(default_factory=list)  # in the order in which they were finished

    @property
    def realtime(self) -> float:
        """Seconds of video a second of the clock."""
        return self.video_s / self.wall_s if self.wall_s else 0.0


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """What an extraction did."""

    store: FeatureStore
    entries: tuple[Entry, ...]  # all videos of the given paths that are in the store now, in order of their ids
    made: tuple[str, ...]  # video ids encoded now
    kept: tuple[str, ...]  # video ids that were there and had not changed
    moved: dict[str, Path] = field(default_factory=dict)  # those of them whose files lie elsewhere now -> where
    failed: dict[str, str] = field(default_factory=dict)  # file -> one line why; of some a part was read
    known: frozenset[str] = frozenset()  # those of them that failed before in the same way, and have not changed since
    notes: list[str] = field(default_factory=list)  # a line for what subtitles inside the files could not be read
    ignored: int = 0  # files that could not be read before, and that somebody wants left alone
    video_s: float = 0.0
    wall_s: float = 0.0

    @property
    def video_ids(self) -> tuple[str, ...]:
        """All videos of the given paths that are in the store now."""
        return tuple(entry.video_id for entry in self.entries)


def extract(
    paths: Sequence[Path],
    encoder: Encoder,
    out: Path,
    *,
    rate: float = 1.0,
    max_frames: int | None = None,
    workers: int | None = None,
    place: Workplace | None = None,
    retry: Collection[str] | None = None,
    exclude: Sequence[str] = (),
    also: Mapping[Path, Path] = NOTHING,
    on_progress: Callable[[Progress], None] | None = None,
) -> Extraction:
    """Features of every video below `paths`, into the store at `out`.

    They are read on `workers` threads, one a core where that is not said, or at a `place` that knows how many it has.
    What cannot be read is kept there (`failures.py`); a file that was cut off is kept there and read as far as it goes.
    `exclude` are patterns of what is left out, see `find_videos`. `also` are single files, each with the folder that
    its id is counted from. `retry` names failures by their ids that are tried again, or, empty, means all of them;
    those that are ignored too. Raises FeatureError when the store is of another encoder or rate, is being written by
    another process, or cannot be written; VideoError when a path does not exist, before anything is made. A
    KeyboardInterrupt leaves what is finished in place.
    """
    check_sampling(rate, max_frames)
    check_there(paths)  # before a store is made for them, or in one
    store = FeatureStore.create(out, StoreHeader(encoder=encoder.spec, rate=rate, max_frames=max_frames))
    with store.writing():
        failures = Failures(out)
        todo = plan(paths, store, failures, retry=retry, exclude=exclude, also=also)
        progress = Progress(total=len(todo.jobs))
        place = place or ReadingThreads(workers or os.cpu_count() or 1)
        _run(todo, encoder, store, place, progress, failures, on_progress)
        listen(todo.kept, todo.moved, store, todo.notes)
        failures.save()
    return Extraction(
        store=store,
        entries=tuple(sorted((*progress.made, *todo.kept.values()), key=lambda entry: entry.video_id)),
        made=tuple(entry.video_id for entry in progress.made),
        kept=tuple(todo.kept),
        moved=todo.moved,
        failed=todo.failed,
        notes=todo.notes,
        known=frozenset(_as_before(todo, failures)),
        ignored=todo.ignored,
        video_s=progress.video_s,
        wall_s=progress.wall_s,
    )


def plan(
    paths: Sequence[Path],
    store: FeatureStore,
    failures: Failures,
    *,
    retry: Collection[str] | None = None,
    exclude: Sequence[str] = (),
    also: Mapping[Path, Path] = NOTHING,
) -> Plan:
    """What has to be read, what is there already, and what cannot be looked at; `failures` learns of the last two."""
    todo = Plan()
    taken: dict[str, Path] = {}
    before = {} if retry is not None else {one.path: one for one in failures}  # to be told again is what a retry is for
    again = {} if retry is None else {Path(one.path): Path(one.root) for one in failures.recall(retry)}
    again |= also
    resolved = _resolver()
    single = {path.resolve() for path in also}  # which have their ids already, wherever else they are found
    for start in (*again, *paths):
        root = again.get(start) or (start if start.is_dir() else start.parent)
        for path, stat in _found(start, root, failures, todo, exclude=exclude, must=start not in again):
            here = resolved(path)
            job, entry = _job(path, here, root, stat, store, taken)
            if taken.get(job.video_id) == here or (start not in again and here in single):
                continue
            taken[job.video_id] = here
            if entry and entry.made_from(job.size, job.mtime_ns) and (entry := _still_right(entry, path, store)):
                _keep(entry, job, here, todo, failures)
            elif path != start and path not in again and (known := _killed(job, failures)):
                todo.failed[text_of(path)] = f"{known.file}: {known.reason}"
            else:
                todo.jobs.append(job)
    _find_again(todo, store, failures, taken)
    todo.before = before
    return todo


def _resolver() -> Callable[[Path], Path]:
    """`Path.resolve` for many files of few folders, each of which is looked at once."""
    folders: dict[str, Path | None] = {}  # None: is the real one

    def resolved(path: Path) -> Path:
        if path.is_symlink() or path.name in ("", ".."):
            return path.resolve()
        place = os.path.dirname(path)  # noqa: PTH120 - a text is found faster than a Path
        if place not in folders:
            resolved_place = path.parent.resolve()
            folders[place] = None if str(resolved_place) == place else resolved_place
        other = folders[place]
        return path if other is None else other / path.name

    return resolved


def _still_right(entry: Entry, path: Path, store: FeatureStore) -> Entry | None:
    """An entry that an earlier prvr made, unless the file is read otherwise by now; each is looked at once."""
    if entry.confirmed >= READING:
        return entry
    try:
        otherwise = ask(reads_otherwise, path)
    except VideoError:  # what was read is kept
        otherwise = False
    return None if otherwise else store.confirm(entry, READING)


def _killed(job: FileToRead, failures: Failures) -> Failure | None:
    """What is known of a file that ended its reader and is what it was then: it is left alone, unless it is named."""
    known = failures.same(job.path, (job.size, job.mtime_ns))
    return known if known and known.stage == "killed" else None


def _as_before(todo: Plan, failures: Failures) -> Iterator[str]:
    """The files that failed in a way in which they had failed already."""
    for path in todo.failed:
        new = failures[path_of(path)]
        old = todo.before.get(new.path) if new else None
        if old and new and (old.stage, old.size, old.mtime_ns) == (new.stage, new.size, new.mtime_ns):
            yield path


def _keep(entry: Entry, job: FileToRead, here: Path, todo: Plan, failures: Failures) -> None:
    """A file that was read before, and where it really lies."""
    todo.kept[entry.video_id] = entry
    cut = failures.same(job.path, (job.size, job.mtime_ns))
    if cut is None or cut.stage != "cut":
        failures.drop(job.path)
    elif cut.ignored:
        todo.ignored += 1
    else:
        todo.failed[text_of(job.path)] = f"{cut.file}: {cut.reason}"
    if text_of(here) != entry.source and not there(entry.file):
        todo.moved[entry.video_id] = here


def _find_again(todo: Plan, store: FeatureStore, failures: Failures, taken: Collection[str]) -> None:
    """A new name for a file that was read before: of its size and time of change, and gone from where it was."""
    if not any(job.video_id not in store for job in todo.jobs):
        return
    gone: dict[tuple[int, int], list[Entry]] = {}
    for entry in store.entries():
        if entry.video_id not in taken and not there(entry.file):
            gone.setdefault((entry.size, entry.mtime_ns), []).append(entry)
    jobs, todo.jobs = todo.jobs, []
    for job in jobs:
        same = [] if job.video_id in store else gone.pop((job.size, job.mtime_ns), [])
        right = _still_right(same[0], job.path, store) if len(same) == 1 else None  # of two nobody can say which it is
        if right:
            _keep(right, job, job.path.resolve(), todo, failures)
        else:
            todo.jobs.append(job)


def _found(
    start: Path, root: Path, failures: Failures, todo: Plan, *, exclude: Sequence[str], must: bool
) -> Iterator[tuple[Path, os.stat_result]]:
    """The videos below a path; what cannot be looked at is noted, what is to be left alone is counted.

    Raises VideoError where the path itself cannot be read and `must` be.
    """

    def note(path: Path, stage: Stage, line: str) -> None:
        todo.failed[text_of(path)] = line
        failures.add(failure(path, root, stage, line))

    if not must and not os.path.lexists(start):
        failures.drop(start)
        return
    try:
        found = find_videos(start, exclude=exclude) if must or start.is_dir() else looked_at(start)
    except VideoError as error:
        if must:
            raise
        note(start, "find", str(error))
        return
    if start.is_dir():
        failures.mend(start, [path for path, _ in found.problems])
    for path, line in found.problems:
        if failures.ignores(path):
            todo.ignored += 1
        else:
            note(path, "find", line)
    for path in found.videos:
        try:
            stat = path.stat()
        except OSError as error:
            note(path, "find", f"{shown(path)}: cannot be looked at ({error.strerror}); check its permissions")
            continue
        known = failures.same(path, (stat.st_size, stat.st_mtime_ns))
        if path != start and known and known.ignored and known.stage != "cut":  # of which there are features
            todo.ignored += 1
        else:
            yield path, stat


def _note(job: FileToRead, done: ReadFile, todo: Plan, failures: Failures, progress: Progress) -> None:
    """What became of one file."""
    known = failures.same(job.path, (job.size, job.mtime_ns))
    if done.entry and done.refused and known and known.ignored:  # cut off, and somebody said that this is well
        todo.ignored += 1
    elif done.refused:
        todo.failed[text_of(job.path)] = done.refused.line
        failures.add(failure(job.path, job.root, *done.refused, (job.size, job.mtime_ns)))
    else:
        failures.drop(job.path)
    if done.entry:
        progress.video_s += done.entry.duration_s
        progress.made.append(done.entry)
    todo.notes += done.notes
    progress.done += 1
    progress.current = job.video_id


def _run(
    todo: Plan,
    encoder: Encoder,
    store: FeatureStore,
    place: Workplace,
    progress: Progress,
    failures: Failures,
    on_progress: Callable[[Progress], None] | None,
) -> None:
    """Encode the jobs, many at a time; then, one by one, those of which one killed a run or a reader."""
    suspects, began = Suspects(store.folder), 0.0
    marks = {job: suspects.of(job.path, job.size, job.mtime_ns) for job in todo.jobs}
    first = [job for job, mark in marks.items() if mark is None]
    alone = [job for job, mark in marks.items() if mark and not mark.alone]
    for job in [job for job, mark in marks.items() if mark and mark.alone]:
        guilty = ReadFile(None, Refused("killed", ENDED_ALL.format(shown(job.path))))
        _note(job, guilty, todo, failures, progress)

    def read(jobs: Sequence[FileToRead], work: Work, *, alone: bool) -> Iterator[FileToRead]:
        """-> those of which nobody can say yet whether they are at fault."""
        for job in jobs:
            work.submit(job, alone=alone)
        left = len(jobs)
        while left:
            for job, done in work.finished():
                left -= 1
                if done.unsure:
                    yield job
                else:
                    _note(job, done, todo, failures, progress)
            progress.wall_s = time.perf_counter() - began
            if on_progress:
                on_progress(progress)

    if first or alone:
        with place.begin(encoder, store, suspects) as work:
            began = time.perf_counter()
            alone += read(first, work, alone=False)
            for job in alone:
                list(read([job], work, alone=True))
    suspects.clear()


def _job(
    path: Path, here: Path, root: Path, stat: os.stat_result, store: FeatureStore, taken: dict[str, Path]
) -> tuple[FileToRead, Entry | None]:
    """A file under its id, and what the store has under that.

    The id is its path below the root, with the root's name in front where that is another file's.
    A file of the same id, size and time of change as one in the store is that one, wherever the folder lies now.
    """
    short = text_of(path.relative_to(root))
    long = ""
    for _ in range(2):
        video_id = long or short
        job = FileToRead(video_id, path, stat.st_size, stat.st_mtime_ns, root, here)
        owner, entry = taken.get(video_id), store.entry(video_id)
        if owner is None and entry and not entry.made_from(job.size, job.mtime_ns) and there(entry.file):
            owner = entry.file
        if owner is None or owner == here:
            return job, entry
        long = f"{text_of(root.resolve().name)}/{short}"
    raise FeatureError(
        f"{shown(path)}: two other videos are already called {short!r} and {long!r} in {store.folder}; "
        "rename its folder, or give the folder above all of them as the path"
    )
