"""The bare encoder where it reads windows of frames, alone or beside one that reads frames. Nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.core.errors import ConfigError, FeatureError
from prvr.core.method import Method
from prvr.core.types import QueryBatch, TokenSpans, VideoFeatures, Videos, VideoTokens
from prvr.core.vectors import unit_rows
from prvr.methods.zero_shot.network import Nothing, encoder_width
from prvr.parts.needs import check_common_space
from prvr.parts.sampling import frame_spans
from prvr.parts.videos import cat_videos


@dataclass(frozen=True, kw_only=True)
class BranchWeights:
    """How much windows count."""

    clip_weight: float = 0.5  # share of the windows in the score, 0..1; the frames have the rest

    def __post_init__(self) -> None:
        if not 0 <= self.clip_weight <= 1:
            raise ConfigError(f"--clip-weight {self.clip_weight:g}: must be between 0 (frames alone) and 1")


@dataclass(frozen=True, kw_only=True)
class WindowVideos(Videos):
    """V videos as frames, none where a clip encoder stands alone, and as windows."""

    frames: Tensor  # (V, T, D)
    clips: Tensor  # (V, C, D)
    clip_valid: Tensor  # (V, C) bool
    clip_spans: Tensor  # (V, C, 2) seconds


class TwoBranches(nn.Module):
    """Fits `RetrievalModel`: the best frame and the best window, weighted."""

    def __init__(self, weights: BranchWeights) -> None:
        super().__init__()
        self.clip_weight = weights.clip_weight

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """The sentence embedding of each encoder, side by side where there are two -> (Q, D)."""
        return queries.sentence

    def encode_videos(self, videos: WindowVideos) -> VideoTokens:
        """Frames and windows as they are."""
        return VideoTokens(videos.frames, videos.frame_valid, videos.clips, videos.clip_valid)

    def token_spans(self, videos: WindowVideos) -> TokenSpans:
        """Seconds of both."""
        return TokenSpans(frames=videos.frame_spans, clips=videos.clip_spans)


def prepare_windows(videos: Sequence[VideoFeatures], _: Nothing) -> WindowVideos:
    """Every frame and every window of V videos. Raises FeatureError for a video without windows."""
    return cat_videos([_raw(video) for video in videos])


def _raw(video: VideoFeatures) -> WindowVideos:
    if video.clips is None or not len(video.clips.features):
        raise FeatureError("a video has no windows in the feature store; extract it again")
    clips, spans = video.clips
    beside = clips is not video.features
    frames = F.pad(video.features, (0, clips.shape[1])) if beside else video.features[:0]
    clips = F.pad(clips, (video.features.shape[1], 0)) if beside else clips
    times = video.times if beside else video.times[:0]
    return WindowVideos(
        frames=unit_rows(frames.float())[None],
        frame_valid=torch.ones(1, len(frames), dtype=torch.bool),
        frame_spans=frame_spans(times, video.duration_s)[None] if beside else torch.zeros(1, 0, 2),
        clips=unit_rows(clips.float())[None],
        clip_valid=torch.ones(1, len(clips), dtype=torch.bool),
        clip_spans=spans.float()[None],
    )


METHOD = Method(
    title="zero-shot",
    network=BranchWeights,
    build=TwoBranches,
    cut=Nothing,
    videos=WindowVideos,
    prepare=prepare_windows,
    width=encoder_width,
    fit=check_common_space,
)
