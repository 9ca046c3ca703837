"""Timecode: the rates that editors count at, their labels HH:MM:SS:FF, and the label that a camera gave a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from prvr.video.source import Source, open_video

NTSC = tuple(Fraction(whole * 1000, 1001) for whole in (24, 30, 60))
WHOLE = tuple(map(Fraction, (24, 25, 30, 50, 60)))
DROPPED = NTSC[1:]  # the rates whose labels may leave numbers out, to stay with the clock
SAME = 5e-4  # by which a measured rate may differ from the one that is meant; 30 and 29.97 are twice as far apart
LABEL = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.,])(\d\d)")


class Timebase(NamedTuple):
    """How frames are counted: at one of the rates above, 29.97 and 59.94 with or without drop-frame labels.

    Drop-frame leaves out the first two (four) numbers of every minute but each tenth, so that a label is the time on
    the clock (SMPTE ST 12-1). Without it an hour of labels at 29.97 takes 3.6 s longer than an hour.
    """

    rate: Fraction
    drop: bool = False

    @property
    def base(self) -> int:
        """Numbers a second: 30 at 29.97."""
        return round(self.rate)

    def frame(self, seconds: float) -> int:
        """The frame that stands nearest to a time."""
        return round(Fraction(seconds) * self.rate)

    def label(self, frame: int) -> str:
        """Frames from midnight -> HH:MM:SS:FF, or HH:MM:SS;FF where numbers are dropped; after a day from the start."""
        minute = self.base * 60 - self._left_out
        tens, rest = divmod(frame % self._day, 10 * minute + self._left_out)
        minutes = 0 if rest < self.base * 60 else 1 + (rest - self.base * 60) // minute
        number = frame % self._day + self._left_out * (9 * tens + minutes)
        seconds, frames = divmod(number, self.base)
        hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
        return f"{hours:02}:{minutes:02}:{seconds:02}{';' if self.drop else ':'}{frames:02}"

    def number(self, label: str, base: int | None = None) -> int | None:
        """A label -> frames from midnight; None for what is no label. Its last part counts in `base`, or as ours do."""
        found = LABEL.fullmatch(label.strip())
        if found is None:
            return None
        hours, minutes, seconds, frames = (int(found[part]) for part in (1, 2, 3, 5))
        if minutes > 59 or seconds > 59:
            return None
        minutes += 60 * hours
        frames = frames if base is None else frames * self.base // base
        return (minutes * 60 + seconds) * self.base + frames - self._left_out * (minutes - minutes // 10)

    @property
    def _left_out(self) -> int:
        return self.base // 15 if self.drop else 0

    @property
    def _day(self) -> int:
        return 86_400 * self.base - self._left_out * 1296


class CameraLabel(NamedTuple):
    """What a file says of the tape, or the card, that it came from."""

    timecode: str | None  # of its first picture
    reel: str | None
    channels: int  # of its sound; 0: it has none


def timebase_for(rate: float, timecode: str | None = None) -> Timebase:
    """The timebase for a video that shows `rate` pictures a second and has that timecode, if any.

    The rate itself where it is one of timecode; else one that has a frame for each of its pictures (15 -> 30), or for
    every second, third ... of them (120 -> 60); else the nearest whole one, at which labels are the time on the clock:
    pictures that come at varying distances have no frame numbers of their own. Drop-frame where the rate has it, unless
    the file's own timecode counts without.
    """
    known = (
        next((known for known in sorted(NTSC + WHOLE) if _times(float(known), rate) == 1), None)
        or next((known for known in WHOLE if _times(float(known), rate)), None)
        or next((known for known in sorted(NTSC + WHOLE, reverse=True) if _times(rate, float(known))), None)
        or min(WHOLE, key=lambda whole: abs(float(whole) - rate))
    )
    return Timebase(known, known in DROPPED and (timecode is None or timecode[-3:-2] != ":"))


def camera_label(path: Path) -> CameraLabel:
    """The timecode and the reel that a file carries: `tmcd` tracks of MOV and MP4, tags of MXF, ASF, AVI, Matroska.

    Raises VideoError for what is no video.
    """
    with open_video(path) as source:
        sound = source.sound
        return CameraLabel(
            timecode=next((said for said in _said(source, "timecode") if LABEL.fullmatch(said)), None),
            reel=next(_said(source, "reel_name"), None),
            channels=0 if sound is None else sound.codec_context.channels,
        )


def _times(large: float, small: float) -> int:
    """How many times one rate is another; 0 where it is no whole number of times."""
    times = large / small if small > 0 else 0.0
    return round(times) if round(times) >= 1 and abs(times - round(times)) <= SAME * times else 0


def _said(source: Source, name: str) -> Iterator[str]:
    """What the video, the file and its other tracks say under a name; Matroska writes names in capitals."""
    others: list[Any] = [stream for stream in source.container.streams if stream.index != source.stream.index]
    for place in (source.stream, source.container, *others):
        for key, value in place.metadata.items():
            if key.lower() == name and value.strip():
                yield value.strip()
