"""Frozen features -> frames as they are and clips of equal length: what the systems before MSC read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.errors import ConfigError, FeatureError
from prvr.core.types import VideoBatch, VideoFeatures
from prvr.parts.sampling import at_most, average_positions, frame_spans, position_spans
from prvr.parts.videos import unit_rows


@dataclass(frozen=True, kw_only=True)
class UniformConfig:
    """How a video is cut."""

    frames: int = 128  # a longer video is averaged to so many positions; a shorter one is padded, never stretched
    clips: int = 32  # means of equal stretches; frames repeat where there are fewer

    def __post_init__(self) -> None:
        for name in ("frames", "clips"):
            if getattr(self, name) < 1:
                raise ConfigError(f"prepare.{name}={getattr(self, name)}: must be at least 1")


def prepare_uniform(video: VideoFeatures, config: UniformConfig) -> VideoBatch:
    """One video's frozen features -> a batch of one: T frames, of which the video's own are valid, and C clips.

    Every clip is there, also where a video has fewer frames than clips; `clip_size` is then below 1. Raises
    FeatureError for a video without frames.
    """
    frames, valid, spans = _frames(video, config.frames)
    count, clips = int(valid.sum()), torch.arange(config.clips)
    slot = torch.arange(config.frames) * config.clips // count
    return VideoBatch(
        frames=frames[None],
        frame_valid=valid[None],
        clips=unit_rows(average_positions(video.features.float(), config.clips))[None],
        clip_size=torch.full((1, config.clips), count / config.clips),
        slot=slot.clamp(max=config.clips - 1)[None],
        segment=clips[None],
        frame_spans=spans[None],
    )


def prepare_frames(video: VideoFeatures, config: UniformConfig) -> VideoBatch:
    """The same for a model whose two branches both read the frames: clip t is frame t, without features of its own."""
    frames, valid, spans = _frames(video, config.frames)
    places = torch.arange(config.frames)[None]
    return VideoBatch(
        frames=frames[None],
        frame_valid=valid[None],
        clips=frames.new_zeros(1, config.frames, 1),
        clip_size=valid[None].float(),
        slot=places,
        segment=places,
        frame_spans=spans[None],
    )


def _frames(video: VideoFeatures, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Unit frames (T, E) padded to `most`, which are there (T,), and their seconds (T, 2)."""
    if not len(video.features):
        raise FeatureError("a video has no frames in the feature store; extract it again")
    frames = unit_rows(at_most(video.features.float(), most))
    short = most - len(frames)
    if len(video.features) <= most:
        spans = frame_spans(video.times, video.duration_s)
    else:
        spans = position_spans(video.times, video.duration_s, most)
    return F.pad(frames, (0, 0, 0, short)), torch.arange(most) < len(frames), F.pad(spans, (0, 0, 0, short))
