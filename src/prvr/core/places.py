"""Where a user's things lie when the user does not say."""

from __future__ import annotations

import os
from pathlib import Path


def data_folder() -> Path:
    """PRVR_DATA, else the platform's place for a user's data."""
    named = os.environ.get("PRVR_DATA")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "prvr"


def index_folder() -> Path:
    """The index of this user."""
    return data_folder() / "index"


def models_folder() -> Path:
    """The models of this user, a folder each, and which of them is the default."""
    return data_folder() / "models"
