"""Reading an index that others write: what was looked at may be replaced, or turn out to be damaged, meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from prvr.index.database import explained
from prvr.index.segments import Changed
from prvr.index.view import View

P = ParamSpec("P")
R = TypeVar("R")


class Reader(Protocol):
    """What reads one commit of an index at a time."""

    folder: Path
    _view: View | None

    def _fall_back(self, error: sqlite3.DatabaseError) -> None:
        """Read on from what can be read of a damaged catalogue."""
        ...


S = TypeVar("S", bound=Reader)


def until_sound(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Read again when the index changed under the reader, and go on with what is sound when something is damaged."""

    @wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        while True:
            try:
                with explained(self.folder, "read", damage=False):
                    return method(self, *args, **kwargs)
            except (Changed, FileNotFoundError):
                self._view = None
            except sqlite3.DatabaseError as error:
                self._fall_back(error)

    return call
