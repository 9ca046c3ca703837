"""Verbs for a library that keeps itself up to date: watch, service."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import signal
import sys
import time
from pathlib import Path

from prvr.cli.screen import DONE, Parser, device_option, index_option, say, tell
from prvr.core.errors import ConfigError
from prvr.core.places import expanded, index_folder
from prvr.core.text import count

WORDS = {"heard": "listened to", "read": "with the screen read"}  # what a reading says of them, where there are any


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """watch, service."""
    _add_watch(
        verbs.add_parser(
            "watch",
            help="read new and changed videos of folders automatically, until Ctrl-C",
            description="Read folders into the index now, and new and changed videos in them from then on, until "
            "Ctrl-C. They stay watched: `prvr serve` watches them too while it runs.",
        )
    )
    _add_service(
        verbs.add_parser(
            "service",
            help="start the page whenever you log in (systemd)",
            description="Manage a systemd unit of your account that runs `prvr serve` whenever you log in.",
        )
    )


def _add_watch(watch: Parser) -> None:
    watch.add_argument(
        "paths", nargs="*", type=Path, metavar="FOLDER", help="folders to watch from now on, in addition"
    )
    watch.add_argument("--stop", action="store_true", help="stop watching these FOLDERs, or all, and exit")
    watch.add_argument("--list", action="store_true", help="print what is watched, and exit")
    index_option(watch)
    watch.add_argument("--encoder", help="model for a new index: a name of `prvr models`")
    device_option(watch)
    watch.set_defaults(run=run_watch, wrong=watch.error)
    watch.shows("prvr watch ~/Videos", "prvr watch   # what is watched already", "prvr watch --stop ~/Videos")


def _add_service(service: Parser) -> None:
    service.add_argument(
        "what", choices=["install", "remove", "show"], help="`show` prints the unit and changes nothing"
    )
    index_option(service)
    service.add_argument("--port", type=int, default=8765, help="port of the page (default: %(default)s)")
    service.add_argument(
        "--watch",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="read new and changed videos there automatically",
    )
    service.set_defaults(run=run_service)
    service.shows(
        "prvr service install --watch ~/Videos",
        "prvr service show   # the unit, and nothing else",
        "prvr service remove",
    )


def run_watch(args: argparse.Namespace) -> int:
    """Folders that are read as they change."""
    from prvr.search.folders import recall, set_watched
    from prvr.service.keyring import Keyring
    from prvr.service.taking_over import take_over

    folder = take_over(args.index or index_folder())
    paths = [expanded(path).resolve() for path in args.paths]
    watched = [path for path, one in recall(folder).items() if one.watched]
    if args.stop:
        for path in paths or watched:
            if path not in watched:
                raise ConfigError(f"{path}: is not watched; `prvr watch --list` says what is")
            set_watched(folder, path, False)
        say(f"{count(len(paths or watched), 'folder')} not watched any more; the videos stay in the index")
        return DONE
    if args.list:
        for path in watched:
            tell(str(path))
        return DONE
    if running := next(iter(Keyring(folder).running()), None):
        raise ConfigError(f"a server runs over {folder} ({running.url}), which watches; use *Watch* on its page")
    for path in paths:
        if not path.is_dir():
            raise ConfigError(f"{path}: no such folder; check the path")
    if not paths and not watched:
        args.wrong("the following arguments are required: FOLDER (none is watched yet)")
    take_over(folder, paths)
    say(f"Watching {', '.join(map(str, dict.fromkeys((*watched, *paths))))} (Ctrl-C stops)")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asyncio.run(_watching(folder, args.encoder, args.device))
    return DONE


async def _watching(folder: Path, encoder: str | None, device: str) -> None:
    """Until a signal comes. Each reading is a job, in a process of its own, whose memory is given back."""
    from prvr.service import work
    from prvr.service.jobs import Jobs
    from prvr.service.watch import Watch

    jobs = Jobs()

    async def read(path: Path) -> None:
        what = ([path], folder, encoder, device, False, ())
        job = jobs.start("index", work.index_folder, *what, subject=f"index {path}")
        async for _ in jobs.follow(job.id):
            pass
        done = jobs.get(job.id)
        now = time.strftime("%H:%M")
        if done.error:
            say(f"{now}  {path}: {done.error.message}")
        elif done.result:
            problems = done.result["problems"]
            for problem in problems:
                say(f"skipped  {problem['reason']}")
            for note in done.result["notes"]:
                say(f"note     {note}")
            missed = f", {count(len(problems), 'file')} could not be read" if problems else ""
            words = [f", {done.result[how]} {did}" for how, did in WORDS.items() if done.result[how]]
            say(
                f"{now}  {path}: {count(done.result['made'], 'video')} read, {done.result['kept']} unchanged"
                f"{''.join(words)}{missed}"
            )

    watch = Watch(folder, read)
    try:
        await watch.follow()
        await asyncio.Event().wait()
    finally:
        await watch.close()
        jobs.close()


def run_service(args: argparse.Namespace) -> int:
    """A unit of systemd."""
    from prvr.service.unit import NAME, install, remove, unit

    if args.what == "remove":
        say("Stopped, and not started any more" if remove() else "It was not installed")
        return DONE
    for folder in args.watch:
        if not expanded(folder).is_dir():
            raise ConfigError(f"--watch {folder}: no such folder; check the path")
    command = [sys.executable, "-m", "prvr", "serve", "--no-open", "--port", str(args.port)]
    command += ["--index", str(expanded(args.index).absolute())] if args.index else []
    command += [word for folder in args.watch for word in ("--watch", str(expanded(folder).resolve()))]
    text = unit(command)
    if args.what == "show":
        tell(text)
        return DONE
    say(f"Written   {install(text)}")
    again = " ".join(["prvr serve", *([f"--index {shlex.quote(str(args.index))}"] if args.index else []), "--link"])
    say(f"Open      {again} prints an address; what the server says: journalctl --user -u {NAME}")
    say("Also when you are not logged in: loginctl enable-linger")
    return DONE
