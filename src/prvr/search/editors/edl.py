"""Edit lists: CMX 3600, and the form of it in which DaVinci Resolve reads and writes markers."""

from __future__ import annotations

from collections.abc import Sequence

from prvr.core.errors import ConfigError
from prvr.search.clips import Clip
from prvr.search.editors.cuts import Cut, cuts_of, note_of, title_of
from prvr.video.timecode import Timebase

EVENTS = 999  # what a list can number
RESOLVE_STARTS_H = 1  # its timelines begin at 01:00:00:00
COLOUR = "ResolveColorBlue"


def as_edl(clips: Sequence[Clip], query: str) -> str:
    """CMX 3600: the clips one after another, at the first video's rate and by their files' own timecode.

    A list has one rate: clips of other videos are counted in it too, at the same seconds, and a comment says how fast
    the file runs. Raises ConfigError for more events than can be numbered.
    """
    cuts = _numbered(cuts_of(clips, alike=True))
    lines, record = _head(query, cuts[0].timebase), 0
    for number, cut in enumerate(cuts, 1):
        lines.append(_event(number, cut, record, cut.end - cut.start, reel=cut.film.camera.reel))
        lines += [f"* FROM CLIP NAME: {_ascii(cut.film.name)}", f"* RATE: {float(cut.timebase.rate):.3f}"]
        if abs(cut.film.rate - float(cut.timebase.rate)) >= 0.0015:
            lines.append(f"* THE FILE ITSELF RUNS AT {cut.film.rate:.3f}")
        record += cut.end - cut.start
    return "\n".join(lines) + "\n"


def as_marker_edl(clips: Sequence[Clip], query: str) -> str:
    """Resolve's markers of one video, for a timeline that begins with it, at 01:00:00:00 as Resolve's do."""
    cuts = _numbered(sorted(cuts_of(clips), key=lambda cut: cut.start))
    timebase, name = cuts[0].timebase, _ascii(query).replace("|", "/")
    first = timebase.number(f"{RESOLVE_STARTS_H:02}:00:00:00") or 0
    lines = _head(query, timebase)
    for number, cut in enumerate(cuts, 1):
        lines.append(_event(number, cut, first + cut.start, 1, reel=f"{number:03}"))
        note = _ascii(note_of(cut.clip)).replace("|", "/")
        lines += [f"{note} |C:{COLOUR} |M:{name} |D:{cut.end - cut.start}", ""]
    return "\n".join(lines) + "\n"


def _numbered(cuts: list[Cut]) -> list[Cut]:
    if len(cuts) > EVENTS:
        raise ConfigError(f"an .edl holds {EVENTS} events, not {len(cuts)}; write an .otio, or fewer hits")
    return cuts


def _head(query: str, timebase: Timebase) -> list[str]:
    return [f"TITLE: {_ascii(query)[:70]}", f"FCM: {'' if timebase.drop else 'NON-'}DROP FRAME", ""]


def _event(number: int, cut: Cut, record: int, frames: int, *, reel: str | None) -> str:
    """One line: where it stands in the source, and where in the list."""
    source = cut.film.begins(cut.timebase) + cut.start
    times = (source, source + frames, record, record + frames)
    name = "".join(c for c in reel or "" if c.isascii() and (c.isalnum() or c in "_-"))[:8] or "AX"
    return f"{number:03}  {name:<8} V     C        {' '.join(cut.timebase.label(time) for time in times)}"


def _ascii(text: str) -> str:
    """Text as an edit list may hold it: one line of ASCII."""
    return title_of(text).encode("ascii", "replace").decode()
