"""Videos of an index to their words, whatever makes these: which are meant, how far it is, how they are found."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prvr.core.errors import EncoderError, FeatureError, IndexFolderError, VideoError
from prvr.encoders.catalogue import THINGS
from prvr.features.store import Entry, FeatureStore
from prvr.index.opening import open_index
from prvr.search.engine import model_of
from prvr.search.indexing import refresh
from prvr.search.meaning import keep_meanings
from prvr.search.places import locate
from prvr.search.spoken import Spoken
from prvr.speech.store import Transcript, WantedFilm
from prvr.video.source import shown

MEANT = "meaning"  # the note that says when the vectors of words were changed
SOON_S = 60.0  # how soon what was made can be searched, while the rest is
Step = Callable[[float], None]  # told how far one film is, seconds


@dataclass(kw_only=True)
class WordsProgress:
    """How far it has come."""

    total_s: float  # seconds of film to be done
    done_s: float = 0.0
    made_s: float = 0.0  # of them now, and not in an earlier run
    wall_s: float = 0.0
    current: str = ""

    @property
    def realtime(self) -> float:
        """Seconds of film a second of the clock."""
        return self.made_s / self.wall_s if self.wall_s else 0.0


@dataclass(frozen=True, kw_only=True)
class WordsWork:
    """What is to be done with the videos of an index."""

    entries: dict[str, Entry]  # by video id
    todo: Sequence[WantedFilm]
    others: Sequence[str]  # ids of those whose words are there already, and perhaps not yet in the index
    before: Callable[[WantedFilm], Transcript | None]  # what an earlier run made of one
    make: Callable[[WantedFilm, Step], Transcript]  # raises VideoError
    made: Callable[[WantedFilm, Transcript], None]  # told what came of one
    failed: dict[str, str]  # video id -> one line why
    progress: WordsProgress = field(default_factory=lambda: WordsProgress(total_s=0.0))


def transcribe(
    folder: Path,
    work: WordsWork,
    *,
    sentences: str = THINGS,
    on_progress: Callable[[WordsProgress], None] | None = None,
) -> list[str]:
    """Make the words of some videos and let them be found, soon and whenever it ends; -> lines of what is amiss."""
    now, notes, began = work.progress, list[str](), time.monotonic()
    now.total_s = sum(film.duration_s for film in work.todo)
    news, due = list[Entry](), began
    try:
        for film in work.todo:
            step = _step(now, film, work.before(film), began, on_progress)
            try:
                words = work.make(film, step)
            except VideoError as error:
                work.failed[film.video_id] = str(error)
            else:
                step(max(film.duration_s, words.until_s))
                work.made(film, words)
                news.append(work.entries[film.video_id])
            if time.monotonic() - due > SOON_S:
                notes += searchable(folder, news, sentences=sentences)
                news, due = [], time.monotonic()
    finally:
        now.wall_s = time.monotonic() - began
        notes += searchable(folder, [*(work.entries[one] for one in work.others), *news], sentences=sentences)
    return list(dict.fromkeys(notes))


def searchable(folder: Path, entries: Sequence[Entry], *, sentences: str = THINGS) -> list[str]:
    """Bring the words of some videos of an index, and their meaning, up to date; -> a line for what is in the way."""
    if not entries:
        return []
    store = FeatureStore.open(folder / "features")
    spoken, notes, meant = Spoken(store.folder), list[str](), list[str]()
    with store.writing(), open_index(folder, write=True) as index:
        files = {entry.video_id: locate(folder, index.facts(entry.video_id).path) for entry in entries}
        words = {video_id: spoken.cues(video_id, file, []) for video_id, file in files.items()}
        try:
            meant = keep_meanings(folder, words, sentences)
        except EncoderError as error:
            notes.append(f"what is said is found by its words, and not by its meaning: {error}")
        refresh(index, store, model_of(folder, index.header), entries)
        if meant:
            index.put_note(MEANT, f"{time.time_ns()}")  # who has it open reads it again
        index.save(folder)
    return notes


def films_of(folder: Path, paths: Sequence[Path]) -> tuple[list[WantedFilm], dict[str, Entry]]:
    """The videos below some paths, those of the index only, and what the store knows of them."""
    try:
        entries = {entry.video_id: entry for entry in FeatureStore.open(folder / "features").entries()}
    except FeatureError as error:
        raise IndexFolderError(f"{folder}: no index here; make one with `prvr index PATH --index {folder}`") from error
    with open_index(folder) as index:
        facts = index.all_facts()
    places = {video_id: locate(folder, one.path).resolve() for video_id, one in facts.items() if video_id in entries}
    roots = [path.resolve() for path in paths]
    for path, root in zip(paths, roots, strict=True):
        if not any(place.is_relative_to(root) for place in places.values()):
            raise IndexFolderError(
                f"{shown(path)}: no video of the index {folder} is there; read it first: `prvr index {shown(path)}`"
            )
    chosen = {
        video_id: place for video_id, place in places.items() if not roots or any(map(place.is_relative_to, roots))
    }
    films = [
        WantedFilm(video_id, place, one.size, one.mtime_ns, one.duration_s)
        for video_id, place in sorted(chosen.items())
        for one in [entries[video_id]]
    ]
    return films, entries


def _step(
    now: WordsProgress,
    film: WantedFilm,
    before: Transcript | None,
    began: float,
    on_progress: Callable[[WordsProgress], None] | None,
) -> Step:
    """Called with how far a film is."""
    last_s = before.until_s if before else 0.0
    base_s = now.done_s

    def step(until_s: float) -> None:
        nonlocal last_s
        now.made_s += until_s - last_s
        last_s = until_s
        now.done_s = base_s + min(until_s, film.duration_s)
        now.wall_s = time.monotonic() - began
        now.current = film.video_id
        if on_progress:
            on_progress(now)

    return step
