"""What two towers share: their sizes, judged once; how words, frames and clips are read; queries read twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.core.types import QueryBatch, VideoTokens
from prvr.parts.attention_layers import SequenceEncoder
from prvr.parts.blocks import InputProjection
from prvr.parts.pooling import AttentionPooling
from prvr.parts.videos import ClipVideos, check_places


@dataclass(frozen=True, kw_only=True)
class TowerConfig:
    """Sizes of two towers of attention layers. Every whole number is at least 1, every dropout a rate."""

    video_width: int  # E of the frame features
    text_width: int  # E of the word features
    hidden: int = 384  # D
    heads: int = 4
    frames: int = 128  # positions of the frame branch, at most
    input_dropout: float = 0.1  # of input projections and positions
    dropout: float = 0.1  # inside the attention layers

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and not isinstance(value, bool) and value < 1:
                raise ConfigError(f"model.{field.name}={value}: must be at least 1")
            if field.name.endswith("dropout") and not 0 <= value < 1:
                raise ConfigError(f"model.{field.name}={value}: must be from 0 to below 1")
        if self.hidden % self.heads:
            raise ConfigError(f"model.heads={self.heads}: does not divide model.hidden={self.hidden} into equal heads")


@dataclass(frozen=True, kw_only=True)
class WordsConfig(TowerConfig):
    """The same of a network that reads words."""

    max_words: int = 30  # longer queries are cut


@dataclass(frozen=True, kw_only=True)
class ClipsConfig(WordsConfig):
    """The same of a network that reads clips beside the frames."""

    clips: int = 32  # C, at most

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clips > self.frames:
            raise ConfigError(f"model.clips={self.clips}: cannot be more than model.frames={self.frames}")


@dataclass(frozen=True, kw_only=True)
class BranchConfig(ClipsConfig):
    """The same where the clips are a branch of their own."""

    clip_weight: float = 0.7  # share of the clip branch in the score

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("clip_weight", self.clip_weight)


def sequence_encoder(config: WordsConfig, length: int) -> SequenceEncoder:
    """Positions and one attention layer for sequences of at most `length`."""
    return SequenceEncoder(
        config.hidden, config.heads, length, input_dropout=config.input_dropout, dropout=config.dropout
    )


def check_share(name: str, value: float) -> None:
    """Raises ConfigError unless a setting of the model is from 0 to 1."""
    if not 0 <= value <= 1:
        raise ConfigError(f"model.{name}={value}: must be from 0 to 1")


class WordTower(nn.Module):
    """Words -> a vector: projected, attended to once, pooled."""

    def __init__(self, config: WordsConfig) -> None:
        super().__init__()
        c = config
        self.max_words = c.max_words
        self.query_input = InputProjection(c.text_width, c.hidden, c.input_dropout)
        self.query_encoder = sequence_encoder(c, c.max_words)
        self.query_pooling = AttentionPooling(c.hidden)

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """-> (Q, D), not normalised."""
        words, valid = cut_words(queries, self.max_words)
        return self.pool_words(self.query_input(words), valid)

    def pool_words(self, projected: Tensor, valid: Tensor) -> Tensor:
        """projected (Q, W, D), valid (Q, W) -> (Q, D)."""
        pooled: Tensor = self.query_pooling(self.query_encoder(projected, valid), valid)
        return pooled


class FrameTower(WordTower):
    """The same, and frames -> as many vectors that know of each other."""

    def __init__(self, config: WordsConfig) -> None:
        super().__init__(config)
        self.frame_input = InputProjection(config.video_width, config.hidden, config.input_dropout)
        self.frame_encoder = sequence_encoder(config, config.frames)

    def read_frames(self, frames: Tensor, valid: Tensor) -> Tensor:
        """frames (V, T, E), valid (V, T) -> (V, T, D); rows that are not valid mean nothing."""
        out: Tensor = self.frame_encoder(self.frame_input(frames), valid)
        return out


class ClipTower(FrameTower):
    """The same, and clips -> as many vectors."""

    def __init__(self, config: ClipsConfig) -> None:
        super().__init__(config)
        self.config = config
        self.clip_input = InputProjection(config.video_width, config.hidden, config.input_dropout)
        self.clip_encoder = sequence_encoder(config, config.frames)  # as many positions as for frames, as released

    def contextual(self, videos: ClipVideos) -> VideoTokens:
        """Frames (V, T, D) and clips (V, C, D) that know of each other, zero where there is padding.

        A video may have fewer of them than the config says, but not more: ConfigError.
        """
        check_places(videos, self.config.frames, self.config.clips)
        return self.read_both(videos.frames, videos.frame_valid, videos.clips, videos.clip_size > 0)

    def read_both(self, frames: Tensor, frame_valid: Tensor, clips: Tensor, clip_valid: Tensor) -> VideoTokens:
        """The same of frames (V, T, E) and clips (V, C, E), with what is valid of them."""
        frames = self.read_frames(frames, frame_valid) * frame_valid[..., None]
        clips = self.clip_encoder(self.clip_input(clips), clip_valid) * clip_valid[..., None]
        return VideoTokens(frames, frame_valid, clips, clip_valid)


def cut_words(queries: QueryBatch, most: int) -> tuple[Tensor, Tensor]:
    """The first `most` words of each query and which are there, (Q, W, E) and (Q, W)."""
    return queries.words[:, :most], queries.valid[:, :most]


def cut_sentence(queries: QueryBatch, most: int) -> Tensor:
    """The sentence of each query (Q, E); of one that is cut, the last word that is left, where its sentence is a word.

    With published packs the sentence is the last word ([EOS]), and authors take the last one after the cut. An
    encoder's own sentence vector is of the whole query, and stays.
    """
    if queries.valid.shape[1] <= most:
        return queries.sentence
    last = queries.valid.sum(1) - 1
    ends = (queries.words[torch.arange(len(last), device=last.device), last] == queries.sentence).all(1)
    return torch.where((ends & (last >= most))[:, None], queries.words[:, most - 1], queries.sentence)


class TwiceRead(NamedTuple):
    """Queries as they are ranked, and as another loss reads them.

    Some authors encode the queries of a training batch a second time for such a loss, so that it reads another sample
    of dropout than is ranked; with `query_draws` = 1 it reads the same.
    """

    query: Tensor  # (Q, D)
    again: Tensor  # (Q, D) another sample of dropout, or the same

    @classmethod
    def of(cls, encode: Callable[[QueryBatch], Tensor], queries: QueryBatch, *, again: bool) -> TwiceRead:
        """Q queries, read a second time where `again` says so."""
        query = encode(queries)
        return cls(query, encode(queries) if again else query)
