"""A server of this user that holds an index already answers `prvr search` in place of a process of its own.

They meet at a socket in a folder that only this user may look into. A question is one line of JSON, and so is the
answer. Whoever asks needs none of what a search needs: neither torch nor the model is loaded.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prvr.core.errors import QueryError
from prvr.core.places import mark_of_place
from prvr.core.system import MEETING, account, is_open_to_others, is_own
from prvr.search.call import SearchCall, Told

ANSWER_S = 60.0  # that a server has, which may have others to answer first
LONGEST = 90  # bytes of a socket's address: macOS takes 103, Linux 107
MOST = 64 * 2**20  # bytes of an answer


def address(index: Path) -> Path:
    """Where the server of an index listens, wherever it is asked from."""
    name = mark_of_place(index)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime) / "prvr" if runtime else Path(tempfile.gettempdir()) / f"prvr-{account()}"
    if len(os.fsencode(folder)) + len(name) > LONGEST:
        folder = Path("/tmp") / f"prvr-{account()}"  # looked at by `is_ours` before it is used
    return folder / name


def is_ours(folder: Path) -> bool:
    """Whether nobody but this user can have put something into a folder, or look into it."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and is_own(found) and not is_open_to_others(found)


def ask(index: Path, wanted: SearchCall, version: str) -> Told | None:
    """What a server of the same version says; None where there is none, or where it does not know.

    Raises QueryError for what cannot be asked, as it says it.
    """
    place = address(index)
    if MEETING is None or not is_ours(place.parent):
        return None
    try:
        with socket.socket(MEETING, socket.SOCK_STREAM) as calling:
            calling.settimeout(ANSWER_S)
            calling.connect(str(place))
            calling.sendall(line({"version": version, "wanted": asdict(wanted)}))
            answer = read_line(calling)
    except (OSError, ValueError):
        return None
    if "cannot" in answer:
        raise QueryError(answer["cannot"])
    if "text" not in answer:
        return None
    moments = tuple((file, at_s) for file, at_s in answer["moments"])
    return Told(answer["text"], tuple(answer["notes"]), answer["nothing"], moments)


def line(value: dict[str, Any]) -> bytes:
    """A message: one line, as no line ends inside of JSON."""
    return json.dumps(value).encode() + b"\n"


def read_line(calling: socket.socket, most: int = MOST) -> dict[str, Any]:
    """The message that comes. Raises ValueError for what is none, and for one that is too long; OSError."""
    with calling.makefile("rb") as file:
        text = file.readline(most)
    if not text.endswith(b"\n"):
        raise ValueError("a message without an end")
    value = json.loads(text)
    if not isinstance(value, dict):
        raise TypeError("no message")
    return value
