"""ARL-style (after ARL, arXiv 2506.07471): two networks that tell each other which unlabelled pairs may fit after all.

No code was released, and parts of this are our own reconstruction: the blocks, every threshold and the losses' formulas
(`prvr.methods.arl_style.loss`). What is the paper's: a single stream of frames, the best frame as the score, ambiguity
by similarity and by uncertainty over the whole training set, refreshed every epoch, and two networks.

Both networks are one module and learn from one sum of losses: no gradient crosses from one to the other and the
optimiser clips every tensor by itself, so that one optimiser does what two would. The first stands in the place of the
frame branch and the second in that of the clip branch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, BranchScores, Embedded, Outputs, QueryBatch, VideoBatch, VideoTokens
from prvr.parts.attention_layers import SequenceEncoder, reset_parameters
from prvr.parts.blocks import InputProjection
from prvr.parts.pooling import AttentionPooling
from prvr.parts.scoring import best_cosine, best_token
from prvr.parts.spans import TokenSpans


@dataclass(frozen=True, kw_only=True)
class ARLStyleConfig:
    """The sizes of each of the two networks."""

    video_width: int  # E of the frame features
    text_width: int  # E of the word features
    hidden: int = 384  # D
    heads: int = 4
    max_words: int = 30  # longer queries are cut
    frames: int = 128  # positions, at most
    input_dropout: float = 0.1  # of input projections and positions
    dropout: float = 0.1  # inside the attention layers
    clip_weight: float = 0.0  # share of the second network in the score; 0: the first ranks alone, 0.5: the mean

    def __post_init__(self) -> None:
        for name in ("video_width", "text_width", "hidden", "heads", "max_words", "frames"):
            if getattr(self, name) < 1:
                raise ConfigError(f"model.{name}={getattr(self, name)}: must be at least 1")
        if self.hidden % self.heads:
            raise ConfigError(f"model.heads={self.heads}: does not divide model.hidden={self.hidden} into equal heads")
        for name in ("input_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"model.{name}={getattr(self, name)}: must be from 0 to below 1")
        if not 0 <= self.clip_weight <= 1:
            raise ConfigError(f"model.clip_weight={self.clip_weight}: must be from 0 to 1")


class ARLOutputs(Outputs):
    """`Outputs` under ARL's names, for the first and the second network; uncertainties carry no gradient."""

    @property
    def frame_uncertainty(self) -> Tensor:
        """(2, V, T) mean cosine of each frame with all queries."""
        return self.aligned_frames

    @property
    def pair_uncertainty(self) -> Tensor:
        """(2, Q, V) that of a query and its best frame of a video: half the query's, half the frame's."""
        return self.aligned_clips


class Network(nn.Module):
    """Words -> a vector, frames -> as many vectors."""

    def __init__(self, config: ARLStyleConfig) -> None:
        super().__init__()
        c = config
        self.query_input = InputProjection(c.text_width, c.hidden, c.input_dropout)
        self.query_encoder = _encoder(c, c.max_words)
        self.query_pooling = AttentionPooling(c.hidden)
        self.frame_input = InputProjection(c.video_width, c.hidden, c.input_dropout)
        self.frame_encoder = _encoder(c, c.frames)

    def read_words(self, words: Tensor, valid: Tensor) -> Tensor:
        """words (Q, W, E), valid (Q, W) -> (Q, D)."""
        pooled: Tensor = self.query_pooling(self.query_encoder(self.query_input(words), valid), valid)
        return pooled

    def read_frames(self, frames: Tensor, valid: Tensor) -> Tensor:
        """frames (V, T, E), valid (V, T) -> (V, T, D), zero where there is padding."""
        out: Tensor = self.frame_encoder(self.frame_input(frames), valid)
        return out * valid[..., None]


