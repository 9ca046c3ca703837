"""A moment as a file: its packets as they are where that is exact, else encoded again."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeAlias
from uuid import uuid4
from zipfile import ZipFile

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from prvr.core.errors import VideoError
from prvr.video.clock import Clock, can_seek, start_clock
from prvr.video.cut import cut
from prvr.video.encode import written
from prvr.video.leaps import leaps_in
from prvr.video.probe import probe
from prvr.video.source import ReadDamage, Source, open_video, shown

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
    """The packets of one stream that belong to a new file, in order of their decoding."""

    stream: Stream
    pieces: Iterable[Piece]
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


def save_clips(
    clips: Sequence[tuple[Path, float, float]],
    out: Path,
    suffix: str,
    *,
    fast: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """One clip (file, start, end) as a file of that suffix; several of them in one .zip. Raises VideoError.

    `fast` as in `save_clip`. `on_progress` hears how many are written. `out` is replaced in one step when all are.
    """
    if len(clips) == 1:
        save_clip(*clips[0], out, fast=fast)
        return
    part, one = (out.with_name(f".{uuid4().hex}{end}") for end in (".tmp", suffix))
    try:
        with ZipFile(part, "w") as target:
            for number, (path, start, end) in enumerate(clips, 1):
                save_clip(path, start, end, one, fast=fast)
                target.write(one, f"{number:03} {path.stem} {start:.1f}-{end:.1f}{suffix}")
                if on_progress:
                    on_progress(number)
        part.replace(out)
    except (OSError, UnicodeEncodeError) as error:
        raise VideoError(
            f"{shown(out)}: cannot be written ({getattr(error, 'strerror', '') or error}); "
            "check the folder and the room on the disk"
        ) from error
    finally:
        for left in (part, one):
            with suppress(OSError):
                left.unlink(missing_ok=True)


def copy_clip(path: Path, start_s: float, end_s: float, out: Path, *, fast: bool = False) -> bool:
    """Copy packets if that is possible; -> whether it was. Raises VideoError as `save_clip`."""
    form, info = COPIED.get(out.suffix.lower()), probe(path)
    start, end = max(start_s, 0.0), min(end_s, info.duration_s)
    if form is None or info.rotation or info.mirrored or not start < end:
        return False
    container, *codecs = form
    with open_video(path) as source:
        clock, _ = start_clock(source, ReadDamage())
        if not _fits(source, clock, *codecs):
            return False
    with open_video(path) as source:
        pieces = _pictures(source, clock, start, end)
        if not pieces:
            return False
        begins, ends = (clock.seconds(piece.pts) for piece in _ends(pieces))
        if not fast and (abs(begins - start) > NEAR / max(info.rate, 1.0) or ends >= end):
            return False
        zero = float(clock.zero * clock.tick)
        sound = _sound(source, zero + begins, zero + end)
        with written(out, container) as target:
            tracks = [Track(source.stream, pieces, pieces[0].pts), *sound]
            for _, packet in heapq.merge(*(moved(target, track) for track in tracks), key=itemgetter(0)):
                target.mux(packet)
    return True


def _fits(source: Source, clock: Clock, pictures: set[str], sounds: set[str]) -> bool:
    """Whether the codecs may stand in the new file, and the stamps are those of one clock that can be sought by."""
    sound = source.sound
    known = source.stream.codec_context.name in pictures and (sound is None or sound.codec_context.name in sounds)
    return known and can_seek(source, clock)


def _pictures(source: Source, clock: Clock, start: float, end: float) -> list[Piece]:
    """Packets from the last key frame that is not after `start` to `end`; none where they cannot be had."""
    latest, stop = max(clock.at(start), clock.start or 0) + clock.interval // 2, clock.at(end)
    try:
        source.container.seek(latest, stream=source.stream)
        if leaps_in(source):
            return []
        pieces = list(_until(source.container, source.stream, stop))
    except av.error.FFmpegError:
        return []
    if not pieces or not pieces[0].packet.is_keyframe or pieces[0].pts > latest:
        return []
    whole = [piece for piece in pieces if piece.pts >= pieces[0].pts]  # leading pictures need what is left out
    after = next((i for i, piece in enumerate(whole) if piece.packet.is_keyframe and piece.pts >= stop), len(whole))
    if all(piece.pts >= stop for piece in whole[after:]):  # nothing in the span needs the next key frame
        whole = whole[:after]
    return whole


def _ends(pieces: Sequence[Piece]) -> tuple[Piece, Piece]:
    """The first, and the one that is shown last."""
    return pieces[0], max(pieces, key=lambda piece: piece.pts)


def _sound(source: Source, start: float, end: float) -> Iterator[Track]:
    container, stream = source.container, source.sound
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


def moved(target: OutputContainer, track: Track) -> Iterator[tuple[float, Packet]]:  # type: ignore[type-arg]
    """A new stream in `target` and its packets, with their decoding times in seconds."""
    stream = target.add_stream_from_template(track.stream)
    if target.format.name == "mp4" and _sets_are_outside(track.stream):
        stream.codec_context.codec_tag = "hvc1"  # FFmpeg writes hev1, which QuickTime, Safari and iOS do not play
    for pts, dts, packet in track.pieces:
        packet.pts, packet.dts = pts - track.origin, dts - track.origin
        packet.stream = stream
        yield float(packet.dts * packet.time_base), packet


def _sets_are_outside(stream: Stream) -> bool:
    """Whether an HEVC stream's parameter sets (video, sequence, picture) stand in its header, as `hvc1` promises.

    Its configuration record counts the arrays of them in byte 22 (ISO/IEC 14496-15).
    """
    header = stream.codec_context.extradata or b""
    return stream.codec_context.name == "hevc" and header[:1] == b"\x01" and len(header) > 22 and header[22] >= 3
