"""DL-DKD (ICCV 2023) and DL-DKD++: two branches over the frames, one of which is taught by a frozen image-text encoder.

The inheritance branch learns the teacher's frames, the exploration branch is free. Each has a query vector of its own.
Here the inheritance branch is the frame branch and the exploration branch the clip branch, 0.7 : 0.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.core.method import Method
from prvr.core.types import Batch, FeatureSpec, Made, QueryBatch, TokenSpans, VideoTokens
from prvr.parts.attention_layers import reset_parameters
from prvr.parts.blocks import InputProjection
from prvr.parts.pooling import AttentionPooling
from prvr.parts.towers import WordsConfig, check_share, cut_words, sequence_encoder
from prvr.parts.uniform import UniformConfig, prepare_frames
from prvr.parts.videos import FrameVideos, check_length


@dataclass(frozen=True, kw_only=True)
class DLDKDConfig(WordsConfig):
    """The network's sizes, D of each branch; the defaults are those of DL-DKD as released."""

    shared_words: bool = True  # both branches read words through one projection; DL-DKD++: through two
    clip_weight: float = 0.3  # share of the exploration branch in the score

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("clip_weight", self.clip_weight)


class BranchQueries(NamedTuple):
    """A query as each branch reads it."""

    inherit: Tensor  # (Q, D)
    explore: Tensor  # (Q, D)


class Branch(nn.Module):
    """One student: words -> a vector, frames -> as many vectors."""

    def __init__(self, config: DLDKDConfig) -> None:
        super().__init__()
        c = config
        self.query_encoder = sequence_encoder(c, c.max_words)
        self.query_pooling = AttentionPooling(c.hidden)
        self.frame_input = InputProjection(c.video_width, c.hidden, c.input_dropout)
        self.frame_encoder = sequence_encoder(c, c.frames)
        self.frame_output = nn.Linear(c.hidden, c.hidden)

    def read_words(self, projected: Tensor, valid: Tensor) -> Tensor:
        """projected (Q, W, D), valid (Q, W) -> (Q, D)."""
        pooled: Tensor = self.query_pooling(self.query_encoder(projected, valid), valid)
        return pooled

    def read_frames(self, frames: Tensor, valid: Tensor) -> Tensor:
        """frames (V, T, E), valid (V, T) -> (V, T, D), zero where there is padding."""
        out: Tensor = self.frame_output(self.frame_encoder(self.frame_input(frames), valid))
        return out * valid[..., None]


class DLDKD(nn.Module):
    """The two branches; fits `RetrievalModel`.

    To rank with one vector a query, both query vectors are set to length 1 and put side by side, and a token of either
    branch has zeros in the other's place: its cosine is that of the branch divided by √2, for every token and query.
    """

    def __init__(self, config: DLDKDConfig) -> None:
        super().__init__()
        self.config, self.clip_weight = config, config.clip_weight
        c = config
        self.inherit, self.explore = Branch(c), Branch(c)
        self.query_input = InputProjection(c.text_width, c.hidden, c.input_dropout)
        self.explore_query_input = None if c.shared_words else InputProjection(c.text_width, c.hidden, c.input_dropout)
        reset_parameters(self)

    def branch_queries(self, queries: QueryBatch) -> BranchQueries:
        """A query vector for each branch, not normalised."""
        words, valid = cut_words(queries, self.config.max_words)
        inherit = self.inherit.read_words(self.query_input(words), valid)
        # a shared projection is applied again, so that dropout is drawn for each branch
        explore = self.explore.read_words((self.explore_query_input or self.query_input)(words), valid)
        return BranchQueries(inherit, explore)

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """-> (Q, 2 D), the queries of both branches, each of length 1."""
        return torch.cat([F.normalize(query, dim=-1) for query in self.branch_queries(queries)], dim=-1)

    def branch_videos(self, videos: FrameVideos) -> VideoTokens:
        """Tokens of the inheritance branch as frames and of the exploration branch as clips, (V, T, D) each.

        A video may have fewer frames than the config says, but not more: ConfigError.
        """
        check_length(videos.frames, self.config.frames, "frames")
        valid = videos.frame_valid
        inherit, explore = (branch.read_frames(videos.frames, valid) for branch in (self.inherit, self.explore))
        return VideoTokens(frames=inherit, frame_valid=valid, clips=explore, clip_valid=valid)

    def encode_videos(self, videos: FrameVideos) -> VideoTokens:
        """-> tokens of both branches, (V, T, 2 D), each with zeros in the other's place."""
        found, width = self.branch_videos(videos), self.config.hidden
        return found._replace(frames=F.pad(found.frames, (0, width)), clips=F.pad(found.clips, (width, 0)))

    def token_spans(self, videos: FrameVideos) -> TokenSpans:
        """Seconds of the tokens that `encode_videos` makes."""
        return TokenSpans(frames=videos.frame_spans, clips=videos.frame_spans)

    def embed(self, batch: Batch[FrameVideos]) -> Made[BranchQueries, VideoTokens]:
        """Queries and frames of both branches; those of the exploration branch stand in the place of clips."""
        tokens = self.branch_videos(batch.videos)
        return Made(self.branch_queries(batch.queries), tokens)


def _width(config: DLDKDConfig, _: FeatureSpec) -> int:
    """D of both branches side by side."""
    return 2 * config.hidden


METHOD = Method(
    title="DL-DKD",
    network=DLDKDConfig,
    build=DLDKD,
    cut=UniformConfig,
    videos=FrameVideos,
    prepare=prepare_frames,
    width=_width,
)
