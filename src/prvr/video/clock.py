"""What time it is in a file: seconds from the first frame, from time stamps alone.

Every time of this room is a presentation time stamp (PTS) minus that of the first frame, in seconds. Where the first
pictures cannot be decoded the origin is still theirs, so that times agree with what a player shows. AVI stores no PTS
and FFmpeg's are guesses that go back and forth: there the decoding stamps, which count frames, are the clock. Raw
streams have no stamps at all: there a frame follows the one before after one frame interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from prvr.video.source import Damage, Source, VideoPacket, decoded, open_video, packets_of

HEAD_PACKETS = 250  # what is looked at before the rest is read ...
HEAD_BYTES = 16 << 20  # ... unless the packets are large
REORDER = 16  # no codec presents a picture later than this many packets after its own
TRUSTED_S = 2.0  # a declared end this close to the last packets' is a confirmed one
TS_DISCONT = 0x0200  # AVFMT_TS_DISCONT of FFmpeg
FALLBACK_RATE = Fraction(25)

Item = TypeVar("Item")


class Clock(NamedTuple):
    """How the stamps of one stream are read; counted in ticks."""

    tick: Fraction  # seconds
    by_dts: bool  # AVI
    start: int | None  # stamp of the first packet to be shown
    interval: int  # usual ticks from frame to frame
    gaps: tuple[int, ...]  # ticks from frame to frame at the start of the file

    def stamp(self, item: VideoPacket | VideoFrame) -> int | None:
        """The tick at which a packet or a frame is presented."""
        if self.by_dts or item.pts is None:
            return item.dts
        return item.pts

    def seconds(self, ticks: int) -> float:
        """Ticks as seconds."""
        return float(ticks * self.tick)


class Length(NamedTuple):
    """Where the video of a file begins and ends, by its packets."""

    duration_s: float
    packets: int | None  # how many there are, where all were read


def start_clock(source: Source, damage: Damage) -> tuple[Clock, Iterator[VideoPacket]]:
    """Look at the first packets -> the clock, and all packets from the first on."""
    packets = packets_of(source, damage)
    head: list[VideoPacket] = []
    size = 0
    while len(head) < HEAD_PACKETS and size < HEAD_BYTES:
        packet = next(packets, None)
        if packet is None:
            break
        head.append(packet)
        size += packet.size
    complete = len(head) < HEAD_PACKETS and size < HEAD_BYTES
    return _clock_of(source, head, complete=complete), chain(head, packets)


def presented(
    stream: VideoStream, packets: Iterator[VideoPacket], clock: Clock, damage: Damage
) -> Iterator[tuple[float, VideoFrame]]:
    """Every frame that decodes and its seconds from the first frame, strictly increasing (see `steady`)."""
    # AVI counts decoding steps, which run ahead of the pictures: there time begins with the first picture.
    origin = None if clock.by_dts else clock.start
    stamped = _filled(decoded(stream, packets, damage), clock)
    for ticks, frame in steady(stamped, interval=clock.interval):
        if origin is None or ticks < origin:
            origin = ticks
        yield clock.seconds(ticks - origin), frame


def steady(stamped: Iterable[tuple[int, Item]], *, interval: int) -> Iterator[tuple[int, Item]]:
    """Items in the order given, with stamps that only grow.

    An item is judged when the next one is known. One that fits between neither is a stray and is dropped: it lies ahead
    of the next, which itself goes on from the one before, or it goes back and the next does not follow it. Two in
    a row that go back are a clock that was started again: from there on all stamps are shifted so that the first of
    them follows the last good one after one `interval`. A leap ahead that the next item confirms is believed: it is
    a still picture, and a long one. Of items that share a stamp, the last is kept.
    """
    last: int | None = None
    shift = 0
    held: tuple[int, Item] | None = None
    for coming in chain(stamped, [None]):
        if held is not None and _believed(last, held[0], None if coming is None else coming[0]):
            stamp, item = held
            if last is not None and stamp <= last:
                shift += last + interval - stamp
            last = stamp
            yield stamp + shift, item
        held = coming


def measure(path: Path) -> Length:
    """The true length of the video, without decoding.

    The end is what the last packets say. They are found by seeking to the declared end; all packets are read instead
    when none is declared, when the last ones are not where they were declared to be (give or take two seconds), or
    when the format is one whose clock may start again on the way (MPEG streams).
    """
    with open_video(path) as source:
        clock, _ = start_clock(source, Damage())
        if clock.start is not None and not may_restart(source):
            end = _confirmed_end(source, clock, clock.start)
            if end is not None:
                return Length(clock.seconds(end - clock.start), None)
    with open_video(path) as source:
        _, packets = start_clock(source, Damage())
        return _scan(packets, clock)


def may_restart(source: Source) -> bool:
    """Whether the format is one whose clock may start again on the way, as in MPEG streams that were joined."""
    return bool(source.container.format.flags & TS_DISCONT)


def declared_rate(stream: VideoStream) -> Fraction:
    """Frames per second as the file says, or a usual number where it says nothing usable."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate is not None and 0 < rate <= 1000:
            return Fraction(rate)
    return FALLBACK_RATE


