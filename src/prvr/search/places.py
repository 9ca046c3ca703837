"""Where things lie when the user does not say."""

from __future__ import annotations

from pathlib import Path

from prvr.core.places import data_folder
from prvr.index.opening import exists


def index_folder() -> Path:
    """The index of this user."""
    return data_folder() / "index"


def is_index(folder: Path) -> bool:
    """Whether an index lies in a folder, of whatever state."""
    return exists(folder)
