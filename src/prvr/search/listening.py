"""The videos of an index listened to: those that have no subtitles, or all of some folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prvr.core.files import there
from prvr.core.text import count
from prvr.encoders.catalogue import THINGS
from prvr.search.spoken import Spoken
from prvr.search.transcribing import WordsProgress, WordsWork, films_of, transcribe
from prvr.speech.hearing import HowToHear, hear, known
from prvr.speech.listen import Listener
from prvr.speech.store import SpeechHeader, Transcript, TranscriptStore, WantedFilm
from prvr.video.source import check_there, shown


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
    on_progress: Callable[[WordsProgress], None] | None = None,
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
    films, entries = films_of(folder, paths)
    header = SpeechHeader(model=listener.name, revision=listener.revision)
    store = TranscriptStore.create(folder, header, replace=replace)
    with store.writing():
        todo = left_to_hear(folder, films, store, how, done)
        work = WordsWork(
            entries=entries,
            todo=todo,
            others=(*done.kept, *done.subtitled),
            before=lambda film: known(film, store, how),
            make=lambda film, step: hear(film, listener, store, how, step),
            made=lambda film, heard: _note(film, heard, done),
            failed=done.failed,
        )
        done.notes += transcribe(folder, work, sentences=sentences, on_progress=on_progress)
        done.sound_s, done.wall_s = work.progress.made_s, work.progress.wall_s
    done.notes = list(dict.fromkeys(done.notes))
    return done


def left_to_hear(
    folder: Path, films: Sequence[WantedFilm], store: TranscriptStore, how: HowToHear, done: Listening
) -> list[WantedFilm]:
    """Those that are still to be heard; what becomes of the others is noted in `done`."""
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


def _note(film: WantedFilm, heard: Transcript, done: Listening) -> None:
    """What came of one film."""
    done.heard.append(film.video_id)
    done.notes += _notes(film, heard)


def _notes(film: WantedFilm, heard: Transcript) -> list[str]:
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
