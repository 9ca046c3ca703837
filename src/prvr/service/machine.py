"""What is asked of the machine itself: its files and what opens them, and memory for a process that runs for weeks."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from prvr.core.errors import VideoError
from prvr.core.places import expanded
from prvr.core.text import path_of
from prvr.search.players import FilmPlayer, commands, players_here

PATIENCE_S = 3.0  # what still runs then has opened a window
NAME, PLACE = "org.freedesktop.FileManager1", "/org/freedesktop/FileManager1"


def has_screen() -> bool:
    """Whether a window can be opened on this machine."""
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def players() -> list[FilmPlayer]:
    """What shows a film here; none on a machine without a screen."""
    return players_here() if has_screen() else []


def play(player: FilmPlayer, file: Path, at_s: float) -> bool:
    """Open a file at a second in a player; whether it took it."""
    return did(commands([player], file, at_s)[0])


def programs(file: Path) -> list[Sequence[str]]:
    """What opens a file manager at a file here, the best first; none on a machine without a screen."""
    if sys.platform == "darwin":
        found: list[Sequence[str]] = [("open", "-R", str(file))]
    elif has_screen():
        uri = file.as_uri()  # quotes, commas and the like are escaped in it
        found = [
            ("dbus-send", "--session", "--print-reply", f"--dest={NAME}", PLACE, f"{NAME}.ShowItems",
             f"array:string:{uri}", "string:"),
            ("gdbus", "call", "--session", "--dest", NAME, "--object-path", PLACE, "--method", f"{NAME}.ShowItems",
             f"['{uri}']", ""),
            ("xdg-open", str(file.parent)),
        ]  # fmt: skip
    else:
        found = []
    return [words for words in found if shutil.which(words[0])]


def show(file: Path) -> bool:
    """Try one after the other; whether one of them did it."""
    return any(map(did, programs(file.resolve())))


def did(words: Sequence[str]) -> bool:
    """Run a program, without a shell, and whether it went well. It may outlive the server."""
    quiet = subprocess.DEVNULL
    try:
        process = subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    except OSError:
        return False
    try:
        return process.wait(PATIENCE_S) == 0
    except subprocess.TimeoutExpired:
        return True


def whole_path(text: str) -> Path:
    """A folder, or a video file, of this machine. Raises VideoError."""
    path = expanded(text)
    if not path.is_absolute():
        raise VideoError(f"{text}: is not a whole path; give one that begins with / or ~")
    try:
        if not path.exists() and path_of(str(path)).exists():  # as lists show a name that is no UTF-8
            path = path_of(str(path))
        if path.exists():
            return path
    except OSError as error:  # a name that is too long, a folder that may not be entered, a loop of links
        raise VideoError(f"{text}: cannot be looked at ({error.strerror}); check the path") from None
    raise VideoError(f"{text}: no such folder or file; check the path")


def spare_memory() -> None:
    """Keep the process as small after ten thousand questions as after a thousand.

    oneDNN compiles for every shape that comes by and would keep 1,024 of them, a fifth of the process; glibc would have
    eight heaps a core, and what a thread freed would stay in its own.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")  # read when the first product is made
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(-8, 2)  # M_ARENA_MAX
