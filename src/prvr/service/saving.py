"""Moments saved as files, named by what was asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from prvr.core.types import Hit
from prvr.search.clips import clips_of
from prvr.search.export import export

FILMS, REELS = ("mp4", "webm"), ("reel.mp4", "reel.webm")
ONE_BY_ONE = ("edl", "otio", "fcpxml", "xml", *FILMS, *REELS)  # in the order of the clips; the others are by video
BY_NAME = ("csv", "json", "vtt")  # these need no file
NAME_LETTERS = 60


def name_of(query: str, form: str, count: int) -> str:
    """`A dog, then a cat!` as csv -> `a-dog-then-a-cat.csv`; several films are one .zip."""
    words = re.findall(r"\w+", query.lower())
    stem = "-".join(words)[:NAME_LETTERS].strip("-") or "moments"
    return f"{stem}.{'zip' if form in FILMS and count > 1 else form}"


def spans_of(hits: Sequence[Hit], *, before_s: float, after_s: float) -> list[tuple[Path, float, float]]:
    """The file, the start and the end of every moment, widened. Raises ConfigError where nothing is left of one."""
    return [(clip.place, clip.start_s, clip.end_s) for clip in clips_of(hits, before_s=before_s, after_s=after_s)]


def save(hits: Sequence[Hit], place: Path, *, query: str, before_s: float, after_s: float) -> int:
    """Write a table or a list; -> its bytes. Raises as `search.export`."""
    return export(hits, place, query=query, before_s=before_s, after_s=after_s).stat().st_size
