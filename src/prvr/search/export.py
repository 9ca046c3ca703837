"""Moments as files that other programs read: tables, edit lists, chapters, and the pictures themselves.

`.csv` and `.json` for people and programs, `.edl` (CMX 3600) and `.otio` (OpenTimelineIO) for editors, `.vtt` for
players, `.mp4` and `.webm` for everyone. A file is written whole or not at all.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from prvr.core.errors import ConfigError, VideoError
from prvr.core.files import write_whole
from prvr.core.text import text_of
from prvr.core.types import Cue, Hit
from prvr.subtitles.cues import vtt
from prvr.video.clipping import save_clip
from prvr.video.probe import probe

EVENTS = 999  # what a CMX 3600 list can number


class SearchHit(Hit):
    """A hit whose moments can be saved."""

    def export(self, out: str | Path, *, before_s: float = 0.0, after_s: float = 0.0) -> Path:
        """Write its moments as `out` names: .csv, .json, .edl, .otio, .vtt, or the best as .mp4 or .webm; -> that file.

        `before_s` and `after_s` widen every moment. Raises VideoError when the video is gone, ConfigError for another
        suffix.
        """
        return export([self], Path(out).expanduser(), before_s=before_s, after_s=after_s)


class Clip(NamedTuple):
    """One moment that is exported."""

    rank: int  # of its video, 1 = best
    moment: int  # of that video, 1 = best
    start_s: float
    end_s: float
    hit: Hit

    @property
    def name(self) -> str:
        """The file, for people."""
        return text_of(self.hit.path.name) if self.hit.path else self.hit.video_id

    @property
    def place(self) -> Path:
        """The file. Raises VideoError when it is not known or gone."""
        if self.hit.path is None or not self.hit.path.exists():
            raise VideoError(f"{self.hit.video}: is not there any more; index the folder where it lies now")
        return self.hit.path


def export(
    hits: Sequence[Hit],
    out: Path,
    *,
    query: str = "",
    before_s: float = 0.0,
    after_s: float = 0.0,
    best_only: bool = False,
) -> Path:
    """Write the moments of some hits in the form that the suffix of `out` names; -> `out`.

    `before_s` and `after_s` widen every moment (or narrow it, below zero), within its video. A clip or chapters are of
    one video. Raises ConfigError for another suffix, for nothing to write and where it cannot be written, VideoError
    when a file is gone.
    """
    form = out.suffix.lower()
    clips = clips_of(hits, before_s=before_s, after_s=after_s, best_only=best_only or form in (".mp4", ".webm"))
    if not clips:
        raise ConfigError(f"{out}: there is no moment to write; search for something that is found")
    if form in (".mp4", ".webm", ".vtt") and len({clip.hit.video_id for clip in clips}) > 1:
        raise ConfigError(
            f"{out}: a {form} is of one video, not of {len(hits)}; export one hit, or write a .csv or .edl"
        )
    if form in (".mp4", ".webm"):
        save_clip(clips[0].place, clips[0].start_s, clips[0].end_s, out)
        return out
    if form not in WRITERS:
        known = ", ".join((*WRITERS, ".mp4", ".webm"))
        raise ConfigError(f"{out}: cannot write {form or 'a file without suffix'!r}; name it one of {known}")
    text = WRITERS[form](clips, query or out.stem)
    try:
        write_whole(out, text.encode())
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error.strerror}); check the folder and the disk") from error
    return out


def clips_of(
    hits: Sequence[Hit], *, before_s: float = 0.0, after_s: float = 0.0, best_only: bool = False
) -> list[Clip]:
    """The moments of some hits, best video and best moment first, widened and clamped to their videos.

    Raises ConfigError when narrowing leaves nothing of one.
    """
    clips = []
    for rank, hit in enumerate(hits, 1):
        for number, (start, end) in enumerate(hit.moments[:1] if best_only else hit.moments, 1):
            first, last = max(0.0, start - before_s), min(hit.duration_s, end + after_s)
            if not first < last:
                raise ConfigError(
                    f"{hit.video}: nothing is left of the moment {start:.2f}-{end:.2f} s when it is "
                    f"narrowed by {-before_s:g} and {-after_s:g} s; narrow it less"
                )
            clips.append(Clip(rank, number, round(first, 6), round(last, 6), hit))
    return clips


def as_csv(clips: Sequence[Clip], query: str) -> str:
    """RFC 4180 with a header row."""
    text = io.StringIO()
    rows = [{"query": query, **_plain(clip)} for clip in clips]
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json(clips: Sequence[Clip], query: str) -> str:
    """An object with the query and its clips."""
    return json.dumps({"query": query, "clips": [_plain(clip) for clip in clips]}, indent=1, ensure_ascii=False)


def as_vtt(clips: Sequence[Clip], query: str) -> str:
    """WebVTT chapters in order of time, each named by what was looked for."""
    title = " ".join(query.split())
    return vtt(sorted(Cue(clip.start_s, clip.end_s, title) for clip in clips))


def as_edl(clips: Sequence[Clip], query: str) -> str:
    """CMX 3600: the clips one after another, non-drop-frame, at the first video's rate.

    A list has one rate; where another video has another one, a comment says so, and its times are the same seconds.
    """
    if len(clips) > EVENTS:
        raise ConfigError(f"an .edl holds {EVENTS} events, not {len(clips)}; write an .otio, or fewer hits")
    rate = _rate(clips[0].place)
    lines = [f"TITLE: {_ascii(query)[:70]}", "FCM: NON-DROP FRAME", ""]
    record = 0
    for number, clip in enumerate(clips, 1):
        start, end = _frames(clip, rate)
        times = (start, end, record, record + end - start)
        lines.append(f"{number:03}  AX       V     C        {' '.join(timecode(time, rate) for time in times)}")
        lines += [f"* FROM CLIP NAME: {_ascii(clip.name)}", f"* RATE: {float(rate):.3f}"]
        if (own := _rate(clip.place)) != rate:
            lines.append(f"* THE FILE ITSELF RUNS AT {float(own):.3f}")
        record += end - start
    return "\n".join(lines) + "\n"


def as_otio(clips: Sequence[Clip], query: str) -> str:
    """An OpenTimelineIO timeline: the clips one after another, each at its own video's rate."""
    try:
        import opentimelineio as otio
    except ImportError as error:
        raise ConfigError(".otio: needs OpenTimelineIO, which is not installed: pip install 'prvr[otio]'") from error
    timeline = otio.schema.Timeline(name=query)
    track = otio.schema.Track(name="moments", kind=otio.schema.TrackKind.Video)
    timeline.tracks.append(track)
    for clip in clips:
        rate = _rate(clip.place)
        start, end = _frames(clip, rate)
        whole = max(end, round(clip.hit.duration_s * rate))
        shown, available = (
            otio.opentime.TimeRange(
                otio.opentime.RationalTime(first, float(rate)), otio.opentime.RationalTime(last - first, float(rate))
            )
            for first, last in ((start, end), (0, whole))
        )
        media = otio.schema.ExternalReference(clip.place.resolve().as_uri(), available)
        metadata = {"prvr": {"query": query, **_plain(clip)}}
        track.append(otio.schema.Clip(clip.name, media, shown, metadata))
    return str(timeline.to_json_string())


