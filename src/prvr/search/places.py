"""Where things lie when the user does not say."""

from __future__ import annotations

import os
from pathlib import Path

from prvr.core.files import there
from prvr.index.opening import exists


def data_folder() -> Path:
    """PRVR_DATA, else the platform's place for a user's data."""
    named = os.environ.get("PRVR_DATA")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "prvr"


def index_folder() -> Path:
    """The index of this user."""
    return data_folder() / "index"


def is_index(folder: Path) -> bool:
    """Whether an index lies in a folder, of whatever state."""
    return exists(folder)


def locate(folder: Path, path: str) -> Path:
    """`Facts.path` in the index at `folder` -> the file, wherever the folder lies now."""
    inside = folder / path
    return inside if there(inside) else folder.absolute().parent / path
