"""The bare encoder: a video scores by the frame that is nearest to the sentence. Nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prvr.core.method import Method
from prvr.core.types import FeatureSpec, QueryBatch, TokenSpans, VideoFeatures, VideoTokens
from prvr.core.vectors import unit_rows
from prvr.parts.needs import check_common_space
from prvr.parts.sampling import frame_spans
from prvr.parts.spans import frames_alone
from prvr.parts.videos import FrameVideos, cat_videos, check_frames


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """There is nothing to set."""


class ZeroShot(nn.Module):
    """Fits `RetrievalModel`; there is no clip branch."""

    clip_weight = 0.0  # the frames alone decide

    def __init__(self, _: Nothing | None = None) -> None:
        super().__init__()

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """The encoder's sentence embedding -> (Q, E)."""
        return queries.sentence

    def encode_videos(self, videos: FrameVideos) -> VideoTokens:
        """The frames as they are (V, T, E), and no clips."""
        return VideoTokens(videos.frames, videos.frame_valid, videos.frames[:, :0], videos.frame_valid[:, :0])

    def token_spans(self, videos: FrameVideos) -> TokenSpans:
        """Seconds of the frames."""
        return frames_alone(videos)


def prepare_raw(videos: Sequence[VideoFeatures], _: Nothing) -> FrameVideos:
    """Every frame of V videos as it was sampled. Raises FeatureError for a video without frames."""
    return cat_videos([_raw(video) for video in videos])


def encoder_width(_: object, features: FeatureSpec) -> int:
    """Vectors are as wide as the encoder's."""
    return features.video_width


def _raw(video: VideoFeatures) -> FrameVideos:
    check_frames(video)
    return FrameVideos(
        frames=unit_rows(video.features.float())[None],
        frame_valid=torch.ones(1, len(video.features), dtype=torch.bool),
        frame_spans=frame_spans(video.times, video.duration_s)[None],
    )


METHOD = Method(
    title="zero-shot",
    network=Nothing,
    build=ZeroShot,
    cut=Nothing,
    videos=FrameVideos,
    prepare=prepare_raw,
    width=encoder_width,
    fit=check_common_space,
)
