"""Players that open a file at a second, how each is asked to, and which moments were found last."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from prvr.core.errors import QueryError
from prvr.core.files import write_whole
from prvr.core.places import state_folder
from prvr.core.text import count

LAST = "last-search.json"
APPLICATIONS = Path("/Applications")  # of a Mac, where programs need not be on the path

Arguments = Callable[[str], list[str]]
PLAYERS: dict[str, tuple[Arguments, str]] = {
    "mpv": (lambda at_s: [f"--start={at_s}"], "mpv.app/Contents/MacOS/mpv"),
    "vlc": (lambda at_s: [f"--start-time={at_s}"], "VLC.app/Contents/MacOS/VLC"),
    "iina": (lambda at_s: [f"--mpv-start={at_s}"], "IINA.app/Contents/MacOS/iina-cli"),
}
"""By name: the arguments that say the second, and where a Mac has the program. The first that is found is used."""


class FilmPlayer(NamedTuple):
    """A player that is found on this machine."""

    name: str  # of PLAYERS
    program: str
    arguments: Arguments  # that say a second


def players_here() -> list[FilmPlayer]:
    """The players that are found on this machine, the first of PLAYERS first."""
    found = ((name, shutil.which(name) or _application(place), said) for name, (said, place) in PLAYERS.items())
    return [FilmPlayer(name, program, said) for name, program, said in found if program]


def commands(players: Sequence[FilmPlayer], file: Path, at_s: float) -> list[list[str]]:
    """What opens a file at a second, by each of some players; no shell reads it, so nothing is escaped."""
    whole = str(file.absolute())  # begins with /, and so is taken for no option
    at = f"{max(0.0, at_s):.3f}"
    return [[player.program, *player.arguments(at), whole] for player in players]


def remember(moments: Sequence[tuple[str, float]]) -> None:
    """Keep the files and seconds of the last search, by rank, for `prvr open RANK`; what was asked is not kept."""
    with suppress(OSError):  # then they cannot be opened by rank
        state_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(state_folder() / LAST, json.dumps(list(moments)).encode())


def remembered(rank: int) -> tuple[Path, float]:
    """The file and the second of a rank of the last search. Raises QueryError where there is none."""
    try:
        moments = json.loads((state_folder() / LAST).read_bytes())
    except (OSError, ValueError):
        raise QueryError(f"{rank}: there was no search yet; search first, or name a video: `prvr open VIDEO`") from None
    if not 1 <= rank <= len(moments):
        raise QueryError(f"{rank}: the last search found {count(len(moments), 'video')}; give 1 to {len(moments)}")
    file, at_s = moments[rank - 1]
    if not file:
        raise QueryError(f"{rank}: the library has features of this video, but no file")
    return Path(file), float(at_s)


def _application(place: str) -> str | None:
    program = APPLICATIONS / place
    return str(program) if program.is_file() else None
