"""Frames at a steady rate, as a stream of batches that stays small however long the video is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.video.frames import RawFrames


class FrameBatch(NamedTuple):
    """Neighbouring samples of one size."""

    frames: Tensor  # (B, 3, h, w) uint8 RGB, as a player shows them, the pixel aspect ratio not applied
    times: Tensor  # (B,) float64, seconds of the file's clock, strictly increasing over all batches


class FrameReader:
    """The batches of one file, and how much of it was damaged (complete when the last batch has been read)."""

    def __init__(self, raw: RawFrames) -> None:
        self._raw = raw

    @property
    def duration_s(self) -> float:
        """Where the video ends, by its packets."""
        return self._raw.duration_s

    @property
    def damaged_packets(self) -> int:
        """Packets that could not be decoded so far."""
        return self._raw.damaged_packets

    @property
    def damaged_frames(self) -> int:
        """Frames that the decoder flagged as damaged so far; they are delivered all the same."""
        return self._raw.damaged_frames

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> FrameBatch:
        frames, times = next(self._raw)
        return FrameBatch(torch.from_numpy(frames), torch.from_numpy(times))


def sample_frames(path: Path, *, rate: float = 1.0, max_frames: int | None = None, threads: int = 1) -> FrameReader:
    """Frames of a video at `rate` frames per second, at most `max_frames`, in batches of bounded size.

    For k = 0, 1, 2, ... the sample is the first frame that is not before k / rate seconds (to a millionth of 1 / rate);
    one that stands in for several k, because nothing was shown anew for a while, or nothing yet, comes once. So a file
    of which anything decodes gives at least one frame. When the whole video would give more than `max_frames`, the rate
    is lowered to max_frames / seconds shown, so that the samples spread over all of it. All frames are decoded, in
    order; only samples are converted to RGB. A change of size starts a new batch. What cannot be decoded is passed
    over and counted; a file of which nothing can is a VideoError, raised when the first batch is asked for.
    """
    check_sampling(rate, max_frames)
    return FrameReader(RawFrames(path, rate=rate, max_frames=max_frames, threads=threads))


def check_sampling(rate: float, max_frames: int | None) -> None:
    """Raises ConfigError for what makes no sense."""
    if not (math.isfinite(rate) and rate > 0):
        raise ConfigError(f"rate: {rate} frames per second is impossible; give a number above 0, such as 1")
    if max_frames is not None and max_frames < 1:
        raise ConfigError(f"max_frames: {max_frames} is impossible; give at least 1, or leave it out")
