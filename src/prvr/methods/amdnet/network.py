"""AMDNet (TMM 2025): a video draws a few windows for itself, and attends through them; a query is one sentence vector.

One branch of 32 tokens, which stands in the place of the frames; a video scores by its best token's cosine. The moments
that its windows see stand in the place of the clips, where losses read them; they do not rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from prvr.core.errors import ConfigError, FeatureError
from prvr.core.types import Batch, Embedded, Outputs, QueryBatch, VideoBatch, VideoFeatures, VideoTokens
from prvr.methods import official
from prvr.methods.amdnet.windows import window_masks
from prvr.methods.official import (
    Official,
    Place,
    layer_places,
    linear_places,
    position_places,
    projection_places,
)
from prvr.parts.attention_layers import AttentionLayers, reset_parameters
from prvr.parts.blocks import InputProjection, Positions
from prvr.parts.masked import key_bias
from prvr.parts.sampling import average_positions, position_spans
from prvr.parts.scoring import cosine_scores, dot_scores

POSITIONS = 128
"""Rows of the table of positions, as released; no more than the frames of a video are used."""


@dataclass(frozen=True, kw_only=True)
class AMDNetConfig:
    """The network's sizes; the defaults are what was released for TVR."""

    video_width: int  # E of the frame features
    text_width: int  # E of the sentence vector
    hidden: int = 384  # D
    heads: int = 4  # of the attention, and windows of a video: each head looks through one
    frames: int = 32  # positions that a video is averaged to
    input_dropout: float = 0.2  # of input projections and positions
    dropout: float = 0.2  # inside the layers
    query_draws: Literal[1, 2] = 2  # samples of dropout a query: one to be ranked and, as released, one to be relevant

    def __post_init__(self) -> None:
        for name in ("video_width", "text_width", "hidden", "heads", "frames"):
            if getattr(self, name) < 1:
                raise ConfigError(f"model.{name}={getattr(self, name)}: must be at least 1")
        if self.hidden % self.heads:
            raise ConfigError(f"model.heads={self.heads}: does not divide model.hidden={self.hidden} into equal heads")
        if self.frames > POSITIONS:
            raise ConfigError(f"model.frames={self.frames}: must be at most {POSITIONS}")
        for name in ("input_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"model.{name}={getattr(self, name)}: must be from 0 to below 1")


class VideoParts(NamedTuple):
    """All that the network makes of V videos."""

    tokens: Tensor  # (V, N, D) what ranks
    whole: Tensor  # (V, D) the video as one vector
    anchors: Tensor  # (V, H, 2) centre and width of each window, in units of the video
    masks: Tensor  # (V, H, N) how much each window sees of each position, 1 at most
    moments: Tensor  # (V, H, D) what each window sees


class AMDOutputs(Outputs):
    """`Outputs` under AMDNet's names: it has no alignment heads, and what its losses read stands in their places."""

    @property
    def whole(self) -> Tensor:
        """(V, D) each video as one vector."""
        return self.aligned_frames[:, 0]

    @property
    def moments(self) -> Tensor:
        """(V, H, D) what each window sees."""
        return self.video.clips

    @property
    def masks(self) -> Tensor:
        """(V, H, N) the windows."""
        return self.aligned_clips


class AMDNet(nn.Module):
    """The two towers; fits `RetrievalModel`, and its forward makes what objectives read."""

    needs_query: ClassVar[bool] = False

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

    @property
    def clip_weight(self) -> float:
        """The one branch decides."""
        return 0.0

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

    def parts(self, videos: VideoBatch) -> VideoParts:
        """Everything about V videos of at most `frames` positions: ConfigError for more."""
        x, valid = videos.frames, videos.frame_valid
        if x.shape[1] > self.config.frames:
            raise ConfigError(
                f"videos of {x.shape[1]} frames, but model.frames={self.config.frames}; prepare them with "
                f"`--set prepare.frames={self.config.frames}`, or add `--set model.frames={x.shape[1]}`"
            )
        h = self.video_positions(self.video_input(x))
        mean = (h * valid[..., None]).sum(1) / valid.sum(1, keepdim=True)
        whole = self.whole(self.whole_norm(mean))
        anchors = self.anchors(whole).sigmoid().unflatten(1, (self.config.heads, 2))
        masks = window_masks(anchors[..., 0], anchors[..., 1], self.places[: x.shape[1]], valid)
        bias = key_bias(valid).to(h.dtype)
        first = self.plain(h, bias=bias)[0]
        second = self.windowed(first, bias=bias, gain=masks)[0]
        return VideoParts((first + second) / 2 * valid[..., None], whole, anchors, masks, masks @ h)

    def encode_videos(self, videos: VideoBatch) -> VideoTokens:
        """-> tokens of the one branch, zero where there is padding, and the moments in the place of clips."""
        return self._tokens(self.parts(videos), videos)

    def embed(self, batch: Batch) -> Embedded:
        """Videos with all their queries, each read by its tower alone; see `AMDOutputs` for what stands where."""
        parts = self.parts(batch.videos)
        video = self._tokens(parts, batch.videos)
        return Embedded(self.encode_queries(batch.queries), video, parts.whole[:, None], parts.masks)

    def compare(self, embedded: Embedded) -> AMDOutputs:
        """Every query against every video; no weight is read."""
        query, video, *extra = embedded
        return AMDOutputs(query, video, cosine_scores(query, video), dot_scores(query, video), *extra)

    def forward(self, batch: Batch) -> AMDOutputs:
        """Videos with all their queries -> what objectives read.

        The authors encode the queries a second time for the relevance loss, so that in training another sample of
        dropout is compared with the moments than is ranked; `query_draws` = 1 reads one sample twice, as `embed` must.
        """
        outputs = self.compare(self.embed(batch))
        if self.training and self.config.query_draws > 1:
            return outputs._replace(query=self.encode_queries(batch.queries))
        return outputs

    def _tokens(self, parts: VideoParts, videos: VideoBatch) -> VideoTokens:
        every = torch.ones(parts.moments.shape[:2], dtype=torch.bool, device=parts.moments.device)
        return VideoTokens(frames=parts.tokens, frame_valid=videos.frame_valid, clips=parts.moments, clip_valid=every)


def prepare_means(video: VideoFeatures, frames: int) -> VideoBatch:
    """One video's frozen features -> a batch of one: means of `frames` equal stretches as they are, not normalised.

    Frames repeat where a video has fewer. Raises FeatureError for a video without frames.
    """
    if not len(video.features):
        raise FeatureError("a video has no frames in the feature store; extract it again")
    places = torch.zeros(1, frames, dtype=torch.int64)
    return VideoBatch(
        frames=average_positions(video.features.float(), frames)[None],
        frame_valid=torch.ones(1, frames, dtype=torch.bool),
        clips=torch.zeros(1, 1, 1),  # nothing reads them
        clip_size=torch.full((1, 1), float(frames)),
        slot=places,
        segment=places[:, :1],
        frame_spans=position_spans(video.times, video.duration_s, frames)[None],
    )


def official_names() -> dict[str, Place]:
    """Each of the authors' parameter names -> where it lies in ours."""
    return {
        **projection_places("query_input_proj", "query_input"),
        **projection_places("clip_input_proj", "video_input"),
        **position_places("clip_pos_embed", "video_positions"),
        **layer_places("clip_encoder.attn0", "plain"),
        **layer_places("clip_encoder.attn1", "windowed"),
        **linear_places("clip_encoder.clip2video.layernorm", "whole_norm"),
        **linear_places("clip_encoder.clip2video.fc_out1", "whole"),
        **linear_places("clip_encoder.fc_gauss", "anchors"),
    }


def from_official(state: Mapping[str, Tensor], *, where: str = "this state dict") -> dict[str, Tensor]:
    """The authors' weights under our names and in our shapes. Raises CheckpointError when they are not AMDNet's."""
    return OFFICIAL.read(state, where=where)


def undecayed(name: str) -> bool:
    """What the authors spare from weight decay: every bias, and every norm but that of the whole video, which has
    another name with them.
    """
    return official.undecayed(name) and name != "whole_norm.weight"


OFFICIAL = Official(
    system="AMDNet",
    places=official_names(),
    sizes={
        "video_width": ("clip_input_proj.net.1.weight", 1),
        "text_width": ("query_input_proj.net.1.weight", 1),
        "hidden": ("query_input_proj.net.1.weight", 0),
    },
    said={"n_heads": ("model.heads",), "map_size": ("model.frames", "prepare.frames")},
)
