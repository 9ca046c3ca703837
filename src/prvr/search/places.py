"""Where things lie when the user does not say."""

from __future__ import annotations

from pathlib import Path

from prvr.core.files import there
from prvr.core.text import path_of
from prvr.index.opening import exists


def is_index(folder: Path) -> bool:
    """Whether an index lies in a folder, of whatever state."""
    return exists(folder)


def root_of(file: Path, video_id: str) -> Path:
    """The folder that the id of a video is counted from; its own where the file was renamed since."""
    parts = path_of(video_id).parts
    return file.parents[len(parts) - 1] if file.parts[-len(parts) :] == parts else file.parent


def locate(folder: Path, path: str) -> Path:
    """`Facts.path` in the index at `folder` -> the file, wherever the folder lies now."""
    file = path_of(path)
    if file.is_absolute():
        return file
    inside = folder / file
    return inside if there(inside) else folder.absolute().parent / file
