"""What time it is in a file: seconds as a player counts them, from time stamps alone.

Every time of prvr is a second of the file's own presentation clock, the one that a player shows and that the cues of
subtitles beside the file are written in. Where that clock says 0 depends on the container:

- MP4, MOV, Matroska and WebM have a zero of their own, which Chromium, editors and subtitles count from: a film whose
  first picture is to be shown at 5 s begins at 5 s. (Below zero, or more than a day late, it begins as the others do.)
- The stamps of all other containers (MPEG-TS and -PS, FLV, ASF, MXF, Ogg, ...) begin anywhere. Players (FFmpeg, mpv)
  count from the first stamp of any stream, pictures or sound, FFmpeg's `start_time`; so does prvr.
- AVI stores no PTS, and FFmpeg's are guesses that go back and forth: there the decoding stamps, which count frames, are
  the clock, from the first picture on. Raw streams have no stamps at all: there a frame follows the one before after
  one frame interval of the rate that their own header says.

A length is the second at which the last picture ends on that clock, so that every time of a video lies within it; what
is shown lasts from its start to there. Where the stamps leap (`leaps.py`), time goes on without the hole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, pairwise
from math import inf
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeVar

import av
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from prvr.video.leaps import REORDER, Shifts, ahead_of, leaps_in, leaps_often, one_clock
from prvr.video.source import ReadDamage, Source, VideoPacket, decoded, open_video, packets_of

HEAD_PACKETS = 250  # what is looked at before the rest is read ...
HEAD_BYTES = 16 << 20  # ... unless the packets are large
TRUSTED_S = 0.5  # a declared end this close to that of the last packets is a confirmed one
NO_STAMPS = 0x0080  # AVFMT_NOTIMESTAMPS: a raw stream
FALLBACK_RATE = Fraction(25)
FASTEST = 240  # frames per second; a header that says more speaks of ticks
OWN_ZERO = ("mp4", "matroska")  # containers whose stamps are counted from a zero of their own
LATE_S = 0.25  # a first picture that comes later leaves something to be shown before it
LATEST_START_S = 86_400.0  # a stamp beyond it is the time of day, or an error

Item = TypeVar("Item")


class Clock(NamedTuple):
    """How the stamps of one stream are read; counted in ticks."""

    tick: Fraction  # seconds
    by_dts: bool  # AVI
    zero: int  # stamp at which it is 0 s
    start: int | None  # stamp of the first packet to be shown
    interval: int  # usual ticks from frame to frame
    gaps: tuple[int, ...]  # ticks from frame to frame at the start of the file
    leapt: bool = False  # at the start of the file

    def stamp(self, item: VideoPacket | VideoFrame) -> int | None:
        """The tick at which a packet or a frame is presented."""
        if self.by_dts or item.pts is None:
            return item.dts
        return item.pts

    def seconds(self, stamp: int) -> float:
        """The second of the clock at which a stamp lies."""
        return self.span(stamp - self.zero)

    def span(self, ticks: int) -> float:
        """How many seconds so many ticks last."""
        return ticks * self.tick.numerator / self.tick.denominator  # the same float as of the fraction, and quicker

    def at(self, seconds: float) -> int:
        """The last stamp that is not after a second."""
        return self.zero + int(seconds / self.tick)

    @property
    def start_s(self) -> float:
        """When the first picture is shown."""
        return 0.0 if self.start is None else self.seconds(self.start)


class Length(NamedTuple):
    """Where the video of a file begins and ends on its clock, by its packets."""

    start_s: float
    end_s: float
    packets: int | None  # how many are shown, where all were read
    leaps: int = 0  # how often the stamps leapt, where all were read

    @property
    def shown_s(self) -> float:
        """How long there is something to be seen."""
        return self.end_s - self.start_s


def start_clock(source: Source, damage: ReadDamage) -> tuple[Clock, Iterator[VideoPacket]]:
    """Look at the first packets -> the clock, and all packets of the film from the first on, in that one clock."""
    clock, packets, _ = begun(source, damage)
    return clock, (packet for packet in packets if packet.stream_index == source.stream.index)


def begun(source: Source, damage: ReadDamage) -> tuple[Clock, Iterator[Packet[Any]], Shifts]:
    """The same, with the packets of the sound where the clock is one that may leap, and what is found of leaps."""
    ahead_s = ahead_of(source)
    streams: list[VideoStream | AudioStream] = [source.stream]
    if ahead_s < inf and source.sound is not None:
        streams.append(source.sound)
    packets = packets_of(source.container, streams, damage)
    head: list[Packet[Any]] = []
    film = size = 0
    while film < HEAD_PACKETS and size < HEAD_BYTES:
        packet = next(packets, None)
        if packet is None:
            break
        head.append(packet)
        film += packet.stream_index == source.stream.index
        size += packet.size
    seen = [packet for packet in head if packet.stream_index == source.stream.index]
    complete = film < HEAD_PACKETS and size < HEAD_BYTES
    rough = _clock_of(source, seen, complete=complete)
    shifts = Shifts(ahead_s=ahead_s, interval_s=rough.span(rough.interval))
    head = list(one_clock(head, shifts))
    clock = _clock_of(source, seen, complete=complete)._replace(leapt=True) if shifts.leaps else rough
    return clock, chain(head, one_clock(packets, shifts)), shifts


def sound_packets(source: Source, damage: ReadDamage) -> Iterator[Packet[Any]]:
    """All packets of the sound from the first on, in the clock that the film has too."""
    if source.sound is None:
        return iter(())
    if ahead_of(source) == inf:
        return one_clock(packets_of(source.container, (source.sound,), damage), Shifts())
    _, packets, _ = begun(source, damage)
    index = source.sound.index
    return (packet for packet in packets if packet.stream_index == index)


def presented(
    stream: VideoStream,
    packets: Iterator[VideoPacket],
    clock: Clock,
    damage: ReadDamage,
    *,
    zero: int | None = None,
) -> Iterator[tuple[float, VideoFrame]]:
    """Every frame that decodes and its second on the clock, strictly increasing (see `steady`).

    `zero` is the stamp of the first picture of an AVI, where the packets do not begin with it.
    """
    # AVI counts decoding steps, which run ahead of the pictures: there time begins with the first picture.
    if zero is None and not clock.by_dts:
        zero = clock.zero
    for stamp, frame in steady(_filled(decoded(stream, packets, damage), clock)):
        if zero is None or stamp < zero:
            zero = stamp
        yield clock.span(stamp - zero), frame


def steady(stamped: Iterable[tuple[int, Item]]) -> Iterator[tuple[int, Item]]:
    """Only the items whose stamps grow; a damaged decoder gives pictures at the wrong time.

    Dropped are those not after the last good one, and those not before the next where that one is in order without
    them. So of items that share a stamp the last is kept.
    """
    last: int | None = None
    held: tuple[int, Item] | None = None
    for coming in chain(stamped, [None]):
        if held is not None and (last is None or held[0] > last):
            between = coming is not None and coming[0] <= held[0] and (last is None or coming[0] > last)
            if not between:
                last = held[0]
                yield held
        held = coming


def measure(path: Path) -> Length:
    """Where the video begins and ends, without decoding.

    The end is what the last packets say. They are found by seeking to the declared end; all packets are read instead
    when none is declared, when the last ones are not where they were declared to be (give or take half a second), when
    the clock is one that may start again or leap on the way (MPEG streams, FLV; Matroska whose index or first packets
    do, or that another file was appended to), or AVI, which cannot be sought in safely.
    """
    with open_video(path) as source:
        clock, _ = start_clock(source, ReadDamage())
        if clock.start is not None and can_seek(source, clock):
            end = _confirmed_end(source, clock, clock.start)
            if end is not None:
                return Length(clock.start_s, clock.seconds(end), None)
    with open_video(path) as source:
        clock, packets, shifts = begun(source, ReadDamage())
        film = (packet for packet in packets if packet.stream_index == source.stream.index)
        return _scan(film, clock)._replace(leaps=shifts.leaps)


def can_seek(source: Source, clock: Clock) -> bool:
    """Whether a second can be found by its stamp: not where the clock may start again or leap, nor in AVI."""
    if clock.start is None or clock.by_dts:
        return False
    return not (clock.leapt or source.joined or leaps_often(source))


def declared_rate(stream: VideoStream, *, raw: bool = False) -> Fraction:
    """Frames per second as the file says, or a usual number where it says nothing usable.

    `raw`: of a bare stream FFmpeg's average is its demuxer's default; its guess is what the stream's own header says,
    and goes before it.
    """
    rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    for rate in (stream.guessed_rate, stream.codec_context.framerate, *rates) if raw else rates:
        if rate is not None and 0 < rate <= (FASTEST if raw else 1000):
            return Fraction(rate)
    return FALLBACK_RATE


def is_raw(source: Source) -> bool:
    """Whether the file is a bare stream, without a container and without stamps."""
    return bool(source.container.format.flags & NO_STAMPS)


def _clock_of(source: Source, head: list[VideoPacket], *, complete: bool) -> Clock:
    tick = source.stream.time_base or Fraction(1, 1000)
    by_dts = source.container.format.name == "avi"
    rough = Clock(tick, by_dts, 0, None, 1, ())
    real = [p for p in head if not p.is_discard]  # what an edit list cuts off is decoded, but never shown
    early = [s for p in real[: REORDER + 1] if (s := rough.stamp(p)) is not None]
    stamps = sorted({s for p in real if (s := rough.stamp(p)) is not None})
    gaps = tuple(b - a for a, b in pairwise(stamps))
    if not complete:  # among the last ones, frames that belong in between are still to come
        gaps = gaps[:-REORDER]
    interval = round(median(gaps)) if gaps else round(1 / (declared_rate(source.stream, raw=is_raw(source)) * tick))
    start = min(early, default=None)
    return Clock(tick, by_dts, _zero(source, tick, start), start, max(1, interval), gaps)


def _zero(source: Source, tick: Fraction, start: int | None) -> int:
    """The stamp at which a player's clock says 0 (see the head of this file)."""
    if start is None:
        return 0
    first = source.container.start_time  # the first stamp of all streams, microseconds
    begins = start if first is None else min(start, round(Fraction(first, av.time_base) / tick))
    if any(name in source.formats for name in OWN_ZERO) and 0 <= begins * tick <= LATEST_START_S:
        return 0
    return begins


