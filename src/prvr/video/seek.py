"""Frames from some second on, without decoding all that lies before."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import av

from prvr.video.clock import Clock, can_seek, presented, start_clock
from prvr.video.leaps import leaps_in
from prvr.video.picture import Picture, pictures
from prvr.video.source import ReadDamage, Source, VideoPacket, decoded, open_video, packets_of

ROUNDED_S = 0.001  # times are told in milliseconds: a picture that begins within one has begun


def pictures_around(path: Path, start: float, *, threads: int = 1) -> Iterator[Picture]:
    """Pictures in order, from one that is not after `start` where there is one.

    Where the clock is one that cannot be sought by (AVI, MPEG streams, FLV, Matroska that leaps), or seeking leads
    elsewhere, all packets are read, but only those from the last key frame on are decoded; and all of them where that
    does not do either.
    """
    for begun in (_sought, _from_key_frame):
        with closing(begun(path, start, threads)) as found:
            first = next(found, None)
            if first is not None and first.time_s <= start:
                yield first
                yield from found
                return
    with open_video(path, threads=threads) as source:
        clock, packets = start_clock(source, ReadDamage())
        yield from pictures(presented(source.stream, packets, clock, ReadDamage()), source.stream)


def seek(source: Source, clock: Clock, start: float) -> bool:
    """Go to the last key frame before `start`; -> whether that led there. If not, the file is to be opened again."""
    if not can_seek(source, clock):
        return False
    try:
        source.container.seek(max(clock.at(start), clock.start or 0), stream=source.stream)
    except av.error.FFmpegError:
        return False
    return not leaps_in(source)


def _sought(path: Path, start: float, threads: int) -> Generator[Picture]:
    with open_video(path, threads=threads) as source:
        clock, _ = start_clock(source, ReadDamage())
        if seek(source, clock, start):
            packets = packets_of(source.container, (source.stream,), ReadDamage())
            yield from pictures(presented(source.stream, packets, clock, ReadDamage()), source.stream)


def _from_key_frame(path: Path, start: float, threads: int) -> Generator[Picture]:
    with open_video(path, threads=threads) as source:
        clock, packets = start_clock(source, ReadDamage())
        zero = _first_stamp(path) if clock.by_dts else None
        needed = _needed(packets, clock, start)
        frames = presented(source.stream, needed, clock, ReadDamage(), zero=zero)
        yield from pictures(frames, source.stream)


def _needed(packets: Iterator[VideoPacket], clock: Clock, start: float) -> Iterator[VideoPacket]:
    """The packets from the last key frame that is not after `start` on; all of them where stamps are missing."""
    wanted = clock.at(start)
    held: list[VideoPacket] = []
    for packet in packets:
        stamp = clock.stamp(packet)
        late = stamp is None or stamp > wanted
        if packet.is_keyframe and not late:
            held.clear()
        held.append(packet)
        if late:
            break
    yield from held
    yield from packets


def _first_stamp(path: Path) -> int | None:
    """The stamp of the first picture that decodes, from which time counts where packets run ahead of pictures."""
    with open_video(path) as source:
        clock, packets = start_clock(source, ReadDamage())
        first = next(decoded(source.stream, packets, ReadDamage()), None)
        return None if first is None else clock.stamp(first)
