"""The frames of one video on their way to an encoder: one by one, in windows, or both."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from prvr.core.clips import ClipFeatures, ClipSpec
from prvr.core.readers import ClipEncoder, PairedEncoder
from prvr.core.types import Encoder, EncoderSpec, VideoFeatures


class Reading(Protocol):
    """What an encoder makes of one video, batch by batch."""

    def add(self, frames: Tensor, times: Tensor) -> None:
        """The next frames (B, 3, h, w) uint8 and when each is shown, seconds (B,)."""
        ...

    def finish(self, duration_s: float) -> VideoFeatures:
        """All of it, once there are no more."""
        ...


def reading_of(encoder: Encoder, rate: float) -> Reading:
    """How an encoder reads a video; `rate` is what a frame encoder beside a clip encoder sees of it a second."""
    if isinstance(encoder, PairedEncoder):
        return _Both(encoder, rate)
    if encoder.spec.clips is None:
        return _Frames(encoder)
    assert isinstance(encoder, ClipEncoder)
    return _Windows(encoder, clip_spec(encoder))


def sampling_rate(encoder: EncoderSpec, rate: float) -> float:
    """Frames a second that have to be taken from a video where `rate` is asked for: windows have their own."""
    if encoder.clips is None:
        return rate
    return encoder.clips.rate if encoder.clips.width == encoder.width else max(rate, encoder.clips.rate)


def clip_spec(encoder: ClipEncoder) -> ClipSpec:
    """Which windows an encoder reads."""
    assert encoder.spec.clips is not None, "a clip encoder's spec says what it reads"
    return encoder.spec.clips


class Thinner:
    """Of the samples of a video those of a lower rate, by the rule of `prvr.video.decode.sample_frames`."""

    def __init__(self, rate: float) -> None:
        self._rate, self._served = rate, -1.0

    def taken(self, times: Tensor) -> Tensor:
        """times (B,), later than all before -> bool (B,)."""
        step = torch.floor(times.double() * self._rate + 1e-6).clamp(min=0)  # the last k that each is not before
        before = torch.cat([step.new_tensor([self._served]), step[:-1]])
        self._served = float(step[-1]) if len(step) else self._served
        return step > before


class _Frames:
    """Each frame alone."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._made: list[Tensor] = []
        self._times: list[Tensor] = []

    def add(self, frames: Tensor, times: Tensor) -> None:
        self._made.append(self._encoder.encode_images(self._encoder.prepare(frames)))
        self._times.append(times)

    def finish(self, duration_s: float) -> VideoFeatures:
        times = torch.cat(self._times)
        return VideoFeatures(torch.cat(self._made), times, max(duration_s, float(times[-1])))


class _Windows:
    """Windows of frames; the last one ends with the video, and a video shorter than one stands still at its end."""

    def __init__(self, encoder: ClipEncoder, wanted: ClipSpec) -> None:
        self._encoder, self._wanted = encoder, wanted
        self._held: list[Tensor] = []  # images that a window still needs, (3, H, W) each
        self._first = 0  # the place of the first of them in the video
        self._starts: list[int] = []  # the places where windows begin that are encoded
        self._made: list[Tensor] = []
        self._times: list[Tensor] = []

    def add(self, frames: Tensor, times: Tensor) -> None:
        self._held += self._encoder.prepare(frames).unbind()
        self._times.append(times)
        length, stride, end = self._wanted.length, self._wanted.stride, self._first + len(self._held)
        due = self._starts[-1] + stride if self._starts else 0
        self._encode(list(range(due, end - length + 1, stride)))
        due = self._starts[-1] + stride if self._starts else 0
        gone = max(0, min(due, end - length) - self._first)  # no window to come begins before, the last one included
        self._held, self._first = self._held[gone:], self._first + gone

    def finish(self, duration_s: float) -> VideoFeatures:
        times = torch.cat(self._times)
        duration_s = max(duration_s, float(times[-1]))
        length, count = self._wanted.length, len(times)
        if not self._starts or self._starts[-1] + length < count:
            self._held += [self._held[-1]] * (length - count)  # nothing where there are enough
            self._encode([max(0, count - length)])
        starts = torch.tensor(self._starts)
        ends = torch.cat([times[1:], times.new_tensor([duration_s])])  # a frame stands until the next one
        spans = torch.stack([times[starts], ends[(starts + length).clamp(max=count) - 1]], dim=1)
        made = torch.cat(self._made)
        return VideoFeatures(made, spans.mean(dim=1), duration_s, ClipFeatures(made, spans.clamp(min=0.0).float()))

    def _encode(self, starts: list[int]) -> None:
        if starts:
            at = [start - self._first for start in starts]
            clips = torch.stack([torch.stack(self._held[a : a + self._wanted.length]) for a in at])
            self._made.append(self._encoder.encode_clips(clips))
            self._starts += starts


class _Both:
    """The frames of one rate to one encoder, windows of another to the other."""

    def __init__(self, encoder: PairedEncoder, rate: float) -> None:
        wanted = clip_spec(encoder.windows)
        self._parts = (
            (_Frames(encoder.frames), Thinner(rate)),
            (_Windows(encoder.windows, wanted), Thinner(wanted.rate)),
        )

    def add(self, frames: Tensor, times: Tensor) -> None:
        for part, thinner in self._parts:
            taken = thinner.taken(times)
            if taken.any():
                part.add(frames[taken], times[taken])

    def finish(self, duration_s: float) -> VideoFeatures:
        alone, clips = (part.finish(duration_s) for part, _ in self._parts)
        return alone._replace(clips=clips.clips)
