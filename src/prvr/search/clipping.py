"""A moment as a file: its packets as they are where that is exact, else encoded again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias
from uuid import uuid4

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from prvr.core.errors import VideoError
from prvr.video.clock import Clock, may_restart, start_clock
from prvr.video.cut import cut
from prvr.video.probe import probe
from prvr.video.source import Damage, Source, open_video, shown, sound_of

COPIED = {
    ".mp4": ("mp4", {"h264", "hevc", "av1"}, {"aac", "mp3"}),
    ".webm": ("webm", {"vp8", "vp9", "av1"}, {"opus", "vorbis"}),
}
"""What a file of each suffix can hold as it is: container, pictures, sound."""

NEAR = 0.6  # frames; a key frame this close to the start is the picture that stands there

Stream: TypeAlias = VideoStream | AudioStream


class Piece(NamedTuple):
    """A packet and its stamps, in ticks of its stream."""

    pts: int
    dts: int
    packet: Packet  # type: ignore[type-arg]


class Track(NamedTuple):
    """The packets of one stream that belong to a clip."""

    stream: Stream
    pieces: Sequence[Piece]
    origin: int  # the stamp that becomes 0


def save_clip(path: Path, start_s: float, end_s: float, out: Path, *, fast: bool = False) -> bool:
    """Write what `path` shows from `start_s` to `end_s` to an .mp4 or .webm; -> whether packets were copied.

    Copied where the file's codecs may stand in `out`, a key frame stands at the start and no picture in the span is
    drawn from one after it. `fast` copies from any key frame before the start, so that the clip begins earlier and may
    end a few frames late. Everything else is encoded again by `video.cut`, exactly. Raises VideoError; `out` is
    replaced in one step when all is written.
    """
    if copy_clip(path, start_s, end_s, out, fast=fast):
        return True
    cut(path, start_s, end_s, out)
    return False


def copy_clip(path: Path, start_s: float, end_s: float, out: Path, *, fast: bool = False) -> bool:
    """Copy packets if that is possible; -> whether it was. Raises VideoError as `save_clip`."""
    form, info = COPIED.get(out.suffix.lower()), probe(path)
    start, end = max(start_s, 0.0), min(end_s, info.duration_s)
    if form is None or info.rotation or not start < end:
        return False
    container, *codecs = form
    with open_video(path) as source:
        clock, _ = start_clock(source, Damage())
        if not _fits(source, clock, *codecs):
            return False
    with open_video(path) as source:
        pictures = _pictures(source, clock, start, end)
        if pictures is None:
            return False
        begins, ends = (float((piece.pts - pictures.origin) * clock.tick) for piece in _ends(pictures.pieces))
        if not fast and (abs(begins - start) > NEAR / max(info.rate, 1.0) or ends >= end):
            return False
        zero = float(pictures.origin * clock.tick)
        sound = _sound(source.container, zero + begins, zero + end)
        _write(out, container, [pictures._replace(origin=pictures.pieces[0].pts), *sound])
    return True


def _fits(source: Source, clock: Clock, pictures: set[str], sounds: set[str]) -> bool:
    """Whether the codecs may stand in the new file, and the stamps are those of one clock that can be sought by."""
    sound = sound_of(source.container)
    known = source.stream.codec_context.name in pictures and (sound is None or sound.codec_context.name in sounds)
    return known and clock.start is not None and not clock.by_dts and not may_restart(source)


def _pictures(source: Source, clock: Clock, start: float, end: float) -> Track | None:
    """Packets from the last key frame that is not after `start` to `end`; None where they cannot be had."""
    zero = clock.start or 0
    latest, stop = zero + int(start / clock.tick) + clock.interval // 2, zero + int(end / clock.tick)
    try:
        source.container.seek(latest, stream=source.stream)
        pieces = list(_until(source.container, source.stream, stop))
    except av.error.FFmpegError:
        return None
    if not pieces or not pieces[0].packet.is_keyframe or pieces[0].pts > latest:
        return None
    whole = [piece for piece in pieces if piece.pts >= pieces[0].pts]  # leading pictures need what is left out
    after = next((i for i, piece in enumerate(whole) if piece.packet.is_keyframe and piece.pts >= stop), len(whole))
    if all(piece.pts >= stop for piece in whole[after:]):  # nothing in the span needs the next key frame
        whole = whole[:after]
    return Track(source.stream, whole, zero)


def _ends(pieces: Sequence[Piece]) -> tuple[Piece, Piece]:
    """The first, and the one that is shown last."""
    return pieces[0], max(pieces, key=lambda piece: piece.pts)


def _sound(container: InputContainer, start: float, end: float) -> Iterator[Track]:
    stream = sound_of(container)
    if stream is None or stream.time_base is None:
        return
    low, high = int(start / stream.time_base), int(end / stream.time_base)
    container.seek(low, stream=stream)
    pieces = [piece for piece in _until(container, stream, high) if piece.pts >= low]
    if pieces:
        yield Track(stream, pieces, low)


def _until(container: InputContainer, stream: Stream, end: int) -> Iterator[Piece]:
    """Packets from where the container stands up to one that is decoded at `end`, or that has no stamps."""
    for packet in container.demux(stream):
        if packet.pts is None or packet.dts is None or packet.dts >= end:
            return
        yield Piece(packet.pts, packet.dts, packet)


def _write(out: Path, container: str, tracks: Sequence[Track]) -> None:
    """All packets, in order of their decoding, into a file that is then renamed into place."""
    part = out.with_name(f".clip-{uuid4().hex}.tmp")
    try:
        with av.open(part, "w", format=container) as target:
            moved = [pair for track in tracks for pair in _moved(target, track)]
            for _, packet in sorted(moved, key=lambda pair: pair[0]):
                target.mux(packet)
        part.replace(out)
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(
            f"{shown(out)}: cannot be written ({error.strerror}); check the folder and the room on the disk"
        ) from None
    finally:
        part.unlink(missing_ok=True)


def _moved(target: OutputContainer, track: Track) -> Iterator[tuple[float, Packet]]:  # type: ignore[type-arg]
    """A new stream in `target` and its packets, with their decoding times in seconds."""
    stream = target.add_stream_from_template(track.stream)
    for pts, dts, packet in track.pieces:
        packet.pts, packet.dts = pts - track.origin, dts - track.origin
        packet.stream = stream
        yield float(packet.dts * packet.time_base), packet
