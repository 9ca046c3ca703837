"""MSC (NeurIPS 2025): two branches of Gaussian mixture blocks over frames and over merged clips.

Query and videos are encoded apart; a video's score is its best token's cosine, frames and clips weighted 0.6 : 0.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, Embedded, Outputs, QueryBatch, VideoBatch, VideoTokens
from prvr.methods.msc.mixture import GaussianMixture
from prvr.parts.blocks import AttentionBlocks, InputProjection, Positions
from prvr.parts.gaussian import OFFICIAL_WIDTHS
from prvr.parts.masked import key_bias
from prvr.parts.pooling import AttentionPooling
from prvr.parts.scoring import cosine_scores, dot_scores


@dataclass(frozen=True, kw_only=True)
class MSCConfig:
    """The network's sizes and parts; the defaults are what was released."""

    video_width: int  # E of the frame features
    text_width: int  # E of the word features
    hidden: int = 384  # D
    heads: int = 4
    max_words: int = 77  # longer queries are cut
    frames: int = 128  # positions of the frame branch, at most
    clips: int = 32  # tokens of the clip branch, at most
    input_dropout: float = 0.2  # of input projections and positions
    dropout: float = 0.2  # inside the blocks
    sft_factor: float = 0.6  # temperature of the mixture over the blocks
    widths: tuple[float | None, ...] = OFFICIAL_WIDTHS  # one block each; none = no Gaussian
    checkpoint: bool = False  # make activations again when gradients need them: less memory, more time, same values
    clip_weight: float = 0.4  # share of the clip branch in the score
    sized_attention: Literal["blocks", "none"] = "blocks"  # where a clip counts as often as it has frames (ToMe)
    alignment: Literal["linear", "none"] = "linear"  # what CBVA reads tokens through; paper: the tokens that are ranked

    def __post_init__(self) -> None:
        for name in ("video_width", "text_width", "hidden", "heads", "max_words", "frames", "clips"):
            if getattr(self, name) < 1:
                raise ConfigError(f"model.{name}={getattr(self, name)}: must be at least 1")
        if self.hidden % self.heads:
            raise ConfigError(f"model.heads={self.heads}: does not divide model.hidden={self.hidden} into equal heads")
        if self.clips > self.frames:
            raise ConfigError(f"model.clips={self.clips}: cannot be more than model.frames={self.frames}")
        for name in ("input_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"model.{name}={getattr(self, name)}: must be from 0 to below 1")
        if not self.sft_factor > 0:
            raise ConfigError(f"model.sft_factor={self.sft_factor}: must be positive")
        if not self.widths or any(width is not None and width <= 0 for width in self.widths):
            raise ConfigError(f"model.widths={self.widths}: needs one positive width, or none, for each block")
        if not 0 <= self.clip_weight <= 1:
            raise ConfigError(f"model.clip_weight={self.clip_weight}: must be from 0 to 1")


class MSC(nn.Module):
    """The two towers; fits `RetrievalModel`, and its forward makes what objectives read."""

    def __init__(self, config: MSCConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        self.query_input = InputProjection(c.text_width, c.hidden, c.input_dropout)
        self.query_positions = Positions(c.max_words, c.hidden, c.input_dropout)
        self.query_block = AttentionBlocks(1, c.hidden, c.heads, c.dropout)
        self.query_pooling = AttentionPooling(c.hidden)
        self.frame_input = InputProjection(c.video_width, c.hidden, c.input_dropout)
        self.frame_positions = Positions(c.frames, c.hidden, c.input_dropout)
        self.frame_mixture = _mixture(c, c.frames)
        self.clip_input = InputProjection(c.video_width, c.hidden, c.input_dropout)
        self.clip_positions = Positions(c.frames, c.hidden, c.input_dropout)  # as many rows as for frames, as released
        self.clip_mixture = _mixture(c, c.clips)
        self.weight_token = nn.Parameter(torch.empty(c.hidden))  # reads the blocks of both branches
        # CBVA alone reads tokens through it
        self.alignment = nn.Linear(c.hidden, c.hidden) if c.alignment == "linear" else nn.Identity()
        self.reset_parameters()

    @property
    def clip_weight(self) -> float:
        """Share of the clip branch in the fused score."""
        return self.config.clip_weight

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Matrices N(0, 0.02²), biases 0, norms 1 and 0, the weight token N(0, 1)."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif "norm" in name:
                parameter.fill_(1.0)
            else:
                parameter.normal_(std=1.0 if name == "weight_token" else 0.02)

    def encode_words(self, queries: QueryBatch) -> tuple[Tensor, Tensor]:
        """-> word tokens (Q, W, D) and their mask (Q, W), cut to `max_words`."""
        words, valid = queries.words[:, : self.config.max_words], queries.valid[:, : self.config.max_words]
        x = self.query_positions(self.query_input(words))
        return self.query_block(x, bias=key_bias(valid).to(x.dtype))[0], valid

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """-> (Q, D), not normalised."""
        pooled: Tensor = self.query_pooling(*self.encode_words(queries))
        return pooled

    def encode_videos(self, videos: VideoBatch) -> VideoTokens:
        """-> tokens of both branches, zero where there is padding.

        A video may have fewer positions than the config says, but not more: ConfigError.
        """
        for name, x, most in (
            ("frames", videos.frames, self.config.frames),
            ("clips", videos.clips, self.config.clips),
        ):
            if x.shape[1] > most:
                raise ConfigError(
                    f"videos of {x.shape[1]} {name}, but model.{name}={most}; "
                    f"prepare them with {most}, or add `--set model.{name}={x.shape[1]}`"
                )
        clip_valid = videos.clip_size > 0
        size = videos.clip_size if self.config.sized_attention == "blocks" else None
        frames = self.frame_positions(self.frame_input(videos.frames))
        clips = self.clip_positions(self.clip_input(videos.clips))
        return VideoTokens(
            frames=self.frame_mixture(frames, self.weight_token, videos.frame_valid),
            frame_valid=videos.frame_valid,
            clips=self.clip_mixture(clips, self.weight_token, clip_valid, size),
            clip_valid=clip_valid,
        )

    def embed(self, batch: Batch) -> Embedded:
        """Videos with all their queries, each read by its tower alone."""
        video = self.encode_videos(batch.videos)
        return Embedded(
            query=self.encode_queries(batch.queries),
            video=video,
            aligned_frames=self.alignment(video.frames),
            aligned_clips=self.alignment(video.clips),
        )

    def compare(self, embedded: Embedded) -> Outputs:
        """Every query against every video; no weight is read."""
        query, video, aligned_frames, aligned_clips = embedded
        return Outputs(
            query=query,
            video=video,
            cosine=cosine_scores(query, video),
            dot=dot_scores(query, video),
            aligned_frames=aligned_frames,
            aligned_clips=aligned_clips,
        )

    def forward(self, batch: Batch) -> Outputs:
        """Videos with all their queries -> what objectives read."""
        return self.compare(self.embed(batch))


def _mixture(config: MSCConfig, length: int) -> GaussianMixture:
    return GaussianMixture(
        config.hidden,
        config.heads,
        length,
        widths=config.widths,
        sft_factor=config.sft_factor,
        dropout=config.dropout,
        checkpoint=config.checkpoint,
    )
