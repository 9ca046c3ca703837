"""The videos of an index listened to: those that have no subtitles, or all of some folders."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prvr.core.errors import EncoderError, FeatureError, IndexFolderError, VideoError
from prvr.core.files import there
from prvr.core.text import count
from prvr.encoders.catalogue import THINGS
from prvr.features.store import Entry, FeatureStore
from prvr.index.opening import open_index
from prvr.search.engine import model_of
from prvr.search.indexing import refresh
from prvr.search.meaning import keep_meanings
from prvr.search.places import locate
from prvr.search.spoken import Spoken
from prvr.speech.hearing import FilmToHear, HowToHear, hear, known
from prvr.speech.listen import Listener
from prvr.speech.store import SpeechHeader, Transcript, TranscriptStore
from prvr.video.source import check_there, shown

MEANT = "meaning"  # the note that says when the vectors of what is said were changed
SOON_S = 60.0  # how soon what was heard can be searched, while the rest is


@dataclass(kw_only=True)
class ListenProgress:
    """How far a listening has come."""

    total_s: float  # seconds of sound to be heard
    done_s: float = 0.0
    heard_s: float = 0.0  # of them now, and not in an earlier run
    wall_s: float = 0.0
    current: str = ""

    @property
    def realtime(self) -> float:
        """Seconds of sound a second of the clock."""
        return self.heard_s / self.wall_s if self.wall_s else 0.0


@dataclass(kw_only=True)
class Listening:
    """What a listening did."""

    heard: list[str] = field(default_factory=list)  # video ids, now
    kept: list[str] = field(default_factory=list)  # those that were heard before
    subtitled: list[str] = field(default_factory=list)  # those left alone, for they have subtitles
    failed: dict[str, str] = field(default_factory=dict)  # video id -> one line why
    notes: list[str] = field(default_factory=list)  # a line for what has no sound, or no words in it
    sound_s: float = 0.0
    wall_s: float = 0.0


def listen_to(
    folder: Path,
    paths: Sequence[Path],
    listener: Listener,
    *,
    how: HowToHear | None = None,
    replace: bool = False,
    sentences: str = THINGS,
    on_progress: Callable[[ListenProgress], None] | None = None,
) -> Listening:
    """Listen to the videos of the index at `folder` that lie below `paths` (all without any), and make it searchable.

    Those that have subtitles are left alone, unless what is heard is to take their place (`how.over`). `replace`
    begins anew where another model has listened. `sentences` names the model by which what is said is found by its
    meaning, see `load_sentence_model`. One file that cannot be heard is one line. Stopped at any moment,
    what was heard stays, within a long video as well. Raises IndexFolderError without an index, or for a path that
    none of its videos lies below, FeatureError for transcripts of another model, ConfigError for a language that the
    model does not know.
    """
    how = how or HowToHear()
    listener.check_language(how.language)
    check_there(paths)
    done = Listening()
    films, entries = _films(folder, paths)
    header = SpeechHeader(model=listener.name, revision=listener.revision)
    store = TranscriptStore.create(folder, header, replace=replace)
    with store.writing():
        todo = _todo(folder, films, store, how, done)
        progress = ListenProgress(total_s=sum(film.duration_s for film in todo))
        began = due = time.monotonic()
        news: list[Entry] = []
        try:
            for film in todo:
                heard = _heard(film, listener, store, how, done, _step(progress, film, store, how, began, on_progress))
                if heard is not None:
                    news.append(entries[film.video_id])
                if time.monotonic() - due > SOON_S:
                    done.notes += searchable(folder, news, sentences=sentences)
                    news, due = [], time.monotonic()
        finally:
            done.sound_s, done.wall_s = progress.heard_s, time.monotonic() - began
            others = [entries[video_id] for video_id in (*done.kept, *done.subtitled)]
            done.notes += searchable(folder, [*others, *news], sentences=sentences)
    done.notes = list(dict.fromkeys(done.notes))
    return done


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


def _films(folder: Path, paths: Sequence[Path]) -> tuple[list[FilmToHear], dict[str, Entry]]:
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
                f"{shown(path)}: no video of the index {folder} lies there; read it first: `prvr index {shown(path)}`"
            )
    chosen = {
        video_id: place for video_id, place in places.items() if not roots or any(map(place.is_relative_to, roots))
    }
    films = [
        FilmToHear(video_id, place, one.size, one.mtime_ns, one.duration_s)
        for video_id, place in sorted(chosen.items())
        for one in [entries[video_id]]
    ]
    return films, entries


def _todo(
    folder: Path, films: Sequence[FilmToHear], store: TranscriptStore, how: HowToHear, done: Listening
) -> list[FilmToHear]:
    spoken = Spoken(folder / "features")
    todo = []
    for film in films:
        before = known(film, store, how)
        if before and before.whole and before.over >= how.over:
            done.kept.append(film.video_id)
        elif not how.over and spoken.has_subtitles(film.video_id, film.path):
            done.subtitled.append(film.video_id)
        elif not there(film.path):
            done.failed[film.video_id] = f"{shown(film.path)}: is gone; what was heard before stays"
        else:
            todo.append(film)
    return todo


def _step(
    progress: ListenProgress,
    film: FilmToHear,
    store: TranscriptStore,
    how: HowToHear,
    began: float,
    on_progress: Callable[[ListenProgress], None] | None,
) -> Callable[[float], None]:
    """Called with how far a film is heard."""
    before = known(film, store, how)
    last_s = before.until_s if before else 0.0
    base_s = progress.done_s

    def step(until_s: float) -> None:
        nonlocal last_s
        progress.heard_s += until_s - last_s
        last_s = until_s
        progress.done_s = base_s + min(until_s, film.duration_s)
        progress.wall_s = time.monotonic() - began
        progress.current = film.video_id
        if on_progress:
            on_progress(progress)

    return step


def _heard(
    film: FilmToHear,
    listener: Listener,
    store: TranscriptStore,
    how: HowToHear,
    done: Listening,
    step: Callable[[float], None],
) -> Transcript | None:
    """One film, or a line why not."""
    try:
        heard = hear(film, listener, store, how, step)
    except VideoError as error:
        done.failed[film.video_id] = str(error)
        return None
    step(max(film.duration_s, heard.until_s))
    done.heard.append(film.video_id)
    done.notes += _notes(film, heard)
    return heard


def _notes(film: FilmToHear, heard: Transcript) -> list[str]:
    """A line for what somebody may wonder about."""
    name = shown(film.path)
    if heard.silent:
        return [f"{name}: has no sound"]
    if heard.unsure > len(heard.utterances):
        return [
            f"{name}: most of what sounds like speech could not be made out ({heard.unsure} of "
            f"{count(heard.unsure + len(heard.utterances), 'piece')} left out); it may be in another language, or sung"
        ]
    return [] if heard.utterances else [f"{name}: nothing is said in it"]
