"""The text of subtitles to cues: SubRip (.srt) and WebVTT (.vtt), read as they are found in the wild.

What cannot be read is left out and noted, a line a file: half of the subtitles is better than none.
"""

from __future__ import annotations

import html
import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from prvr.core.facts import Cue

CLOCK = r"(?:(\d{1,4})\s*:\s*)?(\d{1,2})\s*:\s*(\d{1,2})(?:\s*[.,:]\s*(\d{1,6}))?"
ARROW = re.compile(rf"\s*{CLOCK}\s*[-\u2013\u2014]{{1,3}}>\s*{CLOCK}(?=\s|$)")
LIKE_AN_ARROW = re.compile(r"\s*-?\d+\s*:.*-->|.*-->\s*-?\d+\s*:")  # times that somebody mistyped
MAP = re.compile(r"X-TIMESTAMP-MAP\s*=", re.IGNORECASE)
MPEGTS = 90_000  # ticks a second of a transport stream
WRAP = 2**33 / MPEGTS  # seconds, after which they start again
BREAK = re.compile(r"<br\s*/?>|\\h", re.IGNORECASE)
TAGS = "b|i|u|s|c|v|font|ruby|rt|lang|span|p|div|em|strong|small|big|center|sub|sup|tt"
MARK_UP = re.compile(
    rf"</?(?:{TAGS})(?:[\s.:=/][^<>]*)?>|<\d[\d:.]*>|\{{\\[^{{}}]*\}}|\{{[yfscpo]:[^{{}}]*\}}", re.IGNORECASE
)  # <i>, <v Anna>, <00:01.000>, {\an8}, {y:i}; what only looks like it, "a < b", is text
DRAWING = re.compile(r"\{[^{}]*\\p[1-9][^{}]*\}.*?(?:\{[^{}]*\\p0[^{}]*\}|$)", re.DOTALL)
OVERRIDE = re.compile(r"\{[^{}]*\}")


class _Timed(NamedTuple):
    """A line with times, and what follows it until the next one."""

    number: int  # of the line, from 1
    line: str
    said: Sequence[str]


def parse_subtitles(text: str, *, name: str, notes: list[str]) -> Iterator[Cue]:
    """The cues of one file's text, `name` telling what it is of.

    A cue with broken times, or that ends before it starts, is left out, and a note says so of the first of them.
    Segments of a stream that were put together bring their own zeros (`X-TIMESTAMP-MAP`): all are counted from that
    of the first one.
    """
    lines = re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff"))
    webvtt = lines[0].startswith("WEBVTT") or name.lower().endswith(".vtt")
    maps, offsets = _offsets(lines)
    wrong: list[str] = []
    for number, line, said in _timed(lines, webvtt=webvtt):
        times = ARROW.match(line)
        start, end = (_seconds(times.groups()[at : at + 4]) for at in (0, 4)) if times else (0.0, -1.0)
        if times is None or not start < end:
            why = "ends before it starts" if times else "has no readable times"
            wrong.append(f"line {number} {why} ({line.strip()[:60]!r})")
        elif words := plain(" ".join(said)):
            shift = offsets[bisect(maps, number)]
            yield Cue(start + shift, end + shift, words)
    if wrong:
        more = f", and {len(wrong) - 1} more like it are" if wrong[1:] else " is"
        notes.append(f"{name}: {wrong[0]}; that cue{more} left out")


def plain(text: str) -> str:
    """Text without the mark-up of SubRip and WebVTT, as one line."""
    return " ".join(html.unescape(MARK_UP.sub("", BREAK.sub(" ", text))).split())


def plain_ass(text: str) -> str:
    """Text of Advanced SubStation without overrides and drawings, as one line."""
    said = OVERRIDE.sub("", DRAWING.sub("", text))
    return " ".join(re.sub(r"\\[Nnh]", " ", said).split())


def vtt(cues: Iterable[Cue]) -> str:
    """Cues, in order of time, as WebVTT."""
    parts = [f"{stamp(cue.start_s)} --> {stamp(cue.end_s)}\n{html.escape(cue.text, quote=False)}" for cue in cues]
    return "\n\n".join(["WEBVTT", *parts]) + "\n"


def stamp(seconds: float) -> str:
    """75.25 -> 00:01:15.250."""
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}.{rest % 1000:03}"


def _timed(lines: Sequence[str], *, webvtt: bool) -> Iterator[_Timed]:
    """Every line with times and the text that belongs to it."""
    places = [number for number, line in enumerate(lines) if ARROW.match(line) or LIKE_AN_ARROW.match(line)]
    for here, following in pairwise([*places, len(lines)]):
        said = list(lines[here + 1 : following])
        named = webvtt and len(said) > 1 and not said[-2]
        if following < len(lines) and said and (named or said[-1].strip().isdigit()):
            said.pop()  # the name or number of the next cue
        yield _Timed(here + 1, lines[here], _webvtt_text(said) if webvtt else said)


def _webvtt_text(lines: list[str]) -> list[str]:
    """Up to the first empty line behind some text; notes and styles that follow an empty cue are none."""
    first = next((at for at, line in enumerate(lines) if line.strip()), len(lines))
    if first and re.match(r"(NOTE|STYLE|REGION)\b|WEBVTT", lines[first] if first < len(lines) else ""):
        return []
    end = next((at for at in range(first, len(lines)) if not lines[at]), len(lines))
    return lines[first:end]


def _offsets(lines: Sequence[str]) -> tuple[list[int], list[float]]:
    """The lines of `X-TIMESTAMP-MAP`, and what is added to the cues before the first, behind it, the second, ..."""
    places, zeros = [], []
    for number, line in enumerate(lines, 1):
        if MAP.match(line):
            ticks = re.search(r"MPEGTS\s*:\s*(\d+)", line, re.IGNORECASE)
            local = re.search(rf"LOCAL\s*:\s*{CLOCK}", line, re.IGNORECASE)
            if ticks and local:
                places.append(number)
                zeros.append(int(ticks[1]) / MPEGTS - _seconds(local.groups()))
    later = (zero - zeros[0] for zero in zeros)
    return places, [0.0, *(round(shift + WRAP * (shift < -WRAP / 2), 6) for shift in later)]


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = parts
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) + float(f"0.{fraction or 0}")