class ARLStyle(nn.Module):
    """The two networks, and what they remember of the training set; fits `RetrievalModel`.

    The mean cosine of a vector with all others is its product with their mean, so that uncertainty over the whole
    training set needs one vector of queries and one of frames a network. They are summed up while an epoch passes and
    count from the next one on: `train()`, which the loop calls at the start of every epoch, is what turns the page.
    """

    needs_query: ClassVar[bool] = False

    def __init__(self, config: ARLStyleConfig) -> None:
        super().__init__()
        self.config = config
        self.first, self.second = Network(config), Network(config)
        self.means: Tensor
        self.register_buffer("means", torch.zeros(2, 2, config.hidden))  # (query | frame, network, D), of last epoch
        self.sums: Tensor
        self.register_buffer("sums", torch.zeros(2, 2, config.hidden))  # of this epoch so far
        self.counts: Tensor
        self.register_buffer("counts", torch.zeros(2))  # queries and frames in the sums
        reset_parameters(self)

    @property
    def clip_weight(self) -> float:
        """Share of the second network in the score."""
        return self.config.clip_weight

    def train(self, mode: bool = True) -> Self:
        """As ever; what was seen since the last call with True becomes what uncertainty is measured by."""
        if mode and bool((self.counts > 0).all()):
            self.means.copy_(self.sums / self.counts[:, None, None])
            self.sums.zero_()
            self.counts.zero_()
        return super().train(mode)

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """-> (Q, D) of the first network; (Q, 2 D), each of length 1, where the second has a share in the score."""
        words, valid = self._words(queries)
        if not self.clip_weight:
            return self.first.read_words(words, valid)
        both = (network.read_words(words, valid) for network in (self.first, self.second))
        return torch.cat([F.normalize(query, dim=-1) for query in both], dim=-1)

    def encode_videos(self, videos: VideoBatch) -> VideoTokens:
        """-> frames of the first network and no clips; both, (V, T, 2 D) each with zeros in the other's place, where
        the second has a share: a cosine is then that of the network divided by √2, for every token and query.
        """
        valid = self._checked(videos)
        frames = self.first.read_frames(videos.frames, valid)
        if not self.clip_weight:
            return VideoTokens(frames, valid, frames[:, :0], valid[:, :0])
        clips, width = self.second.read_frames(videos.frames, valid), self.config.hidden
        return VideoTokens(F.pad(frames, (0, width)), valid, F.pad(clips, (width, 0)), valid)

    def token_spans(self, videos: VideoBatch) -> TokenSpans:
        """Seconds of the tokens that `encode_videos` makes."""
        return TokenSpans(videos.frame_spans, videos.frame_spans if self.clip_weight else videos.frame_spans[:, :0])

    def embed(self, batch: Batch) -> Embedded:
        """Videos with all their queries, each read by both networks; the query (Q, 2 D) is that of both."""
        (words, there), valid = self._words(batch.queries), self._checked(batch.videos)
        networks = (self.first, self.second)
        frames, clips = (network.read_frames(batch.videos.frames, valid) for network in networks)
        query = torch.cat([network.read_words(words, there) for network in networks], dim=-1)
        return Embedded(query, VideoTokens(frames, valid, clips, valid), frames[:, :1], clips[:, :1])

    def compare(self, embedded: Embedded) -> ARLOutputs:
        """Every query against every video, network by network, and how uncertain each pair is; no weight is read.

        In training the batch is added to what the networks remember. Several processes see the same joint batch here.
        """
        query, video, *_ = embedded
        pairs = list(zip(query.chunk(2, dim=-1), (video.frames, video.clips), strict=True))
        found = [best_cosine(one, tokens, video.frame_valid) for one, tokens in pairs]
        dots = [best_token(one, tokens, video.frame_valid)[0] for one, tokens in pairs]
        with torch.no_grad():
            units = [(F.normalize(one, dim=-1), F.normalize(tokens, dim=-1)) for one, tokens in pairs]
            of_pairs, of_frames = zip(*map(self._uncertainty, range(2), units, (x[1] for x in found)), strict=True)
            if self.training:
                self._remember(units, video.frame_valid)
        cosine, dot = BranchScores(found[0][0], found[1][0]), BranchScores(dots[0], dots[1])
        return ARLOutputs(query, video, cosine, dot, torch.stack(of_frames), torch.stack(of_pairs))

    def forward(self, batch: Batch) -> ARLOutputs:
        """Videos with all their queries -> what objectives read."""
        return self.compare(self.embed(batch))

    def _words(self, queries: QueryBatch) -> tuple[Tensor, Tensor]:
        return queries.words[:, : self.config.max_words], queries.valid[:, : self.config.max_words]

    def _checked(self, videos: VideoBatch) -> Tensor:
        found, most = videos.frames.shape[1], self.config.frames
        if found > most:
            raise ConfigError(
                f"videos of {found} frames, but model.frames={most}; prepare them with "
                f"`--set prepare.frames={most}`, or add `--set model.frames={found}`"
            )
        return videos.frame_valid

    def _uncertainty(self, network: int, units: tuple[Tensor, Tensor], winner: Tensor) -> tuple[Tensor, Tensor]:
        """units (Q, D) and (V, T, D), winner (Q, V) -> of pairs (Q, V) and of frames (V, T)."""
        query, frames = units
        of_query, of_frame = query @ self.means[1, network].to(query), frames @ self.means[0, network].to(frames)
        video = torch.arange(len(frames), device=frames.device)
        return (of_query[:, None] + of_frame[video, winner]) / 2, of_frame

    def _remember(self, units: list[tuple[Tensor, Tensor]], valid: Tensor) -> None:
        """units: of each network queries (Q, D) and frames (V, T, D), valid (V, T)."""
        queries = torch.stack([query.sum(0) for query, _ in units])
        frames = torch.stack([(frame * valid[..., None]).sum((0, 1)) for _, frame in units])
        self.sums += torch.stack([queries, frames])
        self.counts += torch.stack([valid.new_tensor(len(units[0][0]), dtype=torch.int64), valid.sum()])


def _encoder(config: ARLStyleConfig, length: int) -> SequenceEncoder:
    return SequenceEncoder(
        config.hidden, config.heads, length, input_dropout=config.input_dropout, dropout=config.dropout
    )
