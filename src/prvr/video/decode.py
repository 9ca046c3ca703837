"""Frames at a steady rate, as a stream of batches that stays small however long the video is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.video.clock import Length, measure, presented, start_clock
from prvr.video.picture import Painter, pictures
from prvr.video.source import ReadDamage, no_frame, open_video

BATCH_BYTES = 48 << 20  # raw RGB; a single larger frame is a batch of its own
BATCH_FRAMES = 64  # so that what an encoder makes of a batch of small frames stays small too


class FrameBatch(NamedTuple):
    """Neighbouring samples of one size."""

    frames: Tensor  # (B, 3, h, w) uint8 RGB, as a player shows them, the pixel aspect ratio not applied
    times: Tensor  # (B,) float64, seconds of the file's clock, strictly increasing over all batches


class FrameReader:
    """The batches of one file, and how much of it was damaged (complete when the last batch has been read)."""

    def __init__(self, path: Path, *, rate: float, max_frames: int | None, threads: int) -> None:
        self._path = path
        self._damage = ReadDamage()
        self._batches = self._read(rate, max_frames, threads)

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

    def __next__(self) -> FrameBatch:
        return next(self._batches)

    def _read(self, rate: float, max_frames: int | None, threads: int) -> Iterator[FrameBatch]:
        if max_frames is not None and self._length.shown_s > 0:
            rate = min(rate, max_frames / self._length.shown_s)
        kept: list[NDArray[np.uint8]] = []
        times: list[float] = []
        # The slice cuts only where the packets promised less than there is.
        for time, image in islice(_samples(self._path, rate, threads, self._damage), max_frames):
            full = len(kept) >= min(BATCH_FRAMES, BATCH_BYTES // image.nbytes)
            if kept and (full or image.shape != kept[0].shape):
                yield _batch(kept, times)
                kept, times = [], []
            kept.append(image)
            times.append(time)
        if not kept:
            raise no_frame(self._path)
        yield _batch(kept, times)


def sample_frames(path: Path, *, rate: float = 1.0, max_frames: int | None = None, threads: int = 1) -> FrameReader:
    """Frames of a video at `rate` frames per second, at most `max_frames`, in batches of bounded size.

    For k = 0, 1, 2, ... the sample is the first frame that is not before k / rate seconds (to a millionth of 1 / rate);
    one that stands in for several k, because nothing was shown anew for a while, or nothing yet, comes once. So a file
    of which anything decodes gives at least one frame. When the whole video would give more than `max_frames`, the rate
    is lowered to max_frames / seconds shown, so that the samples spread over all of it. All frames are decoded, in
    order; only samples are converted to RGB. A change of size starts a new batch. What cannot be decoded is passed
    over and counted; a file of which nothing can is a VideoError, raised when the first batch is asked for.
    """
    if not (math.isfinite(rate) and rate > 0):
        raise ConfigError(f"rate: {rate} frames per second is impossible; give a number above 0, such as 1")
    if max_frames is not None and max_frames < 1:
        raise ConfigError(f"max_frames: {max_frames} is impossible; give at least 1, or leave it out")
    return FrameReader(path, rate=rate, max_frames=max_frames, threads=threads)


def _samples(path: Path, rate: float, threads: int, damage: ReadDamage) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Each sample as (seconds, (h, w, 3) RGB)."""
    painter = Painter()
    served = -1  # the last k that has its sample
    with open_video(path, threads=threads) as source:
        clock, packets = start_clock(source, damage)
        for picture in pictures(presented(source.stream, packets, clock, damage), source.stream):
            step = math.floor(picture.time_s * rate + 1e-6)  # the last k that this frame is not before
            if step <= served:
                continue
            try:
                image = painter.rgb(picture)
            except av.error.FFmpegError:
                damage.frames += 1
                continue
            served = step
            yield picture.time_s, image


def _batch(images: list[NDArray[np.uint8]], times: list[float]) -> FrameBatch:
    height, width, _ = images[0].shape
    frames = np.empty((len(images), 3, height, width), np.uint8)
    for frame, image in zip(frames, images, strict=True):
        frame[...] = image.transpose(2, 0, 1)
    return FrameBatch(torch.from_numpy(frames), torch.tensor(times, dtype=torch.float64))