def _clock_of(source: Source, head: list[VideoPacket], *, complete: bool) -> Clock:
    tick = source.stream.time_base or Fraction(1, 1000)
    by_dts = source.container.format.name == "avi"
    rough = Clock(tick, by_dts, None, 1, ())
    real = [p for p in head if not p.is_discard]  # what an edit list cuts off is decoded, but never shown
    early = [s for p in real[: REORDER + 1] if (s := rough.stamp(p)) is not None]
    stamps = sorted({s for p in real if (s := rough.stamp(p)) is not None})
    gaps = tuple(b - a for a, b in pairwise(stamps))
    if not complete:  # among the last ones, frames that belong in between are still to come
        gaps = gaps[:-REORDER]
    interval = round(median(gaps)) if gaps else round(1 / (declared_rate(source.stream) * tick))
    return Clock(tick, by_dts, min(early, default=None), max(1, interval), gaps)


def _believed(last: int | None, held: int, coming: int | None) -> bool:
    """The rule of `steady` for one item between the last good one and the next."""
    if last is None or held > last:
        return coming is None or coming > held or (last is not None and coming <= last)
    return coming is not None and held < coming <= last


def _filled(frames: Iterable[VideoFrame], clock: Clock) -> Iterator[tuple[int, VideoFrame]]:
    """Each frame with its stamp; one without follows the one before after one interval."""
    last = -clock.interval
    for frame in frames:
        stamp = clock.stamp(frame)
        last = last + clock.interval if stamp is None else stamp
        yield last, frame


def _confirmed_end(source: Source, clock: Clock, start: int) -> int | None:
    """The tick at which the last packet ends, if that is where the file declared it; otherwise None."""
    container, stream = source
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
    end = _last_end(packets_of(source, Damage()), clock)
    if end is None or abs(clock.seconds(end - declared)) > TRUSTED_S:
        return None
    return end


def _last_end(packets: Iterator[VideoPacket], clock: Clock) -> int | None:
    ends = (s + (p.duration or clock.interval) for p in packets if (s := _shown_stamp(p, clock)) is not None)
    return max(ends, default=None)


def _shown_stamp(packet: VideoPacket, clock: Clock) -> int | None:
    return None if packet.is_discard or packet.is_corrupt else clock.stamp(packet)


def _scan(packets: Iterator[VideoPacket], clock: Clock) -> Length:
    """Read all packets; restarts of the clock show in the decoding stamps, which otherwise only grow."""
    count, start, end = 0, clock.start, 0
    longest = max((clock.interval, round(1 / clock.tick), *clock.gaps))  # no last frame is believed to last longer

    def counted() -> Iterator[tuple[int, VideoPacket]]:
        nonlocal count
        for packet in packets:
            count += packet.size > 0  # the last packet of all is an empty mark
            if packet.dts is not None and _shown_stamp(packet, clock) is not None:
                yield packet.dts, packet

    for dts, packet in steady(counted(), interval=clock.interval):
        stamp, own_dts = clock.stamp(packet), packet.dts
        assert stamp is not None
        assert own_dts is not None
        moved = stamp + dts - own_dts
        start = moved if start is None else min(start, moved)
        end = max(end, moved + min(packet.duration or clock.interval, longest))
    if start is None or end <= start:
        return Length(clock.seconds(count * clock.interval), count)
    return Length(clock.seconds(end - start), count)
