"""The sound of a file, timed like its pictures: as it is, or as what listens to speech wants it.

Times are those of `frame.pts` on the file's own clock (`clock.py`), never counted samples: sound may begin late, stop
and go on. Speech is one channel of 16,000 samples a second, mixed in whole numbers, which cannot leave -1 to 1 where
two equal sides are added.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.packet import Packet
from numpy.typing import NDArray

from prvr.core.errors import VideoError
from prvr.core.text import count
from prvr.video.clock import Clock, sound_packets, start_clock, steady
from prvr.video.source import ReadDamage, Source, open_video, shown

SPEECH_RATE = 16_000  # samples a second
BLOCK = 30 * SPEECH_RATE  # samples that are handed on together
SLIP_S = 0.04  # that counted samples may be off their stamps before they are put right
HOLE_S = 5.0  # a longer pause between stamps is left out, a shorter one is silence
TICK = Fraction(1, 48_000)  # of sound that does not say

Samples = NDArray[np.int16]


class SoundBlock(NamedTuple):
    """Some sound without a hole."""

    start_s: float
    samples: Samples  # of SPEECH_RATE a second


class SilentFilm(VideoError):
    """A video that has no sound, or not the track that was asked for."""


def heard(source: Source, clock: Clock, packets: Iterator[Packet[Any]]) -> Iterator[tuple[float, AudioFrame]]:
    """The sound that decodes and its second on the clock."""
    sound = source.sound
    assert sound is not None
    tick = sound.time_base or TICK
    zero = clock.zero * clock.tick
    for stamp, frame in steady(_decoded_sound(packets)):
        yield float(stamp * tick - zero), frame


def speech(path: Path, track: str | None = None) -> Iterator[SoundBlock]:
    """The sound of a video from its beginning, a block at a time, in bounded memory.

    `track`: by number from 1, or by language as the file has it; the one that players choose without it. Raises
    SilentFilm where there is none, VideoError for what is no video.
    """
    with open_video(path) as looked_at:
        clock, _ = start_clock(looked_at, ReadDamage())
    with open_video(path) as source:
        source = source._replace(sound=_track(source, path, track))
        run = _Run()
        for at_s, frame in heard(source, clock, sound_packets(source, ReadDamage())):
            yield from run.add(at_s, frame)
        yield from run.end()


def track_names(source: Source) -> list[str]:
    """The languages of the sound tracks, in their order; `?` where the file does not say."""
    return [stream.metadata.get("language", "?") for stream in source.container.streams.audio]


def _track(source: Source, path: Path, wanted: str | None) -> AudioStream:
    if source.sound is None:
        raise SilentFilm(f"{shown(path)}: has no sound")
    if wanted is None:
        return source.sound
    names, streams = track_names(source), source.container.streams.audio
    number = int(wanted) - 1 if wanted.isdecimal() else names.index(wanted) if wanted in names else -1
    if not 0 <= number < len(streams):
        raise SilentFilm(
            f"{shown(path)}: has {count(len(streams), 'sound track')} ({', '.join(names)}) and no {wanted}"
        )
    return streams[number]


@dataclass
class _Run:
    """Sound that follows without a hole, as far as it was not handed on yet."""

    _start_s: float = 0.0
    _kept: list[Samples] = field(default_factory=list)
    _num_kept: int = 0
    _resampler: AudioResampler | None = None
    _form: tuple[object, ...] = ()
    _next_s: float | None = None  # where the next frame has to begin

    def add(self, at_s: float, frame: AudioFrame) -> Iterator[SoundBlock]:
        """What is full once a frame came."""
        form = (frame.sample_rate, frame.format.name, frame.layout.name)
        slip_s = 0.0 if self._next_s is None else at_s - self._next_s
        if self._resampler is None or form != self._form or abs(slip_s) > SLIP_S:
            self._finish()
            if self._next_s is None or slip_s > HOLE_S:
                yield from self._full(0)
                self._start_s, self._num_kept = at_s, 0
            else:
                self._settle(at_s)
            self._resampler, self._form = AudioResampler("s16", "mono", SPEECH_RATE), form
        self._next_s = at_s + frame.samples / frame.sample_rate
        frame.pts = None  # the resampler would fill or shift by it, in another clock
        try:
            self._keep(self._resampler.resample(frame))
        except av.error.FFmpegError:  # of one frame; the next one finds its place by its stamp
            self._resampler = None
        yield from self._full(BLOCK)

    def end(self) -> Iterator[SoundBlock]:
        """What is left."""
        self._finish()
        yield from self._full(0)

    def _settle(self, at_s: float) -> None:
        """Silence up to a second, or what lies beyond it taken back."""
        off = round((at_s - self._start_s) * SPEECH_RATE) - self._num_kept
        if off >= 0:
            self._kept.append(np.zeros(off, np.int16))
        else:
            whole = np.concatenate([np.zeros(0, np.int16), *self._kept])
            self._kept = [whole[: max(0, len(whole) + off)]]
        self._num_kept = sum(map(len, self._kept))

    def _keep(self, frames: list[AudioFrame]) -> None:
        for frame in frames:
            self._kept.append(frame.to_ndarray()[0].copy())
            self._num_kept += frame.samples

    def _finish(self) -> None:
        """What the resampler holds; it is of no use afterwards."""
        if self._resampler is not None:
            with suppress(av.error.FFmpegError):
                self._keep(self._resampler.resample(None))
            self._resampler = None

    def _full(self, size: int) -> Iterator[SoundBlock]:
        if self._num_kept > size or (not size and self._num_kept):
            yield SoundBlock(self._start_s, np.concatenate(self._kept))
            self._start_s += self._num_kept / SPEECH_RATE
            self._kept, self._num_kept = [], 0


def _decoded_sound(packets: Iterator[Packet[AudioStream]]) -> Iterator[tuple[int, AudioFrame]]:
    for packet in packets:
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        yield from ((frame.pts, frame) for frame in frames if frame.pts is not None)
