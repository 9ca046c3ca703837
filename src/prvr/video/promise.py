"""How much of a video its file promises, and whether that much is there.

A copy that broke off, a download that was stopped: the header still says how long the film was. What is there decodes,
so nobody notices. Only lengths that a header states are believed, not those that FFmpeg guesses from the bit rate.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av

from prvr.core.text import clock, count
from prvr.video.clock import declared_rate
from prvr.video.leaps import TS_DISCONT
from prvr.video.source import Source, open_video, shown

SHARE = 0.05  # of the promised length that may be missing: headers round, and last frames are told without a length
LEAST_S = 0.5  # and so much in any case
BROKEN = 0.1  # share of the packets that may be damaged


class CutShort(NamedTuple):
    """A file of which less can be read than its header promises."""

    frames: int  # that are there
    of: int  # that are promised
    duration_s: float  # that is there
    of_s: float

    def told(self, path: Path) -> str:
        """One line: what is there, and what to do."""
        there = f"read {self.frames:,} of {count(self.of, 'frame')} ({clock(self.duration_s)} of {clock(self.of_s)})"
        return f"{shown(path)}: is cut off or damaged: {there}; copy or download it again"


def cut_short(path: Path, *, duration_s: float, damaged: int = 0) -> CutShort | None:
    """Whether a file holds less than its header promises; None: it does not, or the header promises nothing.

    `duration_s` is how far its pictures go, and `damaged` how many packets of them could not be decoded. The header is
    looked at; the packets are only where something seems to be missing. Raises VideoError as `open_video`.
    """
    with open_video(path) as source:
        promised = _promised(source)
        rate = declared_rate(source.stream)
        avi = source.container.format.name == "avi"
        total = 0 if avi else source.stream.frames or round(promised * rate)
    broken = total > 0 and damaged > BROKEN * total
    if not broken and promised - duration_s <= max(LEAST_S, SHARE * promised):
        return None
    packets, end_s = _there(path)
    short = promised - max(end_s, duration_s) > max(LEAST_S, SHARE * promised)  # sound may go on after the pictures
    if not broken and not short:
        return None
    frames = max(0, packets - damaged)
    if avi and duration_s:  # its number counts empty frames too
        total = round(packets / duration_s * promised)
    return CutShort(frames, max(total, frames), duration_s, max(promised, duration_s))


def _promised(source: Source) -> float:
    """The second at which the header says that the video ends; 0 where it states nothing, or FFmpeg would guess."""
    container, stream = source.container, source.stream
    if container.format.flags & TS_DISCONT or stream.time_base is None:  # MPEG streams have no header
        return 0.0
    if container.format.name == "avi":  # whose duration FFmpeg cuts to what is there
        return float(max(stream.frames, stream.duration or 0) * stream.time_base)
    if stream.duration:
        late = (stream.start_time or 0) if "mp4" in source.formats else 0  # which others count in, or not from 0
        return float((late + stream.duration) * stream.time_base)
    return float(Fraction(container.duration, av.time_base)) if container.duration and container.size else 0.0


def _there(path: Path) -> tuple[int, float]:
    """How many packets of video there are, and where the last packet of anything ends, seconds from the first."""
    packets, first, last = 0, None, 0.0
    with open_video(path) as source:
        try:
            for packet in source.container.demux():
                packets += packet.stream_index == source.stream.index and packet.size > 0
                stamp = packet.dts if packet.pts is None else packet.pts
                if stamp is not None and packet.time_base and packet.size:
                    begin = float(stamp * packet.time_base)
                    first = begin if first is None else min(first, begin)
                    last = max(last, begin + float((packet.duration or 0) * packet.time_base))
        except (av.error.FFmpegError, IndexError):
            pass  # it ends here
    return packets, 0.0 if first is None else last - first
