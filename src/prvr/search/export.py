"""Moments as files that other programs read: tables, edit lists, chapters, and the pictures themselves.

`.csv` and `.json` for people and programs, `.edl`, `.otio`, `.fcpxml` and `.xml` for editing programs (as cuts, or with
`.markers` before it as markers on whole videos), `.vtt` for players, `.mp4` and `.webm` for everyone: the best moment,
or with `.reel` before it all of them, one after another. A file is written whole or not at all.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from prvr.core.errors import ConfigError
from prvr.core.facts import Cue
from prvr.core.files import write_whole
from prvr.core.places import expanded
from prvr.core.text import cell, printable
from prvr.core.types import Hit
from prvr.search.clips import Clip, clips_of
from prvr.search.editors.edl import as_edl, as_marker_edl
from prvr.search.editors.timeline import as_otio
from prvr.search.editors.xml import as_fcpxml, as_xml
from prvr.subtitles.cues import vtt
from prvr.video.clipping import save_clip
from prvr.video.reel import save_reel

FILMS = (".mp4", ".webm")
REELS = (".reel.mp4", ".reel.webm")
OF_ONE = (*FILMS, ".vtt", ".markers.edl")  # video


class SearchHit(Hit):
    """A hit whose moments can be saved."""

    def export(self, out: str | Path, *, before_s: float = 0.0, after_s: float = 0.0) -> Path:
        """Write its moments as `out` names, or the best as .mp4 or .webm; -> that file. `WRITERS` has the suffixes.

        `before_s` and `after_s` widen every moment. Raises VideoError when the video is gone, ConfigError for another
        suffix.
        """
        return export([self], expanded(out), before_s=before_s, after_s=after_s)


def export(
    hits: Sequence[Hit],
    out: Path,
    *,
    query: str = "",
    before_s: float = 0.0,
    after_s: float = 0.0,
    best_only: bool = False,
    fast: bool = False,
) -> Path:
    """Write the moments of some hits in the form that the suffix of `out` names; -> `out`.

    `before_s` and `after_s` widen every moment (or narrow it, below zero), within its video. A clip or chapters are of
    one video. `fast`: films are copied from the key frame before a moment rather than encoded again. Raises ConfigError
    for another suffix, for nothing to write and where it cannot be written, VideoError when a file is gone.
    """
    form = form_of(out)
    clips = clips_of(hits, before_s=before_s, after_s=after_s, best_only=best_only or form in FILMS)
    if not clips:
        raise ConfigError(f"{out}: there is no moment to write; search for something that is found")
    if form in OF_ONE and len({clip.hit.video_id for clip in clips}) > 1:
        raise ConfigError(
            f"{out}: a {form} is of one video, not of {len(hits)}; export one hit, or write a .csv or .edl"
        )
    if form in FILMS:
        save_clip(clips[0].place, clips[0].start_s, clips[0].end_s, out, fast=fast)
        return out
    if form in REELS:
        save_reel([(clip.place, clip.start_s, clip.end_s) for clip in clips], out, fast=fast)
        return out
    if form not in WRITERS:
        known = ", ".join((*WRITERS, *FILMS, *REELS))
        raise ConfigError(f"{out}: cannot write {form or 'a file without suffix'!r}; name it one of {known}")
    text = WRITERS[form](clips, query or out.stem.removesuffix(".markers"))
    try:
        write_whole(out, text.encode(errors="backslashreplace"))  # a name may be any bytes
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error.strerror}); check the folder and the disk") from error
    return out


def form_of(out: Path) -> str:
    """What a file is to be, by its name: `.csv`, `.markers.edl`, `.reel.mp4`, ..., or whatever its suffix is."""
    name, known = out.name.lower(), sorted((*WRITERS, *REELS), key=len, reverse=True)
    return next((form for form in known if name.endswith(form)), out.suffix.lower())


def as_csv(clips: Sequence[Clip], query: str) -> str:
    """RFC 4180 with a header row; a text that begins as a formula does has an apostrophe before it."""
    text = io.StringIO()
    rows = [{name: cell(value) for name, value in {"query": query, **clip.plain()}.items()} for clip in clips]
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json(clips: Sequence[Clip], query: str) -> str:
    """An object with the query and its clips."""
    return json.dumps({"query": query, "clips": [clip.plain() for clip in clips]}, indent=1, ensure_ascii=False)


def as_vtt(clips: Sequence[Clip], query: str) -> str:
    """WebVTT chapters in order of time, each named by what was looked for."""
    title = printable(" ".join(query.split()))
    return vtt(sorted(Cue(clip.start_s, clip.end_s, title) for clip in clips))


Writer: TypeAlias = Callable[[Sequence[Clip], str], str]

WRITERS: dict[str, Writer] = {
    ".csv": as_csv,
    ".json": as_json,
    ".edl": as_edl,
    ".otio": as_otio,
    ".fcpxml": as_fcpxml,
    ".xml": as_xml,
    ".markers.edl": as_marker_edl,
    ".markers.otio": partial(as_otio, markers=True),
    ".markers.fcpxml": partial(as_fcpxml, markers=True),
    ".markers.xml": partial(as_xml, markers=True),
    ".vtt": as_vtt,
}
