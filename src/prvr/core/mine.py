"""Which folders are this account's own, made on this machine: only those are believed what could do harm.

A folder travels; what it says of itself can be said by anybody. So a folder of ours carries a mark that only this
account can make: a keyed hash of where it lies. One that was moved is known by its inode, one on a drive that came
back by its path; a copy is nobody's until somebody takes it over.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from contextlib import suppress
from pathlib import Path

from prvr.core.files import write_whole
from prvr.core.places import data_folder

MARK = ".mine"
SECRET = "secret"  # in the user's data folder


def is_mine(folder: Path) -> bool:
    """Whether the mark of a folder is of this account, and of this folder."""
    try:
        said = (folder / MARK).read_text(encoding="ascii").split()
        ours = _marks(folder, _secret())
    except (OSError, ValueError):
        return False
    return any(hmac.compare_digest(one, other) for one in said for other in ours)


def make_mine(folder: Path) -> None:
    """Mark a folder as one of this account. Raises OSError."""
    write_whole(folder / MARK, "\n".join(_marks(folder, _secret())).encode())


def _marks(folder: Path, secret: bytes) -> list[str]:
    """What stands for the place of a folder, and for the folder itself wherever it is moved to."""
    place = folder.resolve()
    texts = (f"path {place}", f"inode {place.stat().st_ino}")
    return [hmac.new(secret, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest() for text in texts]


def _secret() -> bytes:
    """Known to this account alone; made when it is first needed. Raises OSError."""
    place = data_folder() / SECRET
    with suppress(FileNotFoundError):
        return place.read_bytes()
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(place, secrets.token_bytes(32))
    place.chmod(0o600)
    return place.read_bytes()
