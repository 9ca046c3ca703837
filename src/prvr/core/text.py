"""Numbers and names as people read them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import takewhile


def clock(seconds: float) -> str:
    """Seconds as a person reads them: 75.25 -> 1:15.2."""
    tenths = int(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02}" if hours else f"{minutes}") + f":{rest // 10:02}.{rest % 10}"


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun: 1 video, 2 videos, 1,200 videos; `many` where it is not `one` and an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def nearest(name: str, names: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The one of some names that is most like another; None where none is.

    Of two that are equally alike the one that begins alike for longer, for people slip at the end: `table12` is
    `table1`, not `table2`.
    """

    def likeness(other: str) -> tuple[float, int]:
        return difflib.SequenceMatcher(None, other, name).ratio(), _begin_alike(name, other)

    best = max(names, key=likeness, default=None)
    return best if best is not None and likeness(best)[0] >= cutoff else None


def _begin_alike(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
