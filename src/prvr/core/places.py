"""Where a user's things lie when the user does not say."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import sys
from pathlib import Path


def expanded(path: Path | str) -> Path:
    """A path with the home folder for its ~; as it is where there is no such account, as shells have it."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def data_folder() -> Path:
    """PRVR_DATA, else the platform's place for a user's data."""
    named = os.environ.get("PRVR_DATA")
    if named:
        return Path(named)
    return _place("XDG_DATA_HOME", "share") / "prvr"


def _place(named: str, below: str) -> Path:
    """Where a variable says, or where such things of a user are by themselves."""
    if told := os.environ.get(named):
        return Path(told)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "prvr" / below
    return Path.home() / ".local" / below


def index_folder() -> Path:
    """The index of this user."""
    return data_folder() / "index"


def state_folder() -> Path:
    """What programs of this user keep for each other while they run, beside PRVR_DATA or where the platform has it."""
    named = os.environ.get("PRVR_DATA")
    if named:
        return Path(named) / "state"
    return _place("XDG_STATE_HOME", "state") / "prvr"


def mark_of_place(folder: Path) -> str:
    """What stands for a folder in names of files that lie elsewhere: the same however it is written, 16 digits."""
    return hashlib.sha256(os.fsencode(expanded(folder).resolve())).hexdigest()[:16]


def models_folder() -> Path:
    """The models of this user, a folder each, and which of them is the default."""
    return data_folder() / "models"


def is_loopback(host: str) -> bool:
    """Whether a host name or address leads to this machine only."""
    name = host.strip("[]").lower()
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
