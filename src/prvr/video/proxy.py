"""A copy of a video that browsers play, with the same picture at the same second."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from prvr.core.errors import VideoError
from prvr.core.facts import VideoInfo
from prvr.video.clipping import Piece, Track, moved
from prvr.video.clock import LATE_S, Clock, sound_packets, start_clock
from prvr.video.encode import FORMS, Excerpt, add_sound, encode, sounds_of, written
from prvr.video.leaps import REORDER
from prvr.video.probe import probe
from prvr.video.source import ReadDamage, Source, VideoPacket, open_video

FORM = FORMS[".mp4"]
COPIED_SOUND = ("aac", "mp3", "opus", "flac")  # what browsers play in an MP4
AT_ONCE = {"movflags": "+faststart"}  # playing begins before all is there
KEY_FRAME_S = 2.0  # so that a browser finds any second quickly
QUALITY = {"crf": "24", "preset": "veryfast", "bf": "0"}  # without B-frames an MP4 says how long each frame stands
SAME_S = 0.25  # by which the lengths of a video and of its copy may differ

AnyPacket: TypeAlias = "Packet[Any]"
OnTime = Callable[[float, float], None]  # seconds that are written, seconds in all


def make_proxy(
    path: Path,
    out: Path,
    *,
    height: int = 480,
    largest_copy: int | None = None,
    on_progress: OnTime | None = None,
) -> str:
    """Write what browsers play of `path` to `out`, an .mp4; -> `remuxed` or `transcoded`.

    Where only the container or the sound is in the way, the pictures are copied as they are, unless the file has more
    than `largest_copy` bytes; else they are encoded again, at most `height` tall and upright. A copy that is not as
    long as the video, or that browsers would not play either, is not kept. Seconds are those of the video in every
    case. Raises VideoError; `out` is replaced in one step when all is written.
    """
    info = probe(path)
    report = on_progress or _quietly
    if largest_copy is None or path.stat().st_size <= largest_copy:
        copy = out.with_name(f".{uuid4().hex}.tmp.mp4")
        try:
            _copy(info, copy, report)
            if _same(info, copy):
                copy.replace(out)
                report(info.duration_s, info.duration_s)
                return "remuxed"
        except (_Unlike, VideoError):
            pass  # if the disk is full, the next attempt says so
        finally:
            copy.unlink(missing_ok=True)
    options = {**QUALITY, "g": str(max(1, round(KEY_FRAME_S * min(info.rate, 60))))}
    with written(out, FORM.container, options=AT_ONCE) as target:
        encode(
            target,
            FORM._replace(video_options=options),
            [Excerpt(info, 0.0, info.duration_s)],
            tallest=height,
            on_time=lambda time: report(time, info.duration_s),
        )
    report(info.duration_s, info.duration_s)
    return "transcoded"


def _quietly(_: float, __: float) -> None:
    """Where nobody asks how far it is."""


class _Unlike(Exception):
    """These packets are not to be had, or not in an order that a new file can hold."""


def _same(info: VideoInfo, copy: Path) -> bool:
    """Whether a copy plays, as long, as large and as upright as what it is a copy of."""
    made = probe(copy)
    return (
        made.browser_playable
        and abs(made.duration_s - info.duration_s) <= SAME_S
        and (made.width, made.height, made.rotation, made.mirrored)
        == (info.width, info.height, info.rotation, info.mirrored)
        and abs(made.pixel_aspect - info.pixel_aspect) < 0.01
    )


def _copy(info: VideoInfo, out: Path, report: OnTime) -> None:
    """The pictures as they are, and the sound too where browsers know it."""
    with open_video(info.path) as source, open_video(info.path) as other:
        clock, packets = start_clock(source, ReadDamage())
        if not info.copyable or clock.start is None:
            raise _Unlike
        with written(out, FORM.container, options=AT_ONCE) as target:
            tracks = [moved(target, Track(source.stream, _pictures(packets, clock), clock.zero))]
            if info.audio_codec in COPIED_SOUND:
                tracks.append(_copied_sound(target, other, clock))
            elif info.audio_codec is not None:
                tracks.append(_new_sound(target, info))
            for time, packet in heapq.merge(*tracks, key=itemgetter(0)):
                target.mux(packet)
                report(min(max(time, 0.0), info.duration_s), info.duration_s)


def _pictures(packets: Iterator[VideoPacket], clock: Clock) -> Iterator[Piece]:
    """Every packet with its stamps; a late first one stands from 0 on. Raises _Unlike for what cannot be copied.

    Of an MP4 of pictures that begin late Chromium takes the length without what lies before them, and cannot reach the
    end.
    """
    last: int | None = None
    for packet, dts in _decoding_stamps(packets, clock.interval):
        pts, first = packet.pts, last is None
        if pts is None or packet.is_discard or (first and not packet.is_keyframe) or (last is not None and dts <= last):
            raise _Unlike
        last = dts
        late = pts - clock.zero if first and clock.start_s > LATE_S else 0
        yield Piece(pts - late, dts - late, packet)


def _decoding_stamps(packets: Iterator[VideoPacket], interval: int) -> Iterator[tuple[VideoPacket, int]]:
    """The first packets of Matroska have none: they are decoded one after the other before the first that has one."""
    head: list[VideoPacket] = []
    for packet in packets:
        if not packet.size:
            continue  # the mark at the end
        if packet.dts is None:
            head.append(packet)
            if len(head) > REORDER:
                raise _Unlike
            continue
        for number, waiting in enumerate(head):
            yield waiting, packet.dts - (len(head) - number) * interval
        head.clear()
        yield packet, packet.dts


def _copied_sound(target: OutputContainer, source: Source, clock: Clock) -> Iterator[tuple[float, AnyPacket]]:
    """The packets of the sound from 0 on."""
    stream = source.sound
    if stream is None or stream.time_base is None:
        return
    origin = round(Fraction(clock.zero) * clock.tick / stream.time_base)
    yield from moved(target, Track(stream, _from(sound_packets(source, ReadDamage()), origin), origin))


def _from(packets: Iterator[Packet[AudioStream]], origin: int) -> Iterator[Piece]:
    """Packets not before a stamp, in order; sound that comes twice comes once."""
    last: int | None = None
    for packet in packets:
        pts, dts = packet.pts, packet.dts
        if packet.size and pts is not None and dts is not None and pts >= origin and (last is None or dts > last):
            last = dts
            yield Piece(pts, dts, packet)


def _new_sound(target: OutputContainer, info: VideoInfo) -> Iterator[tuple[float, AnyPacket]]:
    """The sound encoded again."""
    stream = add_sound(target, FORM)
    frames = (frame for _, frame in sounds_of(info.path, 0.0, info.duration_s, FORM))
    for frame in chain(frames, [None]):
        for packet in stream.encode(frame):
            yield float((packet.dts or 0) * packet.time_base), packet
