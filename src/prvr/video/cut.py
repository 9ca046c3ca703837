"""A moment of a video as a small file of its own."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from prvr.core.errors import VideoError
from prvr.core.types import VideoInfo
from prvr.video.clock import Clock, may_restart, one_clock, presented, start_clock, steady
from prvr.video.picture import rotation_of, upright
from prvr.video.probe import probe
from prvr.video.source import Damage, Source, open_video, packets_of, shown, sound_of

TICK = Fraction(1, 90_000)  # of what is written
SOUND_RATE = 48_000
SLOWEST = 10.0  # frames per second that the last frame of a cut is written with


class Form(NamedTuple):
    """How a file of one suffix is written."""

    container: str
    video: str
    video_options: dict[str, str]
    audio: str
    sample_format: str


FORMS = {
    ".mp4": Form("mp4", "libx264", {"crf": "20", "preset": "veryfast"}, "aac", "fltp"),
    ".webm": Form(
        "webm", "libvpx-vp9", {"crf": "32", "b:v": "0", "deadline": "realtime", "cpu-used": "6"}, "libopus", "s16"
    ),
}


def cut(path: Path, start: float, end: float, out: Path) -> None:
    """Write what `path` shows from `start` to `end` (seconds from its first frame, clamped to it) to `out`.

    Encoded again, so that it begins with the very picture that is shown at `start`: H.264 and AAC for .mp4, VP9 and
    Opus for .webm; upright, sound kept to one sound packet. `out` is replaced in one step when all is written.
    """
    form = FORMS.get(out.suffix.lower())
    if form is None:
        raise VideoError(f"{shown(out)}: cannot write {out.suffix or 'a file without suffix'!r}; name it .mp4 or .webm")
    info = probe(path)
    first, last = max(start, 0.0), min(end, info.duration_s)
    if not first < last:
        raise VideoError(
            f"{shown(path)}: nothing lies between {start} and {end} s; the video is {info.duration_s:.2f} s long: "
            "give a start before the end and inside it"
        )
    part = out.with_name(f".cut-{uuid4().hex}.tmp")
    try:
        with av.open(part, "w", format=form.container) as container:
            _write(container, form, info, first, last)
        part.replace(out)
    except (av.error.FFmpegError, OSError) as error:  # reading does not raise these
        raise VideoError(
            f"{shown(out)}: cannot be written ({error.strerror}); check the folder and the room on the disk"
        ) from None
    finally:
        part.unlink(missing_ok=True)


def _write(container: OutputContainer, form: Form, info: VideoInfo, start: float, end: float) -> None:
    rate = Fraction(min(max(info.rate, SLOWEST), 240.0)).limit_denominator(1001)
    video = container.add_stream(form.video, rate=rate, options=form.video_options)
    assert isinstance(video, VideoStream)
    video.width, video.height = (max(2, side - side % 2) for side in (info.width, info.height))
    video.pix_fmt = "yuv420p"
    video.codec_context.time_base = TICK
    pictures = _pictures(info.path, start, end, step=float(1 / rate))
    if info.audio_codec is None:
        for time, picture in pictures:
            container.mux(video.encode(_fit(picture, video, time)))
    else:
        audio = container.add_stream(form.audio, rate=SOUND_RATE, layout="stereo", format=form.sample_format)
        assert isinstance(audio, AudioStream)
        sounds = _sounds(info.path, start, end, form)
        both: tuple[Iterator[tuple[float, VideoFrame | AudioFrame]], ...] = (pictures, sounds)
        for time, item in heapq.merge(*both, key=lambda pair: pair[0]):
            if isinstance(item, AudioFrame):
                container.mux(audio.encode(item))
            else:
                container.mux(video.encode(_fit(item, video, time)))
        container.mux(audio.encode(None))
    container.mux(video.encode(None))


def _pictures(path: Path, start: float, end: float, *, step: float) -> Iterator[tuple[float, VideoFrame]]:
    """What is shown from `start` on, timed from there: at 0 the frame that stands then, and to the very end."""
    standing: tuple[float, VideoFrame] | None = None
    for time, frame in _frames_around(path, start):
        if time >= end:
            break
        if standing is not None and time > start:
            yield standing
        standing = (max(0.0, time - start), frame)
    if standing is None:
        return
    yield standing
    closing = end - start - step
    if closing > standing[0] + step / 2:  # a long last frame would else last only one step
        yield closing, standing[1]


def _frames_around(path: Path, start: float) -> Iterator[tuple[float, VideoFrame]]:
    """Frames in order from one that is not after `start`; from the beginning where seeking does not lead there."""
    with open_video(path) as source:
        clock, _ = start_clock(source, Damage())
        if _seek(source, clock, start):
            frames = presented(source.stream, packets_of(*source, Damage()), clock, Damage())
            first = next(frames, None)
            if first is not None and first[0] <= start:
                yield first
                yield from frames
                return
    with open_video(path) as source:
        clock, packets = start_clock(source, Damage())
        yield from presented(source.stream, packets, clock, Damage())


def _seek(source: Source, clock: Clock, start: float) -> bool:
    """Go to the last key frame before `start`, where the clock is one that can be sought by."""
    if clock.start is None or clock.by_dts or may_restart(source):
        return False
    try:
        source.container.seek(clock.start + math.floor(start / clock.tick), stream=source.stream)
    except av.error.FFmpegError:
        return False
    return True


def _sounds(path: Path, start: float, end: float, form: Form) -> Iterator[tuple[float, AudioFrame]]:
    """The sound of the span as the encoder wants it, without gaps, timed from `start`."""
    resampler, made_for = None, None
    written: int | None = None  # samples
    for time, frame in _sounds_around(path, start):
        if time >= end:
            break
        if time < start:
            continue
        if written is None:
            written = round((time - start) * SOUND_RATE)
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or kind != made_for:
            resampler, made_for = AudioResampler(form.sample_format, "stereo", SOUND_RATE), kind
        frame.pts = None
        for piece in resampler.resample(frame):
            piece.pts, piece.time_base = written, Fraction(1, SOUND_RATE)
            yield written / SOUND_RATE, piece
            written += piece.samples


def _sounds_around(path: Path, start: float) -> Iterator[tuple[float, AudioFrame]]:
    """Sound in order, timed like the pictures; from before `start`, where seeking leads there."""
    with open_video(path) as source:
        clock, _ = start_clock(source, Damage())
        _seek(source, clock, start)
        origin = Fraction(clock.start or 0) * clock.tick
        stream = sound_of(source.container)
        if stream is None:
            return
        tick = stream.time_base or Fraction(1, SOUND_RATE)
        packets = one_clock(packets_of(source.container, stream, Damage()), interval=round(Fraction(1, 50) / tick))
        for ticks, frame in steady(_decoded_sound(packets)):
            yield float(ticks * tick - origin), frame


def _decoded_sound(packets: Iterator[Packet[AudioStream]]) -> Iterator[tuple[int, AudioFrame]]:
    for packet in packets:
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        yield from ((frame.pts, frame) for frame in frames if frame.pts is not None)


def _fit(frame: VideoFrame, video: VideoStream, time: float) -> VideoFrame:
    """The frame upright, in the size and format that is written, shown at `time`."""
    if rotation_of(frame):
        frame = VideoFrame.from_ndarray(upright(frame, VideoReformatter()), format="rgb24")
    fitted = frame.reformat(width=video.width, height=video.height, format="yuv420p")
    fitted.pts, fitted.time_base = round(time / TICK), TICK
    fitted.pict_type = 0  # else the encoder repeats the key frames of the source
    return fitted
