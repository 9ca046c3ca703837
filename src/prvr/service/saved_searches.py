"""Searches that are kept beside an index, each with what it had found when somebody last looked: the rest is new."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from prvr.core.errors import QueryError
from prvr.core.types import Hit
from prvr.search.confidence import NOTHING
from prvr.search.folders import keep_rows

FILE = "saved.json"
MOST = 100  # of one index
DEEP = 200  # hits of a search that are looked at
AnyHit = TypeVar("AnyHit", bound=Hit)


@dataclass(frozen=True, kw_only=True)
class SavedSearch:
    """One of them."""

    id: str  # follows from the query
    query: str  # in the grammar of the search box
    made_at: float  # unix seconds
    looked_at: float
    found: Mapping[str, str]  # what it had found by then: video id -> version
    name: str = ""  # that somebody gave it

    def new(self, hits: Iterable[AnyHit], versions: Mapping[str, str]) -> list[AnyHit]:
        """Those of its hits that are no weak matches, and came or changed since, best first."""
        return [
            hit for hit in hits if hit.confidence != NOTHING and self.found.get(hit.video_id) != versions[hit.video_id]
        ]


def saved_searches(folder: Path) -> dict[str, SavedSearch]:
    """Those of the index at `folder` by their ids, the oldest first; what cannot be read is as if it was not there."""
    found: dict[str, SavedSearch] = {}
    with suppress(OSError, ValueError, TypeError, AttributeError):
        for row in json.loads((folder / FILE).read_text(encoding="utf-8"))[:MOST]:
            one = SavedSearch(**{**row, "id": _id(row["query"]), "found": dict(row["found"])})
            found[one.id] = one
    return found


def save_search(
    folder: Path, query: str, hits: Iterable[Hit], versions: Mapping[str, str], *, name: str | None = None
) -> SavedSearch:
    """Keep a search, whose hits of now are not new; one that is kept already has been looked at.

    `name`: what it is called from now on. Raises QueryError where there are too many and for a name that another one
    has, IndexFolderError for a full disk.
    """
    known, now = saved_searches(folder), time.time()
    found = {hit.video_id: versions[hit.video_id] for hit in hits if hit.confidence != NOTHING}
    one = known.get(_id(query)) or SavedSearch(id=_id(query), query=query, made_at=now, looked_at=now, found={})
    twin = next((other for other in known.values() if name and other.name == name and other.id != one.id), None)
    if twin is not None:
        raise QueryError(f"{name}: another saved search has this name ({twin.query}); give another name, or drop that")
    if one.id not in known and len(known) >= MOST:
        raise QueryError(f"{MOST} searches are saved already; take one of them out first")
    known[one.id] = replace(one, looked_at=now, found=found, name=one.name if name is None else name)
    _keep(folder, known)
    return known[one.id]


def drop_search(folder: Path, search_id: str) -> bool:
    """Keep it no longer; -> whether there was one. Raises IndexFolderError for a full disk."""
    known = saved_searches(folder)
    if known.pop(search_id, None) is None:
        return False
    _keep(folder, known)
    return True


def _id(query: str) -> str:
    return hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _keep(folder: Path, known: Mapping[str, SavedSearch]) -> None:
    keep_rows(folder / FILE, [asdict(one) for one in known.values()])
