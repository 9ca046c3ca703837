"""MSC (NeurIPS 2025): two branches of Gaussian mixture blocks over frames and over merged clips.

Query and videos are encoded apart; a video's score is its best token's cosine, frames and clips weighted 0.6 : 0.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.core.method import Method
from prvr.core.types import Batch, Made, QueryBatch, TokenSpans, VideoTokens
from prvr.methods.msc.mixture import GaussianMixture
from prvr.methods.msc.prepare import MSCVideos, PrepareConfig, prepare_videos
from prvr.parts.attention_layers import reset_parameters
from prvr.parts.blocks import AttentionBlocks, InputProjection, Positions
from prvr.parts.gaussian import OFFICIAL_WIDTHS
from prvr.parts.masked import key_bias
from prvr.parts.pooling import AttentionPooling
from prvr.parts.towers import BranchConfig, cut_words
from prvr.parts.videos import ClipVideos, check_places


@dataclass(frozen=True, kw_only=True)
class MixtureConfig(BranchConfig):
    """Two towers whose videos go through mixtures of Gaussian blocks (GMMFormer v2, which MSC was built on)."""

    input_dropout: float = 0.2  # of input projections and positions
    dropout: float = 0.2  # inside the blocks
    sft_factor: float = 0.6  # temperature of the mixture over the blocks
    widths: tuple[float | None, ...] = OFFICIAL_WIDTHS  # one block each; none = no Gaussian
    checkpoint: bool = False  # make activations again when gradients need them: less memory, more time, same values

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sft_factor > 0:
            raise ConfigError(f"model.sft_factor={self.sft_factor}: must be positive")
        if not self.widths or any(width is not None and width <= 0 for width in self.widths):
            raise ConfigError(f"model.widths={self.widths}: needs one positive width, or none, for each block")


@dataclass(frozen=True, kw_only=True)
class MSCConfig(MixtureConfig):
    """The network's sizes and parts; the defaults are what was released."""

    max_words: int = 77  # longer queries are cut
    clip_weight: float = 0.4  # share of the clip branch in the score
    sized_attention: Literal["blocks", "none"] = "blocks"  # where a clip counts as often as it has frames (ToMe)
    alignment: Literal["linear", "none"] = "linear"  # what CBVA reads tokens through; paper: the tokens that are ranked


class TwoMixtures(nn.Module):
    """Words through one attention block, frames and clips through a mixture each; `mixture` makes one of a length."""

    def __init__(self, config: MixtureConfig, mixture: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.config, self.clip_weight = config, config.clip_weight
        c = config
        self.query_input = InputProjection(c.text_width, c.hidden, c.input_dropout)
        self.query_positions = Positions(c.max_words, c.hidden, c.input_dropout)
        self.query_block = AttentionBlocks(1, c.hidden, c.heads, c.dropout)
        self.query_pooling = AttentionPooling(c.hidden)
        self.frame_input = InputProjection(c.video_width, c.hidden, c.input_dropout)
        self.frame_positions = Positions(c.frames, c.hidden, c.input_dropout)
        self.frame_mixture = mixture(c.frames)
        self.clip_input = InputProjection(c.video_width, c.hidden, c.input_dropout)
        self.clip_positions = Positions(c.frames, c.hidden, c.input_dropout)  # as many rows as for frames, as released
        self.clip_mixture = mixture(c.clips)

    def encode_words(self, queries: QueryBatch) -> tuple[Tensor, Tensor]:
        """-> word tokens (Q, W, D) and their mask (Q, W), cut to `max_words`."""
        words, valid = cut_words(queries, self.config.max_words)
        x = self.query_positions(self.query_input(words))
        return self.query_block(x, bias=key_bias(valid).to(x.dtype))[0], valid

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """-> (Q, D), not normalised."""
        pooled: Tensor = self.query_pooling(*self.encode_words(queries))
        return pooled


class MixtureTowers(TwoMixtures):
    """Those whose mixtures are of Gaussian blocks."""

    frame_mixture: GaussianMixture
    clip_mixture: GaussianMixture

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__(config, partial(_mixture, config))
        self.weight_token = nn.Parameter(torch.empty(config.hidden))  # reads the blocks of both branches

    def mix_videos(self, videos: ClipVideos, size: Tensor | None = None) -> VideoTokens:
        """-> tokens of both branches, zero where there is padding; size (V, C): how often a clip counts.

        A video may have fewer positions than the config says, but not more: ConfigError.
        """
        check_places(videos, self.config.frames, self.config.clips)
        clip_valid = videos.clip_size > 0
        frames = self.frame_positions(self.frame_input(videos.frames))
        clips = self.clip_positions(self.clip_input(videos.clips))
        return VideoTokens(
            frames=self.frame_mixture(frames, self.weight_token, videos.frame_valid),
            frame_valid=videos.frame_valid,
            clips=self.clip_mixture(clips, self.weight_token, clip_valid, size),
            clip_valid=clip_valid,
        )


class Aligned(NamedTuple):
    """What MSC makes of V videos: tokens that rank, and the same as CBVA reads them."""

    tokens: VideoTokens
    frames: Tensor  # (V, T, D)
    clips: Tensor  # (V, C, D)


class MSC(MixtureTowers):
    """The two towers; fits `RetrievalModel`."""

    config: MSCConfig

    def __init__(self, config: MSCConfig) -> None:
        super().__init__(config)
        # CBVA alone reads tokens through it
        self.alignment = nn.Linear(config.hidden, config.hidden) if config.alignment == "linear" else nn.Identity()
        reset_parameters(self, wide=("weight_token",))

    def encode_videos(self, videos: MSCVideos) -> VideoTokens:
        """-> tokens of both branches, zero where there is padding. Raises ConfigError for more than `config` says."""
        return self.mix_videos(videos, videos.clip_size if self.config.sized_attention == "blocks" else None)

    def token_spans(self, videos: MSCVideos) -> TokenSpans:
        """Seconds of those tokens; a clip lasts from the first frame that went to it to the last."""
        shape = videos.clip_size.shape
        start, end = videos.frame_spans[..., 0], videos.frame_spans[..., 1]
        start, end = start.where(videos.frame_valid, torch.inf), end.where(videos.frame_valid, -torch.inf)
        first = start.new_full(shape, torch.inf).scatter_reduce(1, videos.slot, start, "amin")
        last = end.new_full(shape, -torch.inf).scatter_reduce(1, videos.slot, end, "amax")
        return TokenSpans(frames=videos.frame_spans, clips=torch.stack([first, last], 2))

    def embed(self, batch: Batch[MSCVideos]) -> Made[Tensor, Aligned]:
        """Queries (Q, D), and videos with what CBVA reads of them."""
        tokens = self.encode_videos(batch.videos)
        query = self.encode_queries(batch.queries)
        return Made(query, Aligned(tokens, self.alignment(tokens.frames), self.alignment(tokens.clips)))


def _mixture(config: MixtureConfig, length: int) -> GaussianMixture:
    return GaussianMixture(
        config.hidden,
        config.heads,
        length,
        widths=config.widths,
        sft_factor=config.sft_factor,
        dropout=config.dropout,
        checkpoint=config.checkpoint,
    )


METHOD = Method(title="MSC", network=MSCConfig, build=MSC, cut=PrepareConfig, videos=MSCVideos, prepare=prepare_videos)