def _filled(frames: Iterable[VideoFrame], clock: Clock) -> Iterator[tuple[int, VideoFrame]]:
    """Each frame with its stamp; one without follows the one before after one interval."""
    last = -clock.interval
    for frame in frames:
        stamp = clock.stamp(frame)
        last = last + clock.interval if stamp is None else stamp
        yield last, frame


def _confirmed_end(source: Source, clock: Clock, start: int) -> int | None:
    """The tick at which the last packet ends, if that is where the file declared it; otherwise None."""
    container, stream = source.container, source.stream
    if stream.duration is not None:
        declared = start + stream.duration
    elif container.duration is not None:
        declared = start + round(Fraction(container.duration, av.time_base) / clock.tick)
    else:
        return None
    try:
        container.seek(declared - clock.interval, stream=stream)
    except (av.error.FFmpegError, OverflowError):
        return None
    if leaps_in(source):
        return None
    end = _last_end(packets_of(container, (stream,), ReadDamage()), clock)
    if end is None or abs(clock.span(end - declared)) > TRUSTED_S:
        return None
    return end


def _last_end(packets: Iterator[VideoPacket], clock: Clock) -> int | None:
    packets = one_clock(packets, Shifts(interval_s=clock.span(clock.interval)))
    ends = (s + (p.duration or clock.interval) for p in packets if (s := _shown_stamp(p, clock)) is not None)
    return max(ends, default=None)


def _shown_stamp(packet: VideoPacket, clock: Clock) -> int | None:
    return None if packet.is_discard or packet.is_corrupt else clock.stamp(packet)


def _scan(packets: Iterator[VideoPacket], clock: Clock) -> Length:
    count, start, end = 0, clock.start, 0
    longest = max((clock.interval, round(1 / clock.tick), *clock.gaps))  # no last frame is believed to last longer
    for packet in packets:
        count += packet.size > 0 and not packet.is_discard  # the last packet of all is an empty mark
        stamp = _shown_stamp(packet, clock)
        if stamp is not None:
            start = stamp if start is None else start
            end = max(end, stamp + min(packet.duration or clock.interval, longest))
    if start is None or end <= start:
        return Length(0.0, clock.span(count * clock.interval), count)
    return Length(clock.seconds(start), clock.seconds(end), count)
