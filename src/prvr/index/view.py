"""One commit of an index as searches read it: where every video lies, and which of them are worth an exact look."""

from __future__ import annotations

import time
from collections.abc import Set
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from prvr.index import nearest
from prvr.index.catalogue import Catalogue
from prvr.index.database import FILE, transaction
from prvr.index.segments import Longs, Places, Segments

EXACT = 500  # videos up to which comparing with every vector is the faster way (benchmarks/index.py)
SHORTLIST = (100, 200)  # candidates that are scored exactly: in a small library, in one of 50,000 videos or more
TAIL = 0.2  # share of videos newer than the derived neighbours above which those are stale
RECENT = 30.0  # seconds for which what was read is taken to be in memory still; to ask costs 7 µs a video
GONE = 0.3  # share of videos in them that are no more


class View(NamedTuple):
    """What searches need in memory: five numbers a video, and the derived neighbours."""

    generation: str
    places: Places
    order: Longs  # (V,) positions in `places` in order of their keys
    touched: NDArray[np.float64]  # (V,) when each was last a candidate, seconds
    nearest: nearest.Nearest | None
    stale: bool  # whether `nearest` ought to be made (again)

    def positions(self, keys: Longs) -> Longs:
        """Numbers of videos -> where they stand in `places`, increasing; those that are not there are left out."""
        if not len(self.order):
            return self.order
        at = self.order[np.searchsorted(self.places.key, keys, sorter=self.order).clip(max=len(self.order) - 1)]
        return np.sort(at[self.places.key[at] == keys])

    def candidates(self, unit: Tensor, meant: Longs | None, k: int, segments: Segments) -> Places:
        """unit (D,) -> the videos to score exactly: among the ones `meant` (numbers, increasing), if given."""
        everything = self.places if meant is None else self.places.at(self.positions(meant))
        total = len(everything.key)
        most = max(min(SHORTLIST[0] + len(self.places.key) // 500, SHORTLIST[1]), 4 * k)
        if self.nearest is None or total <= max(EXACT, most):
            return everything
        keys = self.nearest.shortlist(unit, most, meant)
        newer = everything.key[everything.key > self.nearest.state.last]
        at = self.positions(np.union1d(keys, newer))
        found = self.places.at(at)
        if len(found.key) < min(k, total):
            return everything
        now = time.monotonic()
        cold = self.touched[at] < now - RECENT
        segments.will_need(found.at(cold))
        self.touched[at] = now
        return found


def look(catalogue: Catalogue, segments: Segments, lost: Set[int], before: View | None) -> tuple[View, list[str]]:
    """The newest commit, and one line for each thing in it that is damaged; what can be read is in the view."""
    while True:
        with transaction(catalogue.sql):
            generation = catalogue.meta("generation")
            if before is not None and before.generation == generation:
                return before, []
            files, places = catalogue.segments(), catalogue.places()
            state = nearest.state_of(catalogue.meta("nearest"))
        segments.use(files)
        whole = segments.whole(places)
        if whole.all() or catalogue.meta("generation") == generation:  # else segments were joined meanwhile
            break
    problems = [
        f"{segments.path(key) if segments.knows(key) else catalogue.folder / FILE}: is damaged, or cut off, or gone"
        for key in np.unique(places.segment[~whole]).tolist()
    ]
    places = places.at(whole & ~np.isin(places.key, list(lost)))
    near: nearest.Nearest | str | None = None
    if state and len(places.key) > EXACT and nearest.possible(segments.width):
        known = before.nearest if before else None
        near = known if known and known.state == state else nearest.load(state, segments.folder.parent / "nearest")
    if isinstance(near, str):
        problems.append(f"{near}; answers are right, but slower")
        near = None
    touched = np.full(len(places.key), -np.inf)
    stale = _stale(places, near, segments.width)
    return View(generation, places, np.argsort(places.key), touched, near, stale), problems


def _stale(places: Places, near: nearest.Nearest | None, width: int) -> bool:
    count = len(places.key)
    if count <= EXACT or not nearest.possible(width):
        return False
    if near is None:
        return True
    newer = int((places.key > near.state.last).sum())
    return newer > max(EXACT, TAIL * count) or count - newer < (1 - GONE) * near.state.count
