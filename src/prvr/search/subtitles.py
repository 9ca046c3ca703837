"""Subtitle files beside a video, SubRip (.srt) and WebVTT (.vtt), read as they are found in the wild.

`film.mp4` is accompanied by `film.srt`, `film.vtt` and, with a language, `film.en.srt`. What cannot be read is left out
and noted: half of the subtitles is better than none.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from prvr.index.base import Cue

SUFFIXES = (".srt", ".vtt")
LARGEST = 20_000_000  # bytes; a longer file is no subtitles
CLOCK = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,6}))?"
ARROW = re.compile(rf"\s*{CLOCK}\s*-->\s*{CLOCK}(?=\s|$)")
MARK_UP = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")  # <i>, <v Anna>, <00:01.000>, {\an8}
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*(?:\.(?:forced|sdh|cc|hi))?", re.IGNORECASE)


class Subtitles(NamedTuple):
    """What is said in a video, and what of its files could not be read."""

    files: tuple[Path, ...]
    cues: tuple[Cue, ...]  # in order of time
    notes: tuple[str, ...]  # a line for each cue or file that was left out


def read_cues(video: Path) -> list[Cue]:
    """What the subtitle files beside a video say, in order of time; nothing where there is none."""
    return list(read_subtitles(video).cues)


def read_subtitles(video: Path) -> Subtitles:
    """The subtitle files beside a video, with notes on what was left out; never fails."""
    files = subtitle_files(video)
    cues: list[Cue] = []
    notes: list[str] = []
    for file in files:
        found = read_text(file, notes)
        cues += parse_subtitles(found, name=file.name, notes=notes)
    return Subtitles(tuple(files), tuple(sorted(dict.fromkeys(cues))), tuple(notes))


def subtitle_files(video: Path) -> list[Path]:
    """`STEM.srt`, `STEM.vtt` and `STEM.LANGUAGE.srt` beside a video, sorted by name."""
    try:
        beside = list(video.parent.iterdir())
    except OSError:
        return []
    return sorted(file for file in beside if _accompanies(file, video.stem) and file.is_file())


def parse_subtitles(text: str, *, name: str, notes: list[str]) -> Iterator[Cue]:
    """The cues of one file's text. A cue with broken times, or that ends before it starts, is noted and left out."""
    lines = text.removeprefix("\ufeff").splitlines()
    timed = [number for number, line in enumerate(lines) if "-->" in line]
    for number, following in zip_longest(timed, timed[1:], fillvalue=len(lines)):
        times = ARROW.match(lines[number])
        start, end = (_seconds(times.groups()[at : at + 4]) for at in (0, 4)) if times else (0.0, -1.0)
        if times is None or not start < end:
            why = "ends before it starts" if times else "has no readable times"
            notes.append(f"{name}: line {number + 1} {why} ({lines[number].strip()[:60]!r}); that cue is left out")
            continue
        said = _said(lines[number + 1 : following], last=following == len(lines))
        if said:
            yield Cue(start, end, said)


def read_text(file: Path, notes: list[str]) -> str:
    """A file as text: UTF-8 or UTF-16 where it says so, else Latin-1, which reads anything."""
    try:
        if file.stat().st_size > LARGEST:
            notes.append(f"{file.name}: is larger than {LARGEST // 1_000_000} MB; it is left out")
            return ""
        content = file.read_bytes()
    except OSError as error:
        notes.append(f"{file.name}: cannot be read ({error.strerror}); it is left out")
        return ""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


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


def _said(lines: list[str], *, last: bool) -> str:
    """The text of a cue: up to the first empty line, without mark-up, as one line."""
    end = next((at for at, line in enumerate(lines) if not line.strip()), len(lines))
    if end == len(lines) and end and not last and lines[-1].strip().isdigit():
        end -= 1  # the next cue's number, where no empty line parts them
    return " ".join(html.unescape(MARK_UP.sub("", " ".join(lines[:end]))).split())


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = parts
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) + float(f"0.{fraction or 0}")


def _accompanies(file: Path, stem: str) -> bool:
    if file.suffix.lower() not in SUFFIXES:
        return False
    if file.stem == stem:
        return True
    language = file.stem.removeprefix(f"{stem}.")
    return language != file.stem and LANGUAGE.fullmatch(language) is not None
