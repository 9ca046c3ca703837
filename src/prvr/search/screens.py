"""What is written on the screens of an index's videos, read: all of them, or those of some folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prvr.core.files import there
from prvr.core.text import count
from prvr.encoders.catalogue import THINGS
from prvr.search.transcribing import WordsProgress, WordsWork, films_of, transcribe
from prvr.speech.store import ON_SCREEN, SpeechHeader, Transcript, TranscriptStore, WantedFilm
from prvr.video.decode import check_sampling
from prvr.video.source import check_there, shown
from prvr.written.reader import ScreenReader
from prvr.written.reading import known, read_screen

UNKNOWN = "PP-OCRv6 does not know: it reads Latin, Greek, Chinese and Japanese ones"


@dataclass(kw_only=True)
class ScreensRead:
    """What a reading of screens did."""

    read: list[str] = field(default_factory=list)  # video ids, now
    kept: list[str] = field(default_factory=list)  # those that were read before
    failed: dict[str, str] = field(default_factory=dict)  # video id -> one line why
    notes: list[str] = field(default_factory=list)  # a line for what could not be made out
    lines: int = 0  # pieces of text that were found now
    film_s: float = 0.0
    wall_s: float = 0.0


def read_screens(
    folder: Path,
    paths: Sequence[Path],
    reader: ScreenReader,
    *,
    rate: float = 1.0,
    replace: bool = False,
    sentences: str = THINGS,
    on_progress: Callable[[WordsProgress], None] | None = None,
) -> ScreensRead:
    """Read the screens of the videos of the index at `folder` that lie below `paths` (all without any).

    `rate`: pictures a second. `replace` begins anew where another model has read. `sentences` names the model by which
    what is written is found by its meaning. One file that cannot be read is one line. Stopped at any moment, what was
    read stays, within a long video as well. Raises IndexFolderError without an index, or for a path that none of its
    videos lies below, FeatureError for what another model has read, ConfigError for a rate that cannot be.
    """
    check_sampling(rate, None)
    check_there(paths)
    done = ScreensRead()
    films, entries = films_of(folder, paths)
    header = SpeechHeader(model=reader.name, revision=reader.revision)
    store = TranscriptStore.create(folder, header, ON_SCREEN, replace=replace)
    with store.writing():
        work = WordsWork(
            entries=entries,
            todo=left_to_read(films, store, rate, done),
            others=done.kept,
            before=lambda film: known(film, store, rate),
            make=lambda film, step: read_screen(film, reader, store, rate, step),
            made=lambda film, made: _note(film, made, done),
            failed=done.failed,
        )
        done.notes += transcribe(folder, work, sentences=sentences, on_progress=on_progress)
        done.film_s, done.wall_s = work.progress.made_s, work.progress.wall_s
    return done


def left_to_read(
    films: Sequence[WantedFilm], store: TranscriptStore, rate: float, done: ScreensRead
) -> list[WantedFilm]:
    """Those that are still to be read; what becomes of the others is noted in `done`."""
    todo = []
    for film in films:
        before = known(film, store, rate)
        if before and before.whole:
            done.kept.append(film.video_id)
        elif not there(film.path):
            done.failed[film.video_id] = f"{shown(film.path)}: is gone; what was read before stays"
        else:
            todo.append(film)
    return todo


def _note(film: WantedFilm, made: Transcript, done: ScreensRead) -> None:
    """What came of one film."""
    done.read.append(film.video_id)
    done.lines += len(made.utterances)
    done.notes += _notes(film, made)


def _notes(film: WantedFilm, made: Transcript) -> list[str]:
    """A line for what somebody may wonder about."""
    lines = sum(len(one.words) for one in made.utterances)
    if made.unsure <= lines:
        return []
    return [
        f"{shown(film.path)}: most of what looks like text could not be made out ({made.unsure} of "
        f"{count(made.unsure + lines, 'line')} left out); it may be in letters that {UNKNOWN}"
    ]
