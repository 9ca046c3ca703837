"""What was asked of a server and had not ended when the server did: a small file, written whole, read as data.

It lies with what the user keeps of the servers over an index, never in the index itself, which may come from somebody
else. Asked for again, a job is judged as if it were asked for the first time.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from prvr.core.files import own_folder, write_whole

MOST, LARGEST = 200, 4_000_000  # jobs that are read, bytes of the file

Kind = Literal["index", "proxy", "export", "model"]
Asked = Mapping[str, Any]  # {"route": ..., ...}: what was asked, as the API takes it
log = logging.getLogger(__name__)


class Unfinished(NamedTuple):
    """One job that did not end."""

    id: str
    kind: Kind
    about: str
    created_at: float  # unix seconds
    asked: Asked


def keep_jobs(place: Path, jobs: Sequence[Unfinished]) -> None:
    """Write down what has not ended. A disk that is full is said in the log: jobs go on without it."""
    try:
        own_folder(place.parent)
        write_whole(place, json.dumps([one._asdict() for one in jobs]).encode())
        place.chmod(0o600)
    except OSError as error:
        log.warning("%s: cannot be written (%s); what runs now is not known after a restart", place, error.strerror)


def kept_jobs(place: Path | None) -> list[Unfinished]:
    """What had not ended. A file that cannot be read, or is none of ours, is said in the log and passed over."""
    if place is None or not place.is_file():
        return []
    try:
        with place.open("rb") as file:
            said = json.loads(file.read(LARGEST))
        return [_one(entry) for entry in said[:MOST]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        log.warning("%s: does not say what was broken off (%s); it is passed over", place, error)
        return []


def _one(entry: Mapping[str, Any]) -> Unfinished:
    """One of them. Raises ValueError, KeyError or TypeError."""
    found = Unfinished(**entry)
    whole = re.fullmatch("[0-9a-f]{32}", found.id) and found.kind in get_args(Kind) and isinstance(found.asked, dict)
    if not whole or not isinstance(found.about, str) or not isinstance(found.created_at, (int, float)):
        raise ValueError(f"{str(entry)[:80]!r} is no job")
    return found
