"""The bare encoder: a video scores by the frame that is nearest to the sentence. Nothing is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prvr.core.errors import FeatureError
from prvr.core.types import QueryBatch, VideoBatch, VideoFeatures, VideoTokens
from prvr.parts.sampling import frame_spans
from prvr.parts.videos import unit_rows


class ZeroShot(nn.Module):
    """Fits `RetrievalModel`; its clip branch is one mean token per video, for whoever asks for branches."""

    @property
    def clip_weight(self) -> float:
        """The frames alone decide."""
        return 0.0

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """The encoder's sentence embedding -> (Q, E)."""
        return queries.sentence

    def encode_videos(self, videos: VideoBatch) -> VideoTokens:
        """The frames as they are -> T frame tokens and the clips of the batch."""
        return VideoTokens(
            frames=videos.frames,
            frame_valid=videos.frame_valid,
            clips=videos.clips,
            clip_valid=videos.clip_size > 0,
        )


def prepare_raw(video: VideoFeatures) -> VideoBatch:
    """Every frame of one video as it was sampled, and their mean as the only clip.

    Raises FeatureError for a video without frames.
    """
    if not len(video.features):
        raise FeatureError("a video has no frames in the feature store; extract it again")
    num_frames = len(video.features)
    frames = unit_rows(video.features.float())[None]  # (1, T, E)
    return VideoBatch(
        frames=frames,
        frame_valid=torch.ones(1, num_frames, dtype=torch.bool),
        clips=unit_rows(frames.mean(dim=1, keepdim=True)),
        clip_size=torch.tensor([[float(num_frames)]]),
        slot=torch.zeros(1, num_frames, dtype=torch.int64),
        segment=torch.zeros(1, 1, dtype=torch.int64),
        frame_spans=frame_spans(video.times, video.duration_s)[None],
    )
