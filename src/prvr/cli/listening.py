"""The verb listen, and the options of speech that index has too."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from prvr.cli.screen import (
    DONE,
    FAILED,
    PARTIAL,
    Parser,
    device_option,
    emit,
    index_option,
    say,
    words_bar,
)
from prvr.core.errors import ConfigError
from prvr.core.text import clock, count

if TYPE_CHECKING:
    from prvr.search.listening import Listening
    from prvr.speech.hearing import HowToHear

Made = TypeVar("Made")  # what a reading of words did


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """listen."""
    listen = verbs.add_parser("listen", help="make speech searchable, by transcribing it")
    which_options(listen)
    speech_options(listen.add_argument_group("what is heard, and how"))
    how_options(listen, anew="another model has listened")
    device_option(listen)
    listen.set_defaults(run=run_listen, wrong=listen.error)
    listen.description = (
        "Transcribe the speech in the videos of an index, so that it can be searched. Those with subtitles are "
        "skipped. Nothing leaves this machine. You can stop it at any time: what was heard stays."
    )
    listen.shows(
        "prvr listen --speech whisper-small          # a model that `prvr models get whisper-small` brought",
        "prvr listen ~/Videos/talks --language de",
    )


def which_options(verb: Parser) -> None:
    """Which videos, of every verb that writes down words."""
    verb.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="videos of the index, or folders of them (default: all)"
    )
    index_option(verb)
    verb.add_argument("--json", action="store_true", help="print the result as JSON")


def how_options(verb: Parser, *, anew: str) -> None:
    """How they are read, of the same verbs; `anew` says where --replace begins anew."""
    verb.add_argument("--replace", action="store_true", help=f"start again if {anew}")
    verb.add_argument("--threads", type=int, default=0, help="processor threads (default: one per core)")


def run_words(args: argparse.Namespace, make: Callable[[Path], Made], tell: Callable[[Made, str], int]) -> int:
    """Write down words, and say what came of it; -> the exit code. Raises ConfigError for --threads below 0."""
    from prvr.core.places import index_folder

    folder = args.index or index_folder()
    if args.threads < 0:
        raise ConfigError(f"--threads {args.threads}: must be 0 or more")
    done = make(folder)
    if args.json:
        emit({"index": str(folder), **vars(done)})
    return tell(done, f" --index {folder}" if args.index else "")


def tell_problems(failed: Mapping[str, str], notes: Sequence[str]) -> None:
    """What could not be written down, and what somebody may wonder about, a line each."""
    for line in failed.values():
        say(f"skipped  {line}")
    for line in notes:
        say(f"note     {line}")


def speech_options(parser: Parser | argparse._ArgumentGroup) -> None:
    """What every verb that listens takes."""
    parser.add_argument("--speech", metavar="MODEL", help="a speech model of `prvr models`, a folder, or a hub name")
    parser.add_argument("--language", help="language code, such as en or de (default: detected)")
    parser.add_argument("--audio-track", metavar="TRACK", help="sound track: its number from 1, or its language")
    parser.add_argument("--sentences", metavar="MODEL", help="model that finds speech by its meaning (default: things)")
    parser.add_argument("--speech-over", action="store_true", help="listen to videos that have subtitles, too")


def run_listen(args: argparse.Namespace) -> int:
    """What is said, written down."""
    return run_words(
        args,
        lambda folder: listening(args, folder, args.paths, threads=args.threads, replace=args.replace),
        told,
    )


def check_speech(args: argparse.Namespace) -> None:
    """Raises ConfigError for options of speech that stand alone."""
    names = {"--language": args.language, "--audio-track": args.audio_track, "--speech-over": args.speech_over}
    names["--sentences"] = args.sentences and not args.text
    alone = next((name for name, value in names.items() if value), None)
    if alone and not args.speech:
        raise ConfigError(f"{alone}: is about listening; add --speech MODEL (`prvr models` names those that hear)")


def listening(
    args: argparse.Namespace, folder: Path, paths: Sequence[Path], *, threads: int = 0, replace: bool = False
) -> Listening:
    """Listen as the options say, with the model that has listened before where none is named."""
    from prvr.search.listening import listen_to
    from prvr.speech.models import load_listener
    from prvr.speech.store import TranscriptStore

    before = TranscriptStore.open(folder)
    name = args.speech or (before.header.model if before else "")
    if not name:
        raise ConfigError(
            "--speech: name the model that listens, such as `--speech whisper-small` (`prvr models get whisper-small` "
            "fetches it), or give a folder"
        )
    listener = load_listener(name, device=args.device, threads=threads, fetching=bool(args.speech))
    say(f"Speech by {listener.name}@{listener.revision[:12]}, {count(len(listener.languages), 'language')}")
    with words_bar("Listening") as show:
        return listen_to(
            folder,
            paths,
            listener,
            how=_how(args),
            replace=replace,
            sentences=args.sentences or "things",
            on_progress=show,
        )


def listen_too(args: argparse.Namespace, folder: Path, code: int) -> int:
    """Listen to what `prvr index` has just read; -> the exit code of both."""
    done = listening(args, folder, [path for path in args.paths if path.exists()])
    return max(code, told(done, f" --index {folder}" if args.index else ""))


def told(done: Listening, here: str) -> int:
    """Say what was heard; -> the exit code."""
    tell_problems(done.failed, done.notes)
    speed = f" ({clock(done.sound_s)} of sound, {done.sound_s / done.wall_s:.1f} x realtime)" if done.sound_s else ""
    subtitled = f", {len(done.subtitled)} left alone, for they have subtitles (--speech-over)" if done.subtitled else ""
    skipped = f", {len(done.failed)} could not be heard" if done.failed else ""
    say(f"{count(len(done.heard), 'video')} heard now{speed}, {len(done.kept)} before{subtitled}{skipped}")
    if done.heard:
        say(f"Next: prvr search 'said:\"what somebody says in it\"'{here}")
    if done.failed:
        return PARTIAL if done.heard or done.kept or done.subtitled else FAILED
    return DONE


def _how(args: argparse.Namespace) -> HowToHear:
    from prvr.speech.hearing import HowToHear

    language = args.language.lower() if args.language else None
    return HowToHear(language=language, track=args.audio_track, over=args.speech_over)
