"""Frozen features -> frames as they are and clips of equal length: what the systems before MSC read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.core.types import VideoFeatures
from prvr.core.vectors import unit_rows
from prvr.parts.sampling import at_most, average_positions, frame_spans, position_spans
from prvr.parts.videos import ClipVideos, FrameVideos, cat_videos, check_frames


@dataclass(frozen=True, kw_only=True)
class UniformConfig:
    """How a video is cut."""

    frames: int = 128  # a longer video is averaged to so many positions; a shorter one is padded, never stretched
    clips: int = 32  # means of equal stretches; frames repeat where there are fewer

    def __post_init__(self) -> None:
        for name in ("frames", "clips"):
            if getattr(self, name) < 1:
                raise ConfigError(f"prepare.{name}={getattr(self, name)}: must be at least 1")


def prepare_frames(videos: Sequence[VideoFeatures], config: UniformConfig) -> FrameVideos:
    """Frozen features of V videos -> T frames, of which each video's own are valid.

    Raises FeatureError for a video without frames.
    """
    return cat_videos([_frames(video, config.frames) for video in videos])


def prepare_uniform(videos: Sequence[VideoFeatures], config: UniformConfig) -> ClipVideos:
    """Frozen features of V videos -> the same frames, and C clips.

    Every clip is there, also where a video has fewer frames than clips; `clip_size` is then below 1. Raises
    FeatureError for a video without frames.
    """
    framed = prepare_frames(videos, config)
    clips = [unit_rows(average_positions(video.features.float(), config.clips)) for video in videos]
    return with_clips(framed, torch.stack(clips))


def with_clips(videos: FrameVideos, clips: Tensor) -> ClipVideos:
    """The same videos with clips (V, C, E), which stand for equal stretches of their frames."""
    counts = videos.frame_valid.sum(1, keepdim=True)
    return ClipVideos(**vars(videos), clips=clips, clip_size=(counts / clips.shape[1]).expand(clips.shape[:2]))


def _frames(video: VideoFeatures, most: int) -> FrameVideos:
    """One video, padded to `most` places."""
    check_frames(video)
    frames = unit_rows(at_most(video.features.float(), most))
    short = most - len(frames)
    if len(video.features) <= most:
        spans = frame_spans(video.times, video.duration_s)
    else:
        spans = position_spans(video.times, video.duration_s, most)
    return FrameVideos(
        frames=F.pad(frames, (0, 0, 0, short))[None],
        frame_valid=(torch.arange(most) < len(frames))[None],
        frame_spans=F.pad(spans, (0, 0, 0, short))[None],
    )
