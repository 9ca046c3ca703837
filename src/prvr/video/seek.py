"""Frames from some second on, without decoding all that lies before."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import av
from av.video.frame import VideoFrame

from prvr.video.clock import Clock, may_restart, presented, start_clock
from prvr.video.source import ReadDamage, Source, VideoPacket, decoded, open_video, packets_of


def frames_around(path: Path, start: float, *, threads: int = 1) -> Iterator[tuple[float, VideoFrame]]:
    """Frames in order, with their seconds, from one that is not after `start` where there is one.

    Where the clock is one that cannot be sought by (AVI, MPEG streams), or seeking leads elsewhere, all packets are
    read, but only those from the last key frame on are decoded; and all of them where that does not do either.
    """
    for begun in (_sought, _from_key_frame):
        with closing(begun(path, start, threads)) as frames:
            first = next(frames, None)
            if first is not None and first[0] <= start:
                yield first
                yield from frames
                return
    with open_video(path, threads=threads) as source:
        clock, packets = start_clock(source, ReadDamage())
        yield from presented(source.stream, packets, clock, ReadDamage())


def seek(source: Source, clock: Clock, start: float) -> bool:
    """Go to the last key frame before `start`, where the clock is one that can be sought by."""
    if clock.start is None or clock.by_dts or may_restart(source):
        return False
    try:
        source.container.seek(clock.start + math.floor(start / clock.tick), stream=source.stream)
    except av.error.FFmpegError:
        return False
    return True


def _sought(path: Path, start: float, threads: int) -> Generator[tuple[float, VideoFrame]]:
    with open_video(path, threads=threads) as source:
        clock, _ = start_clock(source, ReadDamage())
        if seek(source, clock, start):
            yield from presented(source.stream, packets_of(*source, ReadDamage()), clock, ReadDamage())


def _from_key_frame(path: Path, start: float, threads: int) -> Generator[tuple[float, VideoFrame]]:
    with open_video(path, threads=threads) as source:
        clock, packets = start_clock(source, ReadDamage())
        origin = _first_stamp(path) if clock.by_dts else clock.start
        needed = _needed(packets, clock, start)
        yield from presented(source.stream, needed, clock, ReadDamage(), origin=origin)


def _needed(packets: Iterator[VideoPacket], clock: Clock, start: float) -> Iterator[VideoPacket]:
    """The packets from the last key frame that is not after `start` on; all of them where stamps are missing."""
    wanted = (clock.start or 0) + math.floor(start / clock.tick)
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
