"""AMDNet (TMM 2025): a video draws a few windows for itself, and attends through them; a query is one sentence vector.

One branch of 32 tokens, which stands in the place of the frames; a video scores by its best token's cosine. What its
windows see does not rank; losses read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.core.method import Method
from prvr.core.types import Batch, Made, QueryBatch, TokenSpans, VideoFeatures, VideoTokens
from prvr.methods.amdnet.windows import window_masks
from prvr.parts.attention_layers import AttentionLayers, reset_parameters
from prvr.parts.blocks import InputProjection, Positions
from prvr.parts.masked import key_bias
from prvr.parts.needs import check_sentences
from prvr.parts.sampling import average_positions, position_spans
from prvr.parts.spans import frames_alone
from prvr.parts.towers import TowerConfig, TwiceRead
from prvr.parts.videos import FrameVideos, cat_videos, check_frames, check_length

POSITIONS = 128
"""Rows of the table of positions, as released; no more than the frames of a video are used."""


@dataclass(frozen=True, kw_only=True)
class AMDNetConfig(TowerConfig):
    """The network's sizes; the defaults are what was released for TVR."""

    heads: int = 4  # of the attention, and windows of a video: each head looks through one
    frames: int = 32  # positions that a video is averaged to
    input_dropout: float = 0.2  # of input projections and positions
    dropout: float = 0.2  # inside the layers
    query_draws: Literal[1, 2] = 2  # samples of dropout a query: one to be ranked and, as released, one to be relevant

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frames > POSITIONS:
            raise ConfigError(f"model.frames={self.frames}: must be at most {POSITIONS}")


class VideoParts(NamedTuple):
    """All that the network makes of V videos."""

    tokens: Tensor  # (V, N, D) what ranks
    valid: Tensor  # (V, N) bool
    whole: Tensor  # (V, D) the video as one vector
    anchors: Tensor  # (V, H, 2) centre and width of each window, in units of the video
    masks: Tensor  # (V, H, N) how much each window sees of each position, 1 at most
    moments: Tensor  # (V, H, D) what each window sees


class AMDNet(nn.Module):
    """The two towers; fits `RetrievalModel`."""

    clip_weight = 0.0  # the one branch decides

    def __init__(self, config: AMDNetConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        self.query_input = InputProjection(c.text_width, c.hidden, c.input_dropout)
        self.video_input = InputProjection(c.video_width, c.hidden, c.input_dropout)
        self.video_positions = Positions(POSITIONS, c.hidden, c.input_dropout)
        self.plain = AttentionLayers(1, c.hidden, c.heads, c.dropout)
        self.windowed = AttentionLayers(1, c.hidden, c.heads, c.dropout)
        self.whole_norm = nn.LayerNorm(c.hidden)
        self.whole = nn.Linear(c.hidden, c.hidden)
        self.anchors = nn.Linear(c.hidden, 2 * c.heads)
        self.places: Tensor
        self.register_buffer("places", torch.linspace(0, 1, c.frames), persistent=False)
        reset_parameters(self)

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """Sentence vectors -> (Q, D), not normalised, nowhere negative. Raises ConfigError where they do not fit."""
        sentence = queries.sentence
        if sentence.ndim != 2 or sentence.shape[1] != self.config.text_width:
            raise ConfigError(
                f"AMDNet reads one sentence vector of {self.config.text_width} numbers a query, but these features "
                f"have {tuple(sentence.shape[1:])}; extract them with an encoder that has a sentence vector, or add "
                f"`--set model.text_width={sentence.shape[-1]}`"
            )
        out: Tensor = self.query_input(sentence[:, None])[:, 0]
        return out

    def parts(self, videos: FrameVideos) -> VideoParts:
        """Everything about V videos of at most `frames` positions: ConfigError for more."""
        x, valid = videos.frames, videos.frame_valid
        check_length(x, self.config.frames, "frames")
        h = self.video_positions(self.video_input(x))
        mean = (h * valid[..., None]).sum(1) / valid.sum(1, keepdim=True)
        whole = self.whole(self.whole_norm(mean))
        anchors = self.anchors(whole).sigmoid().unflatten(1, (self.config.heads, 2))
        masks = window_masks(anchors[..., 0], anchors[..., 1], self.places[: x.shape[1]], valid)
        bias = key_bias(valid).to(h.dtype)
        first = self.plain(h, bias=bias)[0]
        second = self.windowed(first, bias=bias, gain=masks)[0]
        return VideoParts((first + second) / 2 * valid[..., None], valid, whole, anchors, masks, masks @ h)

    def encode_videos(self, videos: FrameVideos) -> VideoTokens:
        """-> tokens of the one branch, zero where there is padding."""
        return ranked(self.parts(videos))

    def token_spans(self, videos: FrameVideos) -> TokenSpans:
        """Seconds of the frames."""
        return frames_alone(videos)

    def embed(self, batch: Batch[FrameVideos]) -> Made[TwiceRead, VideoParts]:
        """Queries, read twice while training, and everything about the videos."""
        parts = self.parts(batch.videos)
        again = self.training and self.config.query_draws > 1
        return Made(TwiceRead.of(self.encode_queries, batch.queries, again=again), parts)


def ranked(parts: VideoParts) -> VideoTokens:
    """The tokens of V videos alone, and no clips."""
    return VideoTokens(parts.tokens, parts.valid, parts.tokens[:, :0], parts.valid[:, :0])


@dataclass(frozen=True, kw_only=True)
class MeansConfig:
    """How a video is cut."""

    frames: int = 32  # means of equal stretches; frames repeat where there are fewer

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ConfigError(f"prepare.frames={self.frames}: must be at least 1")


def prepare_means(videos: Sequence[VideoFeatures], config: MeansConfig) -> FrameVideos:
    """Frozen features of V videos -> means of equal stretches as they are, not normalised.

    Frames repeat where a video has fewer. Raises FeatureError for a video without frames.
    """
    return cat_videos([_means(video, config.frames) for video in videos])


def _means(video: VideoFeatures, number: int) -> FrameVideos:
    check_frames(video)
    return FrameVideos(
        frames=average_positions(video.features.float(), number)[None],
        frame_valid=torch.ones(1, number, dtype=torch.bool),
        frame_spans=position_spans(video.times, video.duration_s, number)[None],
    )


METHOD = Method(
    title="AMDNet",
    network=AMDNetConfig,
    build=AMDNet,
    cut=MeansConfig,
    videos=FrameVideos,
    prepare=prepare_means,
    fit=check_sentences,
)
