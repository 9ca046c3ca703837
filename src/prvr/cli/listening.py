"""The verb listen, and the options of speech that index has too."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """listen."""
    listen = verbs.add_parser("listen", help="write down what is said in videos, so that it can be searched")
    listen.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="videos of the index, or folders of them (default: all)"
    )
    index_option(listen)
    listen.add_argument("--json", action="store_true", help="print the result as JSON")
    speech_options(listen)
    listen.add_argument("--replace", action="store_true", help="begin anew where another model has listened")
    listen.add_argument("--threads", type=int, default=0, help="of the processor (default: one a core)")
    device_option(listen)
    listen.set_defaults(run=run_listen, wrong=listen.error)
    listen.description = (
        "Write down what is said in the videos of an index, so that it can be searched. Those with subtitles are left "
        "alone. Nothing leaves this machine. Stop it whenever you like: what was heard stays."
    )
    listen.shows(
        "prvr listen --speech whisper-small          # a model that `prvr models get whisper-small` brought",
        "prvr listen ~/Videos/talks --language de",
    )


def speech_options(parser: Parser | argparse._ArgumentGroup) -> None:
    """What every verb that listens takes."""
    parser.add_argument("--speech", metavar="MODEL", help="a speech model of `prvr models`, a folder, or a hub name")
    parser.add_argument("--language", help="that is spoken, by its code, such as en or de (default: the model tells)")
    parser.add_argument("--audio-track", metavar="TRACK", help="which sound: its number from 1, or its language")
    parser.add_argument("--sentences", metavar="MODEL", help="finds what is said by its meaning (default: things)")
    parser.add_argument("--speech-over", action="store_true", help="listen to videos that have subtitles, too")


def run_listen(args: argparse.Namespace) -> int:
    """What is said, written down."""
    from prvr.core.places import index_folder

    folder = args.index or index_folder()
    if args.threads < 0:
        raise ConfigError(f"--threads {args.threads}: must be 0 or more")
    done = listening(args, folder, args.paths, threads=args.threads, replace=args.replace)
    if args.json:
        emit({"index": str(folder), **vars(done)})
    return told(done, f" --index {folder}" if args.index else "")


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
    for line in done.failed.values():
        say(f"skipped  {line}")
    for line in done.notes:
        say(f"note     {line}")
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
