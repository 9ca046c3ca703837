"""Words made again: folders that were indexed with them are listened to, and their screens read, whenever they change.

`folders.json` says which folders these are, and how. What has been made before is not made again, and where there is
nothing to do no model is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from prvr.core.errors import PrvrError
from prvr.search.folders import WordsWanted, recall
from prvr.search.listening import Listening, left_to_hear, listen_to
from prvr.search.screens import ScreensRead, left_to_read, read_screens
from prvr.search.transcribing import WordsProgress, films_of
from prvr.speech.hearing import HowToHear
from prvr.speech.models import load_listener
from prvr.speech.store import ON_SCREEN, TranscriptStore

RATE = 1.0  # pictures a second, as `prvr index --text` reads
How = Literal["speech", "text"]
OnWords = Callable[[How, WordsProgress], None]


@dataclass(kw_only=True)
class WordsMade:
    """What was done."""

    heard: int = 0  # videos, now
    read: int = 0
    failed: dict[str, str] = field(default_factory=dict)  # video id -> one line why
    notes: list[str] = field(default_factory=list)


def words_again(
    folder: Path, paths: Sequence[Path], *, device: str = "auto", on_progress: OnWords | None = None
) -> WordsMade:
    """Make the words that are wanted of videos below some paths of the index at `folder`, of all its folders for none.

    Nothing is fetched. What is in the way of it all, such as a model that is gone, is a line among the notes.
    """
    done = WordsMade()
    for path, wanted in _wanted(folder, [path.resolve() for path in paths]).items():
        try:
            if wanted.speech:
                _listen(folder, path, wanted, device, done, on_progress)
            if wanted.text:
                _read(folder, path, wanted, done, on_progress)
        except PrvrError as error:
            done.notes.append(f"{path}: its words could not be made ({error})")
    return done


def _wanted(folder: Path, paths: Sequence[Path]) -> dict[Path, WordsWanted]:
    """Where words are wanted: each path as the deepest folder says that it lies in; for no paths, every folder."""
    known = {path: one.words for path, one in recall(folder).items() if one.words.any}
    if not paths:
        return {path: words for path, words in known.items() if path.is_dir()}
    inside = ((path, next((one for one in (path, *path.parents) if one in known), None)) for path in paths)
    return {path: known[one] for path, one in inside if one is not None}


def _listen(
    folder: Path, path: Path, wanted: WordsWanted, device: str, done: WordsMade, on_progress: OnWords | None
) -> None:
    how = HowToHear(language=wanted.language, track=wanted.track, over=wanted.over)
    store, films = TranscriptStore.open(folder), films_of(folder, [path])[0]
    if store is None or not left_to_hear(folder, films, store, how, Listening()):
        return
    made = listen_to(
        folder,
        [path],
        load_listener(store.header.model, device=device, fetching=False),
        how=how,
        sentences=wanted.sentences,
        on_progress=on_progress and (lambda now: on_progress("speech", now)),
    )
    done.heard += len(made.heard)
    done.failed |= made.failed
    done.notes += made.notes


def _read(folder: Path, path: Path, wanted: WordsWanted, done: WordsMade, on_progress: OnWords | None) -> None:
    store, films = TranscriptStore.open(folder, ON_SCREEN), films_of(folder, [path])[0]
    if store is None or not left_to_read(films, store, RATE, ScreensRead()):
        return
    from prvr.written.reader import ScreenReader

    made = read_screens(
        folder,
        [path],
        ScreenReader(),
        rate=RATE,
        sentences=wanted.sentences,
        on_progress=on_progress and (lambda now: on_progress("text", now)),
    )
    done.read += len(made.read)
    done.failed |= made.failed
    done.notes += made.notes
