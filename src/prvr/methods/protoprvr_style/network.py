"""ProtoPRVR-style (after ProtoPRVR, arXiv 2504.13035): a video is stored as a few prototypes that read all of it.

No code was released, and parts of this are our own reconstruction: the blocks that encode both sides, the decoders, how
words are masked and how two videos are mixed. What is the paper's: prototypes learned for all videos alike and made by
cross-attention alone, the best one as the score, and what they learn from (`terms.py` beside this).

How prototypes and their layers begin is ours too. Prototypes must be as long as the tokens that are added to them: with
N(0, 0.02²) read as it stands, what they share, the mean of the video, would soon outweigh what sets them apart; equal
prototypes look at the same places, so nothing would part them again, and a video would be stored as one vector L times.
And they must be able to move: a step of the optimiser is as long for a large number as for a small one, so that N(0, 1)
would stay where it began. So they begin N(0, 0.02²), as all else in MS-SL, and are normalised where they are read. The
matrices of their layers begin as 1: a prototype looks at the tokens it is like, and takes them as they are.

The prototypes stand in the place of the frames, and there is no other branch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.core.method import Method
from prvr.core.types import Batch, Made, TokenSpans, VideoTokens
from prvr.methods.protoprvr_style.layers import FrameDecoder, PrototypeLayer, WordDecoder, looked_at, masked_places
from prvr.methods.protoprvr_style.splicing import splice
from prvr.parts.attention_layers import reset_parameters
from prvr.parts.proposals import window_spans
from prvr.parts.spans import equal_spans
from prvr.parts.towers import ClipsConfig, ClipTower, check_share, cut_words
from prvr.parts.uniform import UniformConfig, prepare_uniform
from prvr.parts.videos import ClipVideos

TAUGHT = ("masked_word", "word_decoder", "frame_decoder")
"""Parts that only training needs."""


@dataclass(frozen=True, kw_only=True)
class ProtoPRVRStyleConfig(ClipsConfig):
    """The network's sizes. Where the paper's are not known, as for all but the form, they are ours."""

    clips: int = 32  # C of the clip stream, whose C (C + 1) / 2 runs are read
    prototypes: int = 30  # L, vectors stored a video
    layers: int = 2  # of cross-attention
    masked_words: float = 0.3  # share of a query's words that are hidden and guessed
    mixed_batches: float = 0.5  # share of the steps in which videos are mixed in pairs
    mixed_share: tuple[float, float] = (0.3, 0.7)  # of a mixture that its first video makes up, drawn evenly

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("frames", "clips"):
            if getattr(self, name) < 2:
                raise ConfigError(f"model.{name}={getattr(self, name)}: must be at least 2, one for each mixed video")
        for name in ("masked_words", "mixed_batches"):
            check_share(name, getattr(self, name))
        if not 0 <= self.mixed_share[0] <= self.mixed_share[1] <= 1:
            raise ConfigError(f"model.mixed_share={self.mixed_share}: must be two rising shares from 0 to 1")


class Draws(NamedTuple):
    """All that chance decides in a step, dropout aside."""

    words: Tensor  # (Q, W) a query's lowest are masked
    order: Tensor  # (V,) int64: those of the first half are mixed with those of the second, in this order
    share: Tensor  # (V // 2,) of each mixture that its first video makes up
    mixing: bool


class ProtoQueries(NamedTuple):
    """What the network makes of Q queries."""

    query: Tensor  # (Q, D) what ranks, not normalised
    guesses: Tensor  # (Q, M, E) the words that were hidden, as the best prototype tells them
    places: Tensor  # (Q, M) int64 where those words are, -1 = no word


class ProtoVideos(NamedTuple):
    """What the network makes of V videos."""

    prototypes: Tensor  # (V, L, D) what ranks
    frames: Tensor  # (V, T, D) the frames as the network sees them; without gradient
    valid: Tensor  # (V, T) bool
    rebuilt: Tensor  # (V, T, D) those frames as the prototypes tell them
    mixed: Tensor  # (V, L, D) prototypes of the mixture that each video is part of
    share: Tensor  # (V, L) how much of what these looked at lies in the video; -1 where a video was not mixed


class ProtoPRVRStyle(ClipTower):
    """The two towers; fits `RetrievalModel`."""

    config: ProtoPRVRStyleConfig
    clip_weight = 0.0  # the prototypes alone decide

    def __init__(self, config: ProtoPRVRStyleConfig) -> None:
        super().__init__(config)
        c = config
        self.prototypes = nn.Parameter(torch.empty(c.prototypes, c.hidden))
        self.layers = nn.ModuleList(PrototypeLayer(c.hidden, c.heads, c.dropout) for _ in range(c.layers))
        self.masked_word = nn.Parameter(torch.empty(c.hidden))
        self.word_decoder = WordDecoder(c.hidden, c.text_width, c.heads, c.dropout)
        self.frame_decoder = FrameDecoder(c.hidden, c.frames)
        reset_parameters(self)
        for layer in self.layers:
            cast(PrototypeLayer, layer).wake()

    def encode_videos(self, videos: ClipVideos) -> VideoTokens:
        """-> L prototypes as frames, all of them real, and no clips."""
        made, _ = self.read(self.contextual(videos))
        return ranked(made)

    def token_spans(self, videos: ClipVideos) -> TokenSpans:
        """Seconds of the one frame or run of clips that each prototype looked at most (our reading), where the videos
        are; the weights may be elsewhere.
        """
        _, looked = self.read(self.contextual(videos.to(str(self.prototypes.device))))
        spans = torch.cat([videos.frame_spans, window_spans(equal_spans(videos, videos.clips.shape[1]))], dim=1)
        most = looked.argmax(-1).to(spans.device)[..., None].expand(-1, -1, 2)
        return TokenSpans(frames=spans.gather(1, most), clips=spans[:, :0])

    def read(self, seen: VideoTokens) -> tuple[Tensor, Tensor]:
        """What the prototypes make of V videos (V, L, D), and what they looked at last (V, L, T + C (C + 1) / 2)."""
        x = F.layer_norm(self.prototypes, self.prototypes.shape[-1:]).expand(len(seen.frames), -1, -1)
        looked = x.new_empty(0)
        for layer in self.layers:
            x, looked = layer(x, seen)
        return x, looked

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # what follows is drawn anew in every step
    def draw(self, batch: Batch[ClipVideos]) -> Draws:
        """What chance decides in one step, by torch's generator."""
        device, videos = batch.videos.frames.device, len(batch.videos)
        low, high = self.config.mixed_share
        return Draws(
            words=torch.rand(batch.queries.valid.shape, device=device),
            order=torch.randperm(videos, device=device),
            share=low + (high - low) * torch.rand(videos // 2, device=device),
            mixing=float(torch.rand(())) < self.config.mixed_batches,
        )

    def embed(self, batch: Batch[ClipVideos], draws: Draws | None = None) -> Made[ProtoQueries, ProtoVideos]:
        """Videos with all their queries, and what losses read of them.

        Videos are mixed with videos of this batch, and words are guessed from the own video, so that no weight is
        needed once the two sides meet.
        """
        draws = self.draw(batch) if draws is None else draws
        words, valid = cut_words(batch.queries, self.max_words)
        projected = self.query_input(words)
        query = self.pool_words(projected, valid)
        seen = self.contextual(batch.videos)
        made, _ = self.read(seen)
        places = masked_places(draws.words[:, : words.shape[1]], valid, self.config.masked_words)
        guesses = self._guessed(projected, valid, places, _best(query, made[batch.video_of_query]))
        rebuilt = self.frame_decoder(made, seen.frames.shape[1])
        mixed, share = self._mixed(batch.videos, draws, made)
        return Made(
            ProtoQueries(query, guesses, places),
            ProtoVideos(made, seen.frames.detach(), seen.frame_valid, rebuilt, mixed, share),
        )

    def _guessed(self, projected: Tensor, valid: Tensor, places: Tensor, prototype: Tensor) -> Tensor:
        """projected, valid (Q, W, ...), places (Q, M), prototype (Q, D) -> (Q, M, E)."""
        word = torch.arange(valid.shape[1], device=valid.device)
        hidden = (places[..., None] == word).any(1)  # (Q, W)
        words = self.query_encoder(torch.where(hidden[..., None], self.masked_word.to(projected), projected), valid)
        guesses: Tensor = self.word_decoder(words, valid, prototype, places.clamp(min=0))
        return guesses

    def _mixed(self, videos: ClipVideos, draws: Draws, made: Tensor) -> tuple[Tensor, Tensor]:
        """Of the mixture that each video is part of: prototypes (V, L, D), and each one's share of the video (V, L)."""
        half = len(videos) // 2
        mixtures, shares = torch.zeros_like(made), torch.full_like(made[..., 0], -1.0)
        if not (draws.mixing and half):
            return mixtures, shares
        first, second = draws.order[:half], draws.order[half : 2 * half]
        frames = splice(videos.frames, videos.frame_valid, first, second, draws.share)
        clips = splice(videos.clips, videos.clip_size > 0, first, second, draws.share)
        mixed, looked = self.read(self.read_both(frames.tokens, frames.valid, clips.tokens, clips.valid))
        share = looked_at(looked, frames.valid.shape[1], clips.valid.shape[1], (frames.cut, clips.cut)).to(mixed)
        both = torch.cat([first, second])
        mixtures = mixtures.to(mixed).index_copy(0, both, torch.cat([mixed, mixed]))
        return mixtures, shares.to(share).index_copy(0, both, torch.cat(share.unbind(-1)))


def _best(query: Tensor, prototypes: Tensor) -> Tensor:
    """The prototype of its own video that each query is most like: (Q, D), (Q, L, D) -> (Q, D)."""
    cosine = torch.einsum("qd,qld->ql", query.detach(), F.normalize(prototypes.detach(), dim=2))
    return prototypes[torch.arange(len(query), device=query.device), cosine.argmax(1)]


def ranked(prototypes: Tensor) -> VideoTokens:
    """Prototypes (V, L, D) as frames, all of them real, and no clips."""
    every = torch.ones(prototypes.shape[:2], dtype=torch.bool, device=prototypes.device)
    return VideoTokens(frames=prototypes, frame_valid=every, clips=prototypes[:, :0], clip_valid=every[:, :0])


METHOD = Method(
    title="ProtoPRVR-style (our reconstruction)",
    network=ProtoPRVRStyleConfig,
    build=ProtoPRVRStyle,
    cut=UniformConfig,
    videos=ClipVideos,
    prepare=prepare_uniform,
)
