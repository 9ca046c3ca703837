"""Frames at a steady rate as arrays, in batches of bounded size: what `decode` hands on, without torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import av
import numpy as np
from numpy.typing import NDArray

from prvr.video.clock import Length, measure, presented, start_clock
from prvr.video.picture import Painter, pictures
from prvr.video.source import ReadDamage, no_frame, open_video

BATCH_BYTES = 48 << 20  # raw RGB; a single larger frame is a batch of its own
BATCH_FRAMES = 64  # so that what an encoder makes of a batch of small frames stays small too

Bytes = NDArray[np.uint8]


class RawBatch(NamedTuple):
    """Neighbouring samples of one size."""

    frames: Bytes  # (B, 3, h, w) RGB, as a player shows them, the pixel aspect ratio not applied
    times: NDArray[np.float64]  # (B,) seconds of the file's clock, strictly increasing over all batches


def anywhere(shape: tuple[int, ...]) -> Bytes:
    """Room for a batch."""
    return np.empty(shape, np.uint8)


def nothing() -> None:
    """Nobody counts the pictures."""


class RawFrames:
    """The batches of one file, and how much of it was damaged (complete when the last batch has been read).

    Sampled as `decode.sample_frames` says. `room` gives the memory of a batch, `on_picture` is called for every picture
    that was decoded.
    """

    def __init__(
        self,
        path: Path,
        *,
        rate: float = 1.0,
        max_frames: int | None = None,
        threads: int = 1,
        room: Callable[[tuple[int, ...]], Bytes] = anywhere,
        on_picture: Callable[[], object] = nothing,
    ) -> None:
        self._path, self._threads, self._room, self._on_picture = path, threads, room, on_picture
        self._damage = ReadDamage()
        self._batches = self._read(rate, max_frames)

    @property
    def duration_s(self) -> float:
        """Where the video ends, by its packets (see `measure`); they are looked at once, and before any is decoded."""
        return self._length.end_s

    @cached_property
    def _length(self) -> Length:
        return measure(self._path)

    @property
    def damaged_packets(self) -> int:
        """Packets that could not be decoded so far."""
        return self._damage.packets

    @property
    def damaged_frames(self) -> int:
        """Frames that the decoder flagged as damaged so far; they are delivered all the same."""
        return self._damage.frames

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RawBatch:
        return next(self._batches)

    def _read(self, rate: float, max_frames: int | None) -> Iterator[RawBatch]:
        if max_frames is not None and self._length.shown_s > 0:
            rate = min(rate, max_frames / self._length.shown_s)
        kept: list[Bytes] = []
        times: list[float] = []
        # The slice cuts only where the packets promised less than there is.
        for time, image in islice(self._samples(rate), max_frames):
            full = len(kept) >= min(BATCH_FRAMES, BATCH_BYTES // image.nbytes)
            if kept and (full or image.shape != kept[0].shape):
                yield self._batch(kept, times)
                kept, times = [], []
            kept.append(image)
            times.append(time)
        if not kept:
            raise no_frame(self._path)
        yield self._batch(kept, times)

    def _samples(self, rate: float) -> Iterator[tuple[float, Bytes]]:
        """Each sample as (seconds, (h, w, 3) RGB)."""
        painter = Painter()
        served = -1  # the last k that has its sample
        with open_video(self._path, threads=self._threads) as source:
            clock, packets = start_clock(source, self._damage)
            for picture in pictures(presented(source.stream, packets, clock, self._damage), source.stream):
                self._on_picture()
                step = math.floor(picture.time_s * rate + 1e-6)  # the last k that this frame is not before
                if step <= served:
                    continue
                try:
                    image = painter.rgb(picture)
                except av.error.FFmpegError:
                    self._damage.frames += 1
                    continue
                served = step
                yield picture.time_s, image

    def _batch(self, images: list[Bytes], times: list[float]) -> RawBatch:
        height, width, _ = images[0].shape
        frames = self._room((len(images), 3, height, width))
        for frame, image in zip(frames, images, strict=True):
            frame[...] = image.transpose(2, 0, 1)
        return RawBatch(frames, np.array(times, np.float64))


def first_picture(path: Path) -> Bytes:
    """(3, h, w) RGB: the first that a file shows. Raises VideoError."""
    frames, _ = next(RawFrames(path, max_frames=1))
    first: Bytes = frames[0]
    return first
