"""GMMFormer (AAAI 2024): two layers of four attention blocks of different reach, averaged, over frames and over clips.

All frames of a video end up in one vector, and each clip in its own; clips and frames weigh 0.7 : 0.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, Embedded, Outputs, QueryBatch, VideoBatch, VideoTokens
from prvr.methods.official import (
    Official,
    Place,
    family_sizes,
    layer_places,
    position_places,
    projection_places,
)
from prvr.parts.attention_layers import AttentionLayers, SequenceEncoder, reset_parameters
from prvr.parts.blocks import InputProjection, Positions
from prvr.parts.gaussian import gaussian_tables
from prvr.parts.masked import key_bias
from prvr.parts.pooling import AttentionPooling
from prvr.parts.scoring import cosine_scores, dot_scores
from prvr.parts.spans import TokenSpans, equal_spans, whole_spans

LAYERS = 2


@dataclass(frozen=True, kw_only=True)
class GMMFormerConfig:
    """The network's sizes; the defaults are what was released."""

    video_width: int  # E of the frame features
    text_width: int  # E of the word features
    hidden: int = 384  # D
    heads: int = 4
    max_words: int = 30  # longer queries are cut
    frames: int = 128  # positions of the frame branch, at most
    clips: int = 32  # tokens of the clip branch, at most
    input_dropout: float = 0.2  # of input projections and positions
    dropout: float = 0.2  # inside the blocks
    widths: tuple[float | None, ...] = (None, 0.5, 1.0, 5.0)  # one block each; none = no Gaussian
    # frames that a Gaussian's width is a share of; none: the longest video of the batch, as released, where a video's
    # vector depends on its company. The two are the same wherever some video of the batch is so long
    gaussian_length: int | None = 128
    clip_weight: float = 0.7  # share of the clip branch in the score
    query_draws: Literal[1, 2] = 2  # samples of dropout a query: one to be ranked and, as released, one to be diverse

    def __post_init__(self) -> None:
        for name in ("video_width", "text_width", "hidden", "heads", "max_words", "frames", "clips"):
            if getattr(self, name) < 1:
                raise ConfigError(f"model.{name}={getattr(self, name)}: must be at least 1")
        if self.hidden % self.heads:
            raise ConfigError(f"model.heads={self.heads}: does not divide model.hidden={self.hidden} into equal heads")
        for name in ("input_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"model.{name}={getattr(self, name)}: must be from 0 to below 1")
        if not self.widths or any(width is not None and width <= 0 for width in self.widths):
            raise ConfigError(f"model.widths={self.widths}: needs one positive width, or none, for each block")
        if self.gaussian_length is not None and not 1 <= self.gaussian_length <= self.frames:
            raise ConfigError(
                f"model.gaussian_length={self.gaussian_length}: must be from 1 to model.frames={self.frames}"
            )
        if not 0 <= self.clip_weight <= 1:
            raise ConfigError(f"model.clip_weight={self.clip_weight}: must be from 0 to 1")


class GMMFormer(nn.Module):
    """The two towers; fits `RetrievalModel`, and its forward makes what objectives read."""

    needs_query: ClassVar[bool] = False

    def __init__(self, config: GMMFormerConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        self.query_input = InputProjection(c.text_width, c.hidden, c.input_dropout)
        self.query_encoder = SequenceEncoder(
            c.hidden, c.heads, c.max_words, input_dropout=c.input_dropout, dropout=c.dropout
        )
        self.query_pooling = AttentionPooling(c.hidden)
        self.frame_input = InputProjection(c.video_width, c.hidden, c.input_dropout)
        self.frame_positions = Positions(c.frames, c.hidden, c.input_dropout)
        self.frame_mixtures = _mixtures(c)
        self.frame_pooling = AttentionPooling(c.hidden)
        self.clip_input = InputProjection(c.video_width, c.hidden, c.input_dropout)
        self.clip_positions = Positions(c.frames, c.hidden, c.input_dropout)  # as many rows as for frames, as released
        self.clip_mixtures = _mixtures(c)
        self.clip_tables: Tensor
        self.register_buffer("clip_tables", gaussian_tables(c.clips, c.widths), persistent=False)
        self.frame_tables: Tensor
        self.register_buffer("frame_tables", gaussian_tables(c.gaussian_length or 1, c.widths), persistent=False)
        reset_parameters(self)

    @property
    def clip_weight(self) -> float:
        """Share of the clip branch in the fused score."""
        return self.config.clip_weight

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """-> (Q, D), not normalised."""
        words, valid = queries.words[:, : self.config.max_words], queries.valid[:, : self.config.max_words]
        pooled: Tensor = self.query_pooling(self.query_encoder(self.query_input(words), valid), valid)
        return pooled

    def encode_videos(self, videos: VideoBatch) -> VideoTokens:
        """-> one token for all frames, and one for each clip, zero where there is padding.

        A video may have fewer positions than the config says, but not more: ConfigError.
        """
        most = self.config.gaussian_length or self.config.frames
        for name, x, setting, limit in (
            ("frames", videos.frames, "gaussian_length" if self.config.gaussian_length else "frames", most),
            ("clips", videos.clips, "clips", self.config.clips),
        ):
            if x.shape[1] > limit:
                raise ConfigError(
                    f"videos of {x.shape[1]} {name}, but model.{setting}={limit}; prepare them with "
                    f"`--set prepare.{name}={limit}`, or add `--set model.{setting}={x.shape[1]}`"
                )
        clip_valid = videos.clip_size > 0
        x, c = self.frame_positions(self.frame_input(videos.frames)), videos.clips.shape[1]
        frames = _mixed(x, self.frame_mixtures, self._frame_tables(videos.frame_valid), videos.frame_valid)
        x = self.clip_positions(self.clip_input(videos.clips))
        clips = _mixed(x, self.clip_mixtures, self.clip_tables[:, :c, :c], clip_valid)
        return VideoTokens(
            frames=self.frame_pooling(frames, videos.frame_valid)[:, None],
            frame_valid=torch.ones_like(videos.frame_valid[:, :1]),
            clips=clips * clip_valid[..., None],
            clip_valid=clip_valid,
        )

    def token_spans(self, videos: VideoBatch) -> TokenSpans:
        """Seconds of the tokens that `encode_videos` makes."""
        return TokenSpans(frames=whole_spans(videos), clips=equal_spans(videos, videos.clips.shape[1]))

    def embed(self, batch: Batch) -> Embedded:
        """Videos with all their queries, each read by its tower alone."""
        video = self.encode_videos(batch.videos)
        return Embedded(self.encode_queries(batch.queries), video, video.frames, video.clips)

    def compare(self, embedded: Embedded) -> Outputs:
        """Every query against every video; no weight is read."""
        query, video, *aligned = embedded
        return Outputs(query, video, cosine_scores(query, video), dot_scores(query, video), *aligned)

    def forward(self, batch: Batch) -> Outputs:
        """Videos with all their queries -> what objectives read.

        The authors encode the queries a second time for the diversity loss, so that in training another sample of
        dropout is made diverse than is ranked; `query_draws` = 1 reads one sample twice, as `embed` must.
        """
        outputs = self.compare(self.embed(batch))
        if self.training and self.config.query_draws > 1:
            return outputs._replace(query=self.encode_queries(batch.queries))
        return outputs

    def _frame_tables(self, valid: Tensor) -> Tensor:
        """valid (V, T) -> (K, T, T)."""
        n = valid.shape[1]
        if self.config.gaussian_length:
            return self.frame_tables[:, :n, :n]
        longest = int(valid.any(0).sum())
        tables = torch.ones(len(self.config.widths), n, n)
        tables[:, :longest, :longest] = gaussian_tables(longest, self.config.widths)
        return tables.to(valid.device)


def official_names() -> dict[str, Place]:
    """Each of the authors' parameter names -> where it lies in ours."""
    places: dict[str, Place] = {
        "modular_vector_mapping.weight": ("query_pooling.score.weight", ()),
        "modular_vector_mapping_2.weight": ("frame_pooling.score.weight", ()),
    }
    for branch in ("query", "frame", "clip"):
        places |= projection_places(f"{branch}_input_proj", f"{branch}_input")
        ours = "query_encoder.positions" if branch == "query" else f"{branch}_positions"
        places |= position_places(f"{branch}_pos_embed", ours)
    places |= layer_places("query_encoder", "query_encoder.layer")
    for k in range(4):
        for theirs, ours in (
            ("clip_encoder", "clip_mixtures.0"),
            ("clip_encoder_2", "clip_mixtures.1"),
            ("frame_encoder_1", "frame_mixtures.0"),
            ("frame_encoder_2", "frame_mixtures.1"),
        ):
            places |= layer_places(f"{theirs}.attn{k}", ours, k)
    return places


def from_official(state: Mapping[str, Tensor], *, where: str = "this state dict") -> dict[str, Tensor]:
    """The authors' weights under our names and in our shapes. Raises CheckpointError when they are of another."""
    return OFFICIAL.read(state, where=where)


def _mixtures(config: GMMFormerConfig) -> nn.ModuleList:
    blocks, width, heads = len(config.widths), config.hidden, config.heads
    return nn.ModuleList(AttentionLayers(blocks, width, heads, config.dropout) for _ in range(LAYERS))


def _mixed(x: Tensor, mixtures: nn.ModuleList, tables: Tensor, valid: Tensor) -> Tensor:
    """x (V, N, D), tables (K, N, N), valid (V, N) -> (V, N, D): in each layer the mean of K blocks."""
    bias = key_bias(valid).to(x.dtype)
    for blocks in mixtures:
        x = blocks(x, table=tables, bias=bias).mean(0)
    return x


OFFICIAL = Official(
    system="GMMFormer",
    places=official_names(),
    sizes=family_sizes(),
    said={
        "n_heads": ("model.heads",),
        "map_size": ("model.clips", "prepare.clips"),
        "clip_scale_w": ("model.clip_weight",),
    },
)
