"""Videos as networks read them: the records that methods share, and how those of several videos are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from torch import Tensor

from prvr.core.errors import ConfigError, FeatureError
from prvr.core.types import VideoFeatures, Videos


@dataclass(frozen=True, kw_only=True)
class FrameVideos(Videos):
    """V videos as frames alone."""

    frames: Tensor  # (V, T, E)


@dataclass(frozen=True, kw_only=True)
class ClipVideos(FrameVideos):
    """V videos as frames, and as fewer clips."""

    clips: Tensor  # (V, C, E)
    clip_size: Tensor  # (V, C) float, frames that each clip stands for; 0 = no clip


Read = TypeVar("Read", bound=Videos)


def cat_videos(videos: Sequence[Read]) -> Read:
    """Records one after the other, shorter ones padded with zeros: places not valid, clips of size 0.

    Raises FeatureError where their widths differ, and where there are none.
    """
    if not videos:
        raise FeatureError("there are no videos, and so no features to read; bring at least one")
    kind = type(videos[0])
    columns = {f.name: [getattr(video, f.name) for video in videos] for f in fields(kind)}
    widths = sorted({tensor.shape[2] for tensor in columns.get("frames", [])})
    if len(widths) > 1:
        raise FeatureError(
            f"videos of {' and '.join(map(str, widths))} features cannot be put together; "
            "extract all of them with one encoder"
        )
    return kind(**{name: _stack(tensors) for name, tensors in columns.items()})


def check_length(x: Tensor, most: int, name: str, setting: str = "") -> None:
    """Raises ConfigError for videos x (V, N, E) of more frames or clips, as `name` says, than a network has places."""
    if x.shape[1] > most:
        raise ConfigError(
            f"videos of {x.shape[1]} {name}, but model.{setting or name}={most}; prepare them with "
            f"`--set prepare.{name}={most}`, or add `--set model.{setting or name}={x.shape[1]}`"
        )


def check_places(videos: ClipVideos, frames: int, clips: int) -> None:
    """Raises ConfigError for videos of more frames or clips than a network has places."""
    check_length(videos.frames, frames, "frames")
    check_length(videos.clips, clips, "clips")


def check_frames(video: VideoFeatures) -> None:
    """Raises FeatureError for a video without frames."""
    if not len(video.features):
        raise FeatureError("a video has no frames in the feature store; extract it again")


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    """(v, N, ...) each -> (V, N of the longest, ...), zeros or False behind the shorter."""
    longest = max(tensor.shape[1] for tensor in tensors)
    if all(tensor.shape[1] == longest for tensor in tensors):
        return torch.cat(list(tensors))
    padded = [torch.cat([t, t.new_zeros(len(t), longest - t.shape[1], *t.shape[2:])], dim=1) for t in tensors]
    return torch.cat(padded)
