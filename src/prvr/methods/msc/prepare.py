"""Frozen features -> what MSC reads. Everything here is static: it is done once for each video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.core.types import VideoFeatures
from prvr.core.vectors import unit_rows
from prvr.methods.msc.merging import (
    Alike,
    LevelRule,
    Merged,
    Pairing,
    connected_share,
    direct_share,
    level_of,
    merge_ladder,
    segment_clips,
)
from prvr.parts.sampling import average_positions, position_spans
from prvr.parts.videos import ClipVideos, cat_videos, check_frames


@dataclass(frozen=True, kw_only=True)
class MSCVideos(ClipVideos):
    """V videos as frames, as clips that were merged from them, and as segments that the clips make up."""

    slot: Tensor  # (V, T) int64, the clip that each frame went to
    segment: Tensor  # (V, C) int64, the segment that each clip belongs to (adaptive CBVA)


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """How a video is cut into frames, clips and segments; the defaults are what was released.

    Where the paper's text differs, a comment says so: it is what `prvr.methods.msc.runs.paper` sets.
    """

    frames: int = 128  # positions a video is averaged to
    clips: Literal["merged", "uniform"] = "merged"  # order-preserving merging, or plain averages of equal length
    schedule: tuple[int, ...] = (80, 52, 32)  # tokens left after each step of merging; paper (Eq. 9): 80, 50, 32
    merge_by: Alike = "dot"  # neighbours are alike by dot product, so that long vectors merge first; paper: cosine
    similarity_threshold: float = 0.7  # τ: cosine above which two clips are alike
    omega: Literal["connected", "direct"] = "connected"  # pairs joined by a chain of alike clips; paper: alike pairs
    levels: tuple[int, ...] = (32, 20, 12, 8, 5)  # segments, the more alike a video's clips the fewer; one = no merging
    level_rule: LevelRule = "monotone"  # how ω chooses a level; both literal readings of the paper are inconsistent
    pairing: Pairing = "one_to_one"  # of clips that become one segment; paper (ToMe): many to one
    precision: Literal["fp32", "fp16"] = "fp32"  # of averaging and merging; fp16: as released for packs stored so

    def __post_init__(self) -> None:
        for name in ("schedule", "levels"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise ConfigError(f"prepare.{name}={getattr(self, name)}: needs at least one number, all positive")
        for before, after in pairwise((self.frames, *self.schedule)):
            if before % 2 or not before / 2 <= after < before:
                raise ConfigError(
                    f"prepare.schedule: {before} -> {after} is impossible; one step takes an even number of tokens "
                    f"and removes 1 to {before // 2}"
                )
        if self.levels[0] != self.schedule[-1]:
            raise ConfigError(
                f"prepare.levels={self.levels}: must begin with the number of clips, prepare.schedule ends with "
                f"{self.schedule[-1]}"
            )
        for before, after in pairwise(self.levels):
            if not -(-before // 2) <= after < before:
                raise ConfigError(
                    f"prepare.levels: {before} -> {after} is impossible; one step removes 1 to {before // 2}"
                )
        if self.precision not in ("fp32", "fp16"):
            raise ConfigError(f"prepare.precision={self.precision}: choose fp32 or fp16")
        if not -1 <= self.similarity_threshold <= 1:
            raise ConfigError(f"prepare.similarity_threshold={self.similarity_threshold}: is a cosine, from -1 to 1")


def prepare_videos(videos: Sequence[VideoFeatures], config: PrepareConfig) -> MSCVideos:
    """Frozen features of V videos -> what MSC reads. Raises FeatureError for a video without frames."""
    return cat_videos([_prepared(video, config) for video in videos])


def _prepared(video: VideoFeatures, config: PrepareConfig) -> MSCVideos:
    check_frames(video)
    kind = torch.float16 if config.precision == "fp16" else torch.float32
    features = video.features.float()
    positions = average_positions(features, config.frames)[None].to(kind)  # (1, T, E), each mean rounded once
    if config.clips == "uniform":
        merged = _uniform(features, config)
    else:  # merged before it is normalised, as published: long vectors weigh more in the means
        merged = merge_ladder(positions, config.schedule, alike=config.merge_by)
    clips = unit_rows(merged.tokens.to(kind)).float()
    share = connected_share if config.omega == "connected" else direct_share
    num_segments = level_of(share(clips, config.similarity_threshold), config.levels, rule=config.level_rule)
    return MSCVideos(
        frames=unit_rows(positions).float(),
        frame_valid=torch.ones(positions.shape[:2], dtype=torch.bool),
        clips=clips,
        clip_size=merged.size.float(),
        slot=merged.slot,
        segment=segment_clips(clips, merged.size.float(), num_segments, config.levels, pairing=config.pairing),
        frame_spans=position_spans(video.times, video.duration_s, config.frames)[None],
    )


def _uniform(features: Tensor, config: PrepareConfig) -> Merged:
    num_clips = config.schedule[-1]
    slot = torch.arange(config.frames) * num_clips // config.frames
    size = torch.bincount(slot, minlength=num_clips).to(features.dtype)
    return Merged(average_positions(features, num_clips)[None], size[None], slot[None])
