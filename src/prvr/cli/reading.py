"""The verb read, and the options of words that index has too."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prvr.cli.listening import (
    check_speech,
    how_options,
    listen_too,
    run_words,
    speech_options,
    tell_problems,
    which_options,
)
from prvr.cli.screen import DONE, FAILED, PARTIAL, Parser, say, words_bar
from prvr.core.places import expanded
from prvr.core.text import clock, count

if TYPE_CHECKING:
    from prvr.search.screens import ScreensRead


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """read."""
    read = verbs.add_parser("read", help="make text on the screen searchable")
    which_options(read)
    read.add_argument("--rate", type=float, default=1.0, help="pictures a second (default: %(default)s)")
    read.add_argument("--sentences", metavar="MODEL", help="model that finds text by its meaning (default: things)")
    how_options(read, anew="another version has read")
    read.set_defaults(run=run_read, wrong=read.error)
    read.description = (
        "Read the text on the screen in the videos of an index, so that it can be searched. Nothing "
        "leaves this machine. You can stop it at any time: what was read stays."
    )
    read.shows("prvr read                        # all videos of the index", "prvr read ~/Videos/talks --rate 2")


def run_read(args: argparse.Namespace) -> int:
    """What is on the screen, written down."""
    return run_words(
        args,
        lambda folder: _reading(args, folder, args.paths, threads=args.threads, replace=args.replace, rate=args.rate),
        _told,
    )


def words_options(index: argparse._ArgumentGroup) -> None:
    """What `prvr index` takes to listen and to read, too."""
    speech_options(index)
    index.add_argument("--text", action="store_true", help="read text on the screen too, one picture a second")


def check_words(args: argparse.Namespace) -> None:
    """Before anything is read: raises ConfigError for options that stand alone, EncoderError where a package lacks."""
    check_speech(args)
    if args.text:
        from prvr.written.reader import models_folder

        models_folder()


def words_too(args: argparse.Namespace, folder: Path, code: int) -> int:
    """Listen to what `prvr index` has just read, and read its screens, where asked; -> the exit code of all.

    Watched folders and those that the page reads again have the same words from now on.
    """
    from prvr.search.folders import WordsWanted, note_words

    speech = args.speech or ""
    if speech and expanded(speech).is_dir():
        speech = str(expanded(speech).resolve())
    language, track, over = args.language, args.audio_track, args.speech_over
    words = WordsWanted(speech=speech, language=language, track=track, over=over, text=args.text)
    if code != FAILED:
        note_words(folder, args.paths, replace(words, sentences=args.sentences or words.sentences))
    if args.speech and code != FAILED:
        code = listen_too(args, folder, code)
    return _read_too(args, folder, code) if args.text and code != FAILED else code


def _read_too(args: argparse.Namespace, folder: Path, code: int) -> int:
    done = _reading(args, folder, [path for path in args.paths if path.exists()], rate=1.0)
    return max(code, _told(done, f" --index {folder}" if args.index else ""))


def _reading(
    args: argparse.Namespace,
    folder: Path,
    paths: Sequence[Path],
    *,
    rate: float,
    threads: int = 0,
    replace: bool = False,
) -> ScreensRead:
    from prvr.search.screens import read_screens
    from prvr.written.reader import ScreenReader

    reader = ScreenReader(threads=threads)
    with words_bar("Reading the screen") as show:
        sentences = args.sentences or "things"
        return read_screens(folder, paths, reader, rate=rate, replace=replace, sentences=sentences, on_progress=show)


def _told(done: ScreensRead, here: str) -> int:
    """Say what was read; -> the exit code."""
    tell_problems(done.failed, done.notes)
    found = f" ({count(done.lines, 'piece')} of text in {clock(done.film_s)})" if done.film_s else ""
    skipped = f", {len(done.failed)} could not be read" if done.failed else ""
    say(f"Screens of {count(len(done.read), 'video')} read now{found}, {len(done.kept)} before{skipped}")
    if done.lines:
        say(f"Next: prvr search 'written:\"what is written in it\"'{here}")
    if done.failed:
        return PARTIAL if done.read or done.kept else FAILED
    return DONE
