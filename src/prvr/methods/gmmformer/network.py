"""GMMFormer (AAAI 2024): two layers of four attention blocks of different reach, averaged, over frames and over clips.

All frames of a video end up in one vector, and each clip in its own; clips and frames weigh 0.7 : 0.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.core.method import Method
from prvr.core.types import Batch, Made, TokenSpans, VideoTokens
from prvr.parts.attention_layers import AttentionLayers, reset_parameters
from prvr.parts.blocks import InputProjection, Positions
from prvr.parts.gaussian import gaussian_tables
from prvr.parts.masked import key_bias
from prvr.parts.pooling import AttentionPooling
from prvr.parts.spans import equal_spans, whole_spans
from prvr.parts.towers import BranchConfig, TwiceRead, WordTower
from prvr.parts.uniform import UniformConfig, prepare_uniform
from prvr.parts.videos import ClipVideos, check_length, check_places

LAYERS = 2


@dataclass(frozen=True, kw_only=True)
class GMMFormerConfig(BranchConfig):
    """The network's sizes; the defaults are what was released."""

    input_dropout: float = 0.2  # of input projections and positions
    dropout: float = 0.2  # inside the blocks
    widths: tuple[float | None, ...] = (None, 0.5, 1.0, 5.0)  # one block each; none = no Gaussian
    # frames that a Gaussian's width is a share of; none: the longest video of the batch, as released, where a video's
    # vector depends on its company. The two are the same wherever some video of the batch is so long
    gaussian_length: int | None = 128
    query_draws: Literal[1, 2] = 2  # samples of dropout a query: one to be ranked and, as released, one to be diverse

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.widths or any(width is not None and width <= 0 for width in self.widths):
            raise ConfigError(f"model.widths={self.widths}: needs one positive width, or none, for each block")
        if self.gaussian_length is not None and self.gaussian_length > self.frames:
            raise ConfigError(
                f"model.gaussian_length={self.gaussian_length}: must be from 1 to model.frames={self.frames}"
            )


class GMMFormer(WordTower):
    """The two towers; fits `RetrievalModel`."""

    def __init__(self, config: GMMFormerConfig) -> None:
        super().__init__(config)
        self.config, self.clip_weight = config, config.clip_weight
        c = config
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

    def encode_videos(self, videos: ClipVideos) -> VideoTokens:
        """-> one token for all frames, and one for each clip, zero where there is padding.

        A video may have fewer positions than the config says, but not more: ConfigError.
        """
        if self.config.gaussian_length:
            check_length(videos.frames, self.config.gaussian_length, "frames", "gaussian_length")
        check_places(videos, self.config.frames, self.config.clips)
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

    def token_spans(self, videos: ClipVideos) -> TokenSpans:
        """Seconds of those tokens."""
        return TokenSpans(frames=whole_spans(videos), clips=equal_spans(videos, videos.clips.shape[1]))

    def embed(self, batch: Batch[ClipVideos]) -> Made[TwiceRead, VideoTokens]:
        """Queries, read twice while training, and videos."""
        tokens = self.encode_videos(batch.videos)
        again = self.training and self.config.query_draws > 1
        return Made(TwiceRead.of(self.encode_queries, batch.queries, again=again), tokens)

    def _frame_tables(self, valid: Tensor) -> Tensor:
        """valid (V, T) -> (K, T, T)."""
        n = valid.shape[1]
        if self.config.gaussian_length:
            return self.frame_tables[:, :n, :n]
        longest = int(valid.any(0).sum())
        tables = torch.ones(len(self.config.widths), n, n)
        tables[:, :longest, :longest] = gaussian_tables(longest, self.config.widths)
        return tables.to(valid.device)


def _mixtures(config: GMMFormerConfig) -> nn.ModuleList:
    blocks, width, heads = len(config.widths), config.hidden, config.heads
    return nn.ModuleList(AttentionLayers(blocks, width, heads, config.dropout) for _ in range(LAYERS))


def _mixed(x: Tensor, mixtures: nn.ModuleList, tables: Tensor, valid: Tensor) -> Tensor:
    """x (V, N, D), tables (K, N, N), valid (V, N) -> (V, N, D): in each layer the mean of K blocks."""
    bias = key_bias(valid).to(x.dtype)
    for blocks in mixtures:
        x = blocks(x, table=tables, bias=bias).mean(0)
    return x


METHOD = Method(
    title="GMMFormer",
    network=GMMFormerConfig,
    build=GMMFormer,
    cut=UniformConfig,
    videos=ClipVideos,
    prepare=prepare_uniform,
)
