"""Cues as broadcasters show them: at most two lines of at most 42 letters at a time; and files of them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from prvr.core.facts import Cue
from prvr.subtitles.cues import stamp

LETTERS, LINES = 42, 2


def shown_lines(cues: Iterable[Cue]) -> Iterator[Cue]:
    """The same words in cues of at most `LINES` lines of `LETTERS`; one that is too long is shown in parts.

    Each part has its share of the time by its letters. Two lines are about as long as each other.
    """
    for cue in cues:
        lines = textwrap.wrap(cue.text, LETTERS)
        pages = [_balanced(lines[at : at + LINES]) for at in range(0, len(lines), LINES)]
        total = sum(len(page) for page in pages)
        start_s, done = cue.start_s, 0
        for page in pages:
            done += len(page)
            end_s = cue.start_s + (cue.end_s - cue.start_s) * done / total
            yield Cue(start_s, end_s, page, cue.kind)
            start_s = end_s


def srt(cues: Iterable[Cue]) -> str:
    """Cues, in order of time, as SubRip."""
    return "".join(
        f"{number}\n{_comma(cue.start_s)} --> {_comma(cue.end_s)}\n{cue.text}\n\n" for number, cue in enumerate(cues, 1)
    )


def _comma(seconds: float) -> str:
    return stamp(seconds).replace(".", ",")


def _balanced(lines: Sequence[str]) -> str:
    """Two lines made about equally long, where that keeps them short enough."""
    if len(lines) < LINES:
        return "\n".join(lines)
    words = " ".join(lines)
    for width in range(-(-len(words) // LINES), LETTERS + 1):
        even = textwrap.wrap(words, width)
        if len(even) <= LINES:
            return "\n".join(even)
    return "\n".join(lines)
