"""Pictures and sound written anew, in the two forms that browsers play."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from prvr.core.errors import VideoError
from prvr.core.facts import VideoInfo
from prvr.video.clock import LATE_S, sound_packets, start_clock
from prvr.video.leaps import AHEAD_STILL_S, Shifts, one_clock
from prvr.video.light import hdr_of
from prvr.video.picture import Painter, Picture, shown_size
from prvr.video.seek import ROUNDED_S, pictures_around, seek
from prvr.video.sound import heard
from prvr.video.source import ReadDamage, no_frame, open_video, packets_of, shown

TICK = Fraction(1, 90_000)  # of what is written
SOUND_RATE = 48_000
SLOWEST = 10.0  # frames per second that the last frame of a cut is written with
BT709 = 1  # of matrices, curves and primaries
UNSAID = 2  # of them too
SLIP = 0.1  # seconds that sound may run ahead of its time stamps or behind


class Excerpt(NamedTuple):
    """A span of a file, seconds of its clock; it lies within the file."""

    info: VideoInfo
    start: float
    end: float


class FileForm(NamedTuple):
    """How a file of one suffix is written."""

    container: str
    video: str
    video_options: dict[str, str]
    audio: str
    sample_format: str


FORMS = {
    ".mp4": FileForm("mp4", "libx264", {"crf": "20", "preset": "veryfast"}, "aac", "fltp"),
    ".webm": FileForm(
        "webm", "libvpx-vp9", {"crf": "32", "b:v": "0", "deadline": "realtime", "cpu-used": "6"}, "libopus", "s16"
    ),
}


@contextmanager
def written(out: Path, container: str, *, options: dict[str, str] | None = None) -> Iterator[OutputContainer]:
    """A new file to write into, which replaces `out` in one step when it is complete, or leaves nothing behind.

    Raises VideoError where it cannot be written; nothing that is read may raise what FFmpeg raises.
    """
    part = out.with_name(f".{uuid4().hex}.tmp")
    try:
        with av.open(part, "w", format=container, options=options or {}) as target:
            yield target
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(out)
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(
            f"{shown(out)}: cannot be written ({error.strerror}); check the folder and the room on the disk"
        ) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def encode(
    container: OutputContainer,
    form: FileForm,
    excerpts: Sequence[Excerpt],
    *,
    tallest: int | None = None,
    on_time: Callable[[float], None] | None = None,
) -> None:
    """Write what is shown and heard in some spans, one after another, into an open file, as a player shows it.

    Pixels are square. The first picture says the size; those of another shape stand in the middle of black. `on_time`
    hears how many seconds are written.
    """
    rate = Fraction(min(max(excerpts[0].info.rate, SLOWEST), 240.0)).limit_denominator(1001)
    pictures = _pictures_of(excerpts, step=float(1 / rate))
    first = next(pictures)
    video = container.add_stream(form.video, rate=rate, options=form.video_options)
    assert isinstance(video, VideoStream)
    video.width, video.height = shown_size(*first[1].size, first[1].shown_aspect, tallest=tallest)
    video.pix_fmt = "yuv420p"
    video.codec_context.time_base = TICK
    _keep_colours(video, first[1].frame)
    audio = add_sound(container, form) if any(excerpt.info.audio_codec for excerpt in excerpts) else None
    sounds = iter(()) if audio is None else _sounds_of(excerpts, form)
    both: tuple[Iterator[tuple[float, Picture | AudioFrame]], ...] = (chain([first], pictures), sounds)
    painter = Painter()
    for time, item in heapq.merge(*both, key=itemgetter(0)):
        if isinstance(item, Picture):
            matrix = _matrix(video, item.frame)
            frame = painter.fitted(item, video.width, video.height, matrix=matrix)
            container.mux(video.encode(_timed(frame, time)))
            if on_time:
                on_time(time)
        elif audio is not None:
            container.mux(audio.encode(item))
    container.mux(video.encode(None))
    if audio is not None:
        container.mux(audio.encode(None))


def _pictures_of(excerpts: Sequence[Excerpt], *, step: float) -> Iterator[tuple[float, Picture]]:
    """What is shown in one after another, timed from the start of the first. Raises NoFrame for one without any."""
    at = 0.0
    for info, start, end in excerpts:
        pictures = pictures_of(info.path, start, end, step=step)
        first = next(pictures, None)
        if first is None:
            raise no_frame(info.path)
        for time, picture in chain([first], pictures):
            yield at + time, picture
        at += end - start


def _sounds_of(excerpts: Sequence[Excerpt], form: FileForm) -> Iterator[tuple[float, AudioFrame]]:
    """The sound of one after another: each begins with its pictures, and it is silent where there is none."""
    written, at = 0, 0.0
    for info, start, end in excerpts:
        stop = round((at + end - start) * SOUND_RATE)
        for time, frame in sounds_of(info.path, start, end, form) if info.audio_codec else ():
            due = round((at + time) * SOUND_RATE)
            if due - written > AHEAD_STILL_S * SOUND_RATE:
                written = due  # nobody waits for hours of silence to be encoded
            while due > written:
                silent = _silence(min(due - written, SOUND_RATE), form)
                yield written / SOUND_RATE, _sounding(silent, written)
                written += silent.samples
            if written >= stop:
                break
            heard = _shortened(frame, stop - written)
            yield written / SOUND_RATE, _sounding(heard, written)
            written += heard.samples
        at += end - start


def add_sound(container: OutputContainer, form: FileForm) -> AudioStream:
    """A new stream for what `sounds_of` gives."""
    audio = container.add_stream(form.audio, rate=SOUND_RATE, layout="stereo", format=form.sample_format)
    assert isinstance(audio, AudioStream)
    return audio


def pictures_of(path: Path, start: float, end: float, *, step: float) -> Iterator[tuple[float, Picture]]:
    """What is shown from `start` on, timed from there: at 0 the frame that stands then, and to the very end.

    Where nothing decodes yet at `start`, the first frame that does stands there.
    """
    standing: tuple[float, Picture] | None = None
    for picture in pictures_around(path, start, threads=0):
        time = 0.0 if picture.time_s <= start + ROUNDED_S else picture.time_s - start
        if picture.time_s >= end - ROUNDED_S and standing is not None:
            break
        if standing is not None and time:
            yield standing
        elif standing is None and time > LATE_S:
            yield 0.0, picture
        standing = (time, picture)
    if standing is None:
        return
    yield standing
    closing = end - start - step
    if closing > standing[0] + step / 2:  # a long last frame would else last only one step
        yield closing, standing[1]


def sounds_of(path: Path, start: float, end: float, form: FileForm) -> Iterator[tuple[float, AudioFrame]]:
    """The sound of the span as the encoder wants it, timed from `start`; holes in it are silent."""
    resampler, made_for = None, None
    written: int | None = None  # samples
    for time, frame in _sounds_around(path, start):
        if time >= end:
            break
        if time < start:
            continue
        due = round((time - start) * SOUND_RATE)
        if written is None:
            written = due
        if written - due > SLIP * SOUND_RATE:
            continue
        if due - written > AHEAD_STILL_S * SOUND_RATE:
            written = due  # nobody waits for hours of silence to be encoded
        while due - written > SLIP * SOUND_RATE:
            silent = _silence(min(due - written, SOUND_RATE), form)
            yield written / SOUND_RATE, _sounding(silent, written)
            written += silent.samples
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or kind != made_for:
            resampler, made_for = AudioResampler(form.sample_format, "stereo", SOUND_RATE), kind
        frame.pts = None
        for piece in resampler.resample(frame):
            yield written / SOUND_RATE, _sounding(piece, written)
            written += piece.samples


def _timed(frame: VideoFrame, time: float) -> VideoFrame:
    frame.pts, frame.time_base = round(time / TICK), TICK
    frame.pict_type = PictureType.NONE  # else the encoder repeats the key frames of the source
    return frame


def _sounding(frame: AudioFrame, samples: int) -> AudioFrame:
    frame.pts, frame.time_base = samples, Fraction(1, SOUND_RATE)
    return frame


def _shortened(frame: AudioFrame, samples: int) -> AudioFrame:
    """So many samples of a frame at most."""
    if frame.samples <= samples:
        return frame
    values = samples if frame.format.is_planar else samples * frame.layout.nb_channels
    made = AudioFrame.from_ndarray(
        np.ascontiguousarray(frame.to_ndarray()[:, :values]), frame.format.name, frame.layout.name
    )
    made.sample_rate = frame.sample_rate
    return made


def _silence(samples: int, form: FileForm) -> AudioFrame:
    frame = AudioFrame(format=form.sample_format, layout="stereo", samples=samples)
    frame.sample_rate = SOUND_RATE
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    return frame


def _keep_colours(video: VideoStream, frame: VideoFrame) -> None:
    """What the numbers of the pixels mean is said in the new file as it was in the old one."""
    context = video.codec_context
    said = (frame.colorspace, frame.color_trc, frame.color_primaries)
    context.colorspace, context.color_trc, context.color_primaries = (BT709,) * 3 if hdr_of(frame) else said
    context.color_range = ColorRange.MPEG


def _matrix(video: VideoStream, frame: VideoFrame) -> Colorspace | None:
    """What the colours of a frame are turned into, where both it and the file say theirs, and these differ."""
    ours, its = video.codec_context.colorspace, frame.colorspace
    if ours == its or UNSAID in (ours, its):
        return None
    return Colorspace.ITU709 if ours == BT709 else Colorspace.ITU601


def _sounds_around(path: Path, start: float) -> Iterator[tuple[float, AudioFrame]]:
    """Sound in order, timed like the pictures; from before `start`, where seeking leads there."""
    with open_video(path) as looked_at, open_video(path) as source:
        clock, _ = start_clock(looked_at, ReadDamage())  # reads on, past the sound of the first seconds
        if source.sound is None:
            return
        if seek(source, clock, start):
            packets = packets_of(source.container, (source.sound,), ReadDamage())
            yield from heard(source, clock, one_clock(packets, Shifts()))
            return
    with open_video(path) as source:
        yield from heard(source, clock, sound_packets(source, ReadDamage()))
