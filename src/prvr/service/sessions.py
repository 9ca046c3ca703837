"""Who has been let in: links that open once, and the sessions that they open, of browsers mostly.

One small database, which this user alone may read, is the whole of it. A server and the command line look at the same
one, so that a session which is ended is over at the next request, and a link that is made anywhere opens. Of what
opens, digests are kept and nothing else. Without a place all of it is in memory, and ends with the server.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from prvr.core.errors import PrvrError
from prvr.core.files import own_folder
from prvr.core.system import open_no_link

DAYS = 30  # without a request, after which a session is over
LINK_DAYS = 7  # a link that nobody opened
NOTED_S = 60.0  # between two notes of when a session was used last
MOST = 1000  # sessions; the one that was not used for longest makes room
BUSY_S = 2.0  # that is waited for another process
TABLES = """
CREATE TABLE IF NOT EXISTS links (digest TEXT PRIMARY KEY, made_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (digest TEXT PRIMARY KEY, made_at REAL NOT NULL, used_at REAL NOT NULL,
  address TEXT NOT NULL, browser TEXT NOT NULL, token TEXT NOT NULL);
"""
BROWSERS = ("Edg", "OPR", "Firefox", "Chrome", "Safari")  # in this order: each pretends to be those after it
CALLED = {"Edg": "Edge", "OPR": "Opera", "Chrome": "Chrome or Chromium"}
SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS X", "CrOS", "Linux")
KNOWN_AS = {"Mac OS X": "macOS", "CrOS": "ChromeOS"}


class SessionsUnusable(PrvrError):
    """What is kept of sessions can be neither read nor written."""


class Session(NamedTuple):
    """One browser, or another program that keeps cookies, that was let in."""

    id: str  # the first letters of what is kept of its secret
    made_at: float  # unix seconds
    used_at: float  # to the minute
    address: str  # it was last seen at
    browser: str  # what it says of itself


class Sessions:
    """The links and sessions of the servers over one index."""

    def __init__(self, place: Path | None = None, *, token: str = "") -> None:
        """`place` is the database, made where it is missing; sessions hold as long as the server's `token` is the same.

        That is its digest. Raises SessionsUnusable where the database cannot be made or read.
        """
        self._place, self._token = place, token
        try:
            self._base = self._opened()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) or place is None:
                raise self._unkept(error) from error
            place.unlink()  # damaged: everybody needs another link, which is all that is lost
            self._base = self._opened()
        except OSError as error:
            raise self._unkept(error) from error

    def invite(self) -> str:
        """What a link says to open once. Raises SessionsUnusable where it cannot be kept."""
        made = secrets.token_urlsafe(24)
        with self._changing() as base:
            base.execute("DELETE FROM links WHERE made_at < ?", (time.time() - LINK_DAYS * 86_400,))
            base.execute("INSERT INTO links VALUES (?, ?)", (digest_of(made), time.time()))
        return made

    def spend(self, link: str) -> bool:
        """Whether a link opens; it never does again. Of two who come at the same time one is let in."""
        oldest = time.time() - LINK_DAYS * 86_400
        with self._changing() as base:
            spent = base.execute("DELETE FROM links WHERE digest = ? AND made_at >= ?", (digest_of(link), oldest))
        return spent.rowcount > 0

    def begin(self, *, address: str, agent: str) -> str:
        """The secret of a new session, for a client at an address that calls itself `agent`."""
        secret, now = secrets.token_urlsafe(32), time.time()
        kept = (digest_of(secret), now, now, address, browser_of(agent), self._token)
        with self._changing() as base:
            base.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?)", kept)
            base.execute("DELETE FROM sessions WHERE used_at < ?", (now - DAYS * 86_400,))
            oldest = "SELECT digest FROM sessions ORDER BY used_at DESC LIMIT -1 OFFSET ?"
            base.execute(f"DELETE FROM sessions WHERE digest IN ({oldest})", (MOST,))
        return secret

    def holds(self, secret: str, address: str) -> str | None:
        """The digest of the session that a secret belongs to; None where there is none any more."""
        digest, now = digest_of(secret), time.time()
        rows = self._read("SELECT used_at FROM sessions WHERE digest = ? AND token = ?", (digest, self._token))
        used_at = rows[0][0] if rows else None
        if used_at is None or used_at < now - DAYS * 86_400:
            return None
        if not 0 <= now - used_at < NOTED_S:
            with contextlib.suppress(SessionsUnusable), self._changing() as base:  # a full disk keeps nobody out
                base.execute("UPDATE sessions SET used_at = ?, address = ? WHERE digest = ?", (now, address, digest))
        return digest

    def lasts(self, digest: str) -> bool:
        """Whether a session was not ended meanwhile."""
        return bool(self._read("SELECT 1 FROM sessions WHERE digest = ?", (digest,)))

    def listed(self) -> list[Session]:
        """All of them, the one that was used last first."""
        rows = self._read("SELECT digest, made_at, used_at, address, browser FROM sessions ORDER BY used_at DESC")
        oldest = time.time() - DAYS * 86_400
        return [Session(row[0][:8], *row[1:]) for row in rows if row[2] >= oldest]

    def end(self, named: str | None = None) -> int:
        """End the sessions whose id begins so, or all of them and every link that was not opened; -> how many ended."""
        with self._changing() as base:
            if named is not None:
                return base.execute("DELETE FROM sessions WHERE substr(digest, 1, ?) = ?", (len(named), named)).rowcount
            base.execute("DELETE FROM links")
            return base.execute("DELETE FROM sessions").rowcount

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()

    def _opened(self) -> sqlite3.Connection:
        if self._place is not None:
            own_folder(self._place.parent)
            os.close(open_no_link(str(self._place), os.O_CREAT | os.O_RDWR, 0o600))
            self._place.chmod(0o600)
        base = sqlite3.connect(self._place or ":memory:", timeout=BUSY_S, check_same_thread=False, isolation_level=None)
        try:
            base.execute("PRAGMA secure_delete = ON")
            base.executescript(TABLES)
        except sqlite3.Error:
            base.close()
            raise
        return base

    def _read(self, query: str, given: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._base.execute(query, given).fetchall()
        except sqlite3.Error as error:
            raise self._unkept(error) from error

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        try:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")
        except sqlite3.Error as error:
            if self._base.in_transaction:
                self._base.execute("ROLLBACK")
            raise self._unkept(error) from error

    def _unkept(self, error: Exception) -> SessionsUnusable:
        return SessionsUnusable(
            f"{self._place or 'memory'}: sessions cannot be kept or read there ({error}); check the folder"
        )


def digest_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def browser_of(agent: str) -> str:
    """`Firefox on Linux` of what a browser sends; of other programs their own name."""
    browser = next((CALLED.get(one, one) for one in BROWSERS if f"{one}/" in agent), "")
    system = next((KNOWN_AS.get(one, one) for one in SYSTEMS if one in agent), "")
    if browser:
        return f"{browser} on {system}" if system else browser
    return re.sub(r"[^\w.+-]", "", agent.partition("/")[0], flags=re.ASCII)[:40] or "unknown"
