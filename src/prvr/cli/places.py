"""Verbs of places in films: locate finds that of a clip, open shows one in a player."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from prvr.cli.screen import DONE, NONE, Parser, emit, index_option, opening_options, say, tell
from prvr.core.errors import ConfigError, QueryError
from prvr.core.places import expanded, index_folder
from prvr.core.text import clock, one_line, text_of

if TYPE_CHECKING:
    from prvr.search.origin import Origins


def add_verbs(verbs: argparse._SubParsersAction[Parser]) -> None:
    """locate, open."""
    _add_open(verbs)
    locate = verbs.add_parser(
        "locate",
        help="find the film that a clip or a picture comes from",
        description="Find the film of the library that a clip or a picture comes from, and the second in it, even if "
        "it was encoded again, scaled, mirrored or cropped by up to a quarter of each side. The first 20 seconds of a "
        "clip are looked at.",
    )
    locate.add_argument("file", type=Path, metavar="FILE", help="a clip, or a picture")
    index_option(locate)
    locate.add_argument("--json", action="store_true", help="print JSON: the places, best first, and what is unseen")
    locate.add_argument("--fail-if-none", action="store_true", help="exit with 4 if it is from none of the films")
    opening_options(locate)
    locate.set_defaults(run=run_locate)
    locate.shows("prvr locate clip.mp4", "prvr locate frame.jpg --json")


def _add_open(verbs: argparse._SubParsersAction[Parser]) -> None:
    shown = verbs.add_parser(
        "open",
        help="play a result, or any second of a video, in mpv, VLC or IINA",
        description="Play a result of the last search by its rank, or any second of a video, in the first "
        "of mpv, VLC and IINA that is installed.",
    )
    shown.add_argument("what", metavar="RANK|VIDEO", help="a rank of the last search, or a video by id, path or name")
    shown.add_argument("--at", type=float, metavar="SECONDS", help="where to begin (default: the moment, or the start)")
    index_option(shown)
    shown.set_defaults(run=run_open)
    shown.shows("prvr open 1", "prvr open holiday.mp4 --at 93.5")


def run_open(args: argparse.Namespace) -> int:
    """A second of a video in a player."""
    from prvr.search.players import PLAYERS, commands, players_here, remembered
    from prvr.service.machine import did
    from prvr.video.source import check_there

    if args.what.isdecimal():
        file, at_s = remembered(int(args.what))
    else:
        file, at_s = _file_of(args.index or index_folder(), args.what), 0.0
    at_s = at_s if args.at is None else args.at
    if not 0 <= at_s < float("inf"):
        raise ConfigError(f"--at {at_s:g}: give seconds from the start of the video, 0 or more")
    check_there([file])
    ready = commands(players_here(), file, at_s)
    if not ready:
        raise ConfigError(f"no player was found; install one of {', '.join(PLAYERS)}, or put it on the PATH")
    used = next(filter(did, ready), None)
    if used is None:
        raise ConfigError(f"{ready[0][0]}: does not show {text_of(file)}; try it in a terminal: {shlex.join(ready[0])}")
    say(f"{one_line(text_of(file))} at {clock(at_s)} in {Path(used[0]).name}")
    return DONE


def _file_of(folder: Path, name: str) -> Path:
    """The file of a video of the library. Raises IndexFolderError, QueryError."""
    from prvr.search.shelf import chosen, videos_of

    videos = chosen(videos_of(folder), [name])
    if len(videos) > 1:
        raise QueryError(f"{name}: {len(videos)} videos have this name; give the path of one")
    if videos[0].path is None:
        raise QueryError(f"{name}: the library has features of this video, but no file")
    return videos[0].path


def run_locate(args: argparse.Namespace) -> int:
    """A clip or a picture to its place in a film."""
    from prvr.search.engine import SearchEngine
    from prvr.search.origin import find_origin

    engine = SearchEngine.open(args.index or index_folder(), encoder=args.encoder, device=args.device)
    traced = find_origin(engine, expanded(args.file))
    if args.json:
        emit(traced.as_dict())
    else:
        tell(_places(traced))
    for video_id, reason in traced.unseen.items():
        say(f"{video_id}: {reason}")
    return NONE if args.fail_if_none and not traced.origins else DONE


def _places(traced: Origins) -> str:
    """The table, or the line that there is nothing to put into it."""
    if not traced.origins:
        return "From none of the films that could be looked at." if traced.unseen else "From none of these films."
    rows = [" #  alike   from                   video"]
    for rank, one in enumerate(traced.origins, 1):
        span = f"{clock(one.start_s)} - {clock(one.end_s)}"
        mirrored = "  (mirrored)" if one.mirrored else ""
        rows.append(f"{rank:2}  {one.alike:5.2f}   {span:<21}  {one_line(one.video)}{mirrored}")
    return "\n".join(rows)
