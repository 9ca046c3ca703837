"""What a server does not believe of an index that somebody else made, or that was copied: what lies in its `serve/`.

What was found out about files, pictures and copies of them, the token of earlier versions: all of it is put aside once,
and made again. Nor is a folder watched because a folder says so.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from prvr.core.errors import ConfigError
from prvr.core.files import own_folder
from prvr.core.mine import MARK, is_mine, make_mine
from prvr.search.folders import set_watched, unwatch

ASIDE = "serve-of-others-"

log = logging.getLogger(__name__)


def take_over(folder: Path, watch: Sequence[Path] = ()) -> Path:
    """Make an index folder this account's own, once; -> it.

    `watch` are folders that are watched for it from now on; then it need not be there yet. Raises ConfigError where
    what is not believed stays, IndexFolderError where it cannot be written down what is watched.
    """
    if watch:
        with suppress(OSError):  # which `set_watched` says
            folder.mkdir(parents=True, exist_ok=True)
    if folder.is_dir() and not is_mine(folder):
        _put_aside(folder)
    for path in watch:
        set_watched(folder, path, True)
    return folder


def _put_aside(folder: Path) -> None:
    served = folder / "serve"
    try:
        if served.exists() or served.is_symlink():
            aside = folder / f"{ASIDE}{uuid4().hex[:8]}"
            served.rename(aside)
            log.warning("%s: was served by somebody else, or elsewhere; that is put aside as %s", folder, aside.name)
        if unwatched := unwatch(folder):
            names = ", ".join(map(str, unwatched))
            log.warning("%s: is of somebody else, or a copy, so nothing is watched for it any more: %s", folder, names)
        make_mine(folder)
    except OSError as error:
        if served.exists():
            raise ConfigError(
                f"{served}: is not of this account, and cannot be put aside ({error.strerror}); copy the index to a "
                "folder of yours, without serve/"
            ) from error


def room_for_serving(folder: Path) -> None:
    """Make `serve/` in an index folder, for this account alone; the folder is its own from then on. Raises OSError."""
    own_folder(folder / "serve")
    if not (folder / MARK).exists():  # it was not there yet when the server started
        make_mine(folder)
