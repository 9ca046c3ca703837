"""One call of `prvr search`, and all that is said to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, kw_only=True)
class SearchCall:
    """What is asked for: sentences, a picture, or more of a moment; and how to answer."""

    queries: tuple[str, ...] = ()
    picture: str | None = None  # a file
    like: str | None = None  # a video's id
    moment: tuple[float, float] = (0.0, 0.0)  # of that video, seconds
    typed: str = ""  # both, as the user wrote them
    k: int = 5
    words: bool = True
    calibrated: bool = True
    everything: bool = False
    for_machines: bool = False


class Told(NamedTuple):
    """What goes to standard output, what is said beside it, whether nothing stands out, and where its moments are."""

    text: str
    notes: tuple[str, ...]
    nothing: bool
    moments: tuple[tuple[str, float], ...] = ()  # of the first query, by rank: the file (empty: none), and the second