WRITERS: dict[str, Callable[[Sequence[Clip], str], str]] = {
    ".csv": as_csv,
    ".json": as_json,
    ".edl": as_edl,
    ".otio": as_otio,
    ".vtt": as_vtt,
}


def timecode(frame: int, rate: Fraction) -> str:
    """Frames -> HH:MM:SS:FF, non-drop: 29.97 frames a second are counted as 30, so that none is left out."""
    base = round(rate)
    rest, frames = divmod(frame, base)
    minutes, seconds = divmod(rest, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours % 24:02}:{minutes:02}:{seconds:02}:{frames:02}"


def _frames(clip: Clip, rate: Fraction) -> tuple[int, int]:
    """First frame, and the one after the last; at least one."""
    start = round(clip.start_s * rate)
    return start, max(start + 1, round(clip.end_s * rate))


def _rate(path: Path) -> Fraction:
    """Frames a second; 29.97 and the like as the fractions that they are."""
    rate = probe(path).rate
    near = Fraction(round(rate * 1.001) * 1000, 1001)
    return near if abs(float(near) - rate) < 0.002 else Fraction(max(rate, 1.0)).limit_denominator(100)


def _plain(clip: Clip) -> dict[str, Any]:
    """The columns of a table."""
    hit = clip.hit
    return {
        "rank": clip.rank,
        "moment": clip.moment,
        "video": hit.video_id,
        "path": text_of(hit.path) if hit.path else "",
        "start_s": clip.start_s,
        "end_s": clip.end_s,
        "duration_s": hit.duration_s,
        "score": hit.score,
        "confidence": hit.confidence,
        "p_topic": hit.p_topic,
        "p_instance": hit.p_instance,
        "quote": hit.quote,
    }


def _ascii(text: str) -> str:
    """Text as an edit list may hold it: one line of ASCII."""
    return " ".join(text.encode("ascii", "replace").decode().split())
