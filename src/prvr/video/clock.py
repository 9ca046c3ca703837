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
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from prvr.video.source import AnyStream, ReadDamage, Source, VideoPacket, decoded, open_video, packets_of

HEAD_PACKETS = 250  # what is looked at before the rest is read ...
HEAD_BYTES = 16 << 20  # ... unless the packets are large
REORDER = 16  # no codec presents a picture later than this many packets after its own
TRUSTED_S = 0.5  # a declared end this close to that of the last packets is a confirmed one
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


def start_clock(source: Source, damage: ReadDamage) -> tuple[Clock, Iterator[VideoPacket]]:
    """Look at the first packets -> the clock, and all packets from the first on, in that one clock."""
    packets = packets_of(*source, damage)
    head: list[VideoPacket] = []
    size = 0
    while len(head) < HEAD_PACKETS and size < HEAD_BYTES:
        packet = next(packets, None)
        if packet is None:
            break
        head.append(packet)
        size += packet.size
    clock = _clock_of(source, head, complete=len(head) < HEAD_PACKETS and size < HEAD_BYTES)
    return clock, one_clock(chain(head, packets), interval=clock.interval)


def presented(
    stream: VideoStream,
    packets: Iterator[VideoPacket],
    clock: Clock,
    damage: ReadDamage,
    *,
    origin: int | None = None,
) -> Iterator[tuple[float, VideoFrame]]:
    """Every frame that decodes and its seconds from the first frame, strictly increasing (see `steady`).

    `origin` is the stamp of the first picture, where it is known and the packets do not begin with it.
    """
    # AVI counts decoding steps, which run ahead of the pictures: there time begins with the first picture.
    if origin is None and not clock.by_dts:
        origin = clock.start
    stamped = _filled(decoded(stream, packets, damage), clock)
    for ticks, frame in steady(stamped):
        if origin is None or ticks < origin:
            origin = ticks
        yield clock.seconds(ticks - origin), frame


def one_clock(packets: Iterable[Packet[AnyStream]], *, interval: int) -> Iterator[Packet[AnyStream]]:
    """The same packets, their stamps moved where the clock of the file was started again.

    Decoding stamps only grow while one clock runs, whatever the order of the pictures. One that does not lie between
    its neighbours is a stray and changes nothing. Two in a row that went back are a clock that was started again: from
    there on all stamps are moved so that the first of them follows the last good one after one `interval`. A leap
    ahead is believed: it is a still picture, and a long one.
    """
    older: int | None = None
    last: int | None = None
    shift = taken_back = 0  # the second: by how much the last packet changed the first
    for packet in packets:
        dts = packet.dts
        if dts is not None:
            if last is None or dts > last:
                if taken_back and older is not None and dts > older:
                    shift -= taken_back  # the last packet was a stray after all
                taken_back = 0
            elif older is None or dts <= older:
                taken_back = last + interval - dts
                shift += taken_back
            older, last = last, dts
        if shift and packet.pts is not None:
            packet.pts += shift
        if shift and dts is not None:
            packet.dts = dts + shift
        yield packet


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
    """The true length of the video, without decoding.

    The end is what the last packets say. They are found by seeking to the declared end; all packets are read instead
    when none is declared, when the last ones are not where they were declared to be (give or take half a second), when
    the format is one whose clock may start again on the way (MPEG streams), or AVI, which cannot be sought in safely.
    A Matroska file that another was appended to is decoded as a whole, but measured as its first part.
    """
    with open_video(path) as source:
        clock, _ = start_clock(source, ReadDamage())
        if clock.start is not None and not clock.by_dts and not may_restart(source):
            end = _confirmed_end(source, clock, clock.start)
            if end is not None:
                return Length(clock.seconds(end - clock.start), None)
    with open_video(path) as source:
        _, packets = start_clock(source, ReadDamage())
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
    end = _last_end(packets_of(*source, ReadDamage()), clock)
    if end is None or abs(clock.seconds(end - declared)) > TRUSTED_S:
        return None
    return end


def _last_end(packets: Iterator[VideoPacket], clock: Clock) -> int | None:
    packets = one_clock(packets, interval=clock.interval)
    ends = (s + (p.duration or clock.interval) for p in packets if (s := _shown_stamp(p, clock)) is not None)
    return max(ends, default=None)


def _shown_stamp(packet: VideoPacket, clock: Clock) -> int | None:
    return None if packet.is_discard or packet.is_corrupt else clock.stamp(packet)


def _scan(packets: Iterator[VideoPacket], clock: Clock) -> Length:
    count, start, end = 0, clock.start, 0
    longest = max((clock.interval, round(1 / clock.tick), *clock.gaps))  # no last frame is believed to last longer
    for packet in packets:
        count += packet.size > 0  # the last packet of all is an empty mark
        stamp = _shown_stamp(packet, clock)
        if stamp is not None:
            start = stamp if start is None else start
            end = max(end, stamp + min(packet.duration or clock.interval, longest))
    if start is None or end <= start:
        return Length(clock.seconds(count * clock.interval), count)
    return Length(clock.seconds(end - start), count)
