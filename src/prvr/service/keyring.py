"""What a user keeps of the servers over one index: the token, the sessions, and which of them run now.

It lies in the user's own state folder, under a name that follows from where the index lies, and nobody else may look
into it. Nothing of it is ever read from the index, which may come from somebody else.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prvr.core.errors import ConfigError
from prvr.core.files import half_written, own_folder, write_whole
from prvr.core.places import expanded, mark_of_place, state_folder
from prvr.core.system import is_own, locked
from prvr.service.sessions import Sessions

TOKEN, SESSIONS = "token", "sessions.db"
RUNNING = ".running"  # ends the names of files that servers hold locked as long as they run
SHORTEST = 16  # letters of a token


class Running(NamedTuple):
    """A server that runs now."""

    url: str  # of the library
    doors: Path  # the keyring whose links open it, which is that of its first library


class Keyring:
    """What is kept of the servers over the index at one folder."""

    def __init__(self, folder: Path) -> None:
        name = re.sub(r"[^\w-]+", "-", expanded(folder).resolve().name, flags=re.ASCII).strip("-")[:30]
        self.place = state_folder() / "serve" / f"{name}-{mark_of_place(folder)}"
        self.unfinished = self.place / "jobs.json"  # what was asked for and has not ended

    def token(self, *, new: bool = False) -> str:
        """The token that programs send, made where there is none; a `new` one ends every session.

        Raises ConfigError where it cannot be kept.
        """
        file = self.place / TOKEN
        try:
            self._own()
            if not new and file.exists():
                kept = file.read_text(encoding="ascii").strip()
                if len(kept) >= SHORTEST:
                    return kept
            made = secrets.token_urlsafe(24)
            write_whole(file, f"{made}\n".encode())
            file.chmod(0o600)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{file}: cannot be kept or read ({error}); check the folder, or name another by XDG_STATE_HOME"
            ) from error
        with contextlib.closing(self.sessions()) as sessions:
            sessions.end()
        return made

    def sessions(self) -> Sessions:
        """The links and sessions. Raises SessionsUnusable where they cannot be kept."""
        with contextlib.suppress(OSError):  # `Sessions` says it
            self._own()
        return Sessions(self.place / SESSIONS)

    @contextlib.contextmanager
    def announced(self, url: str, doors: Path) -> Iterator[None]:
        """Inside, others of this user find a server at its address. One that is killed is not found any more."""
        self._own()
        file = self.place / f"{os.getpid()}-{secrets.token_hex(4)}{RUNNING}"
        part = file if sys.platform == "win32" else half_written(file)  # there nobody can take away what is open
        try:
            with part.open("w", encoding="utf-8") as held:
                part.chmod(0o600)
                locked(held)  # before it has its name: what is not locked is taken for dead
                json.dump({"url": url, "doors": str(doors)}, held)
                held.flush()
                part.replace(file)
                yield
        finally:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)

    def running(self) -> list[Running]:
        """The servers over this index that run now, the latest first."""
        found = []
        for file in self.place.glob(f"*{RUNNING}"):
            with contextlib.suppress(OSError):
                with file.open(encoding="utf-8") as held:
                    dead = locked(held, shared=True)
                    if not dead:
                        since = file.stat().st_mtime_ns
                        with contextlib.suppress(ValueError, KeyError, TypeError):
                            said = json.load(held)
                            found.append((since, Running(said["url"], Path(said["doors"]))))
                if dead:
                    file.unlink()
        return [one for _, one in sorted(found, reverse=True)]

    def _own(self) -> None:
        """Make the folder. Raises OSError, and ConfigError where it is somebody else's."""
        own_folder(self.place.parent)  # whose names say which libraries there are
        own_folder(self.place)
        if not is_own(self.place.stat()):
            raise ConfigError(f"{self.place}: belongs to another account; name a folder of your own by XDG_STATE_HOME")
