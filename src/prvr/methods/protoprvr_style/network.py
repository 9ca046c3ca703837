"""ProtoPRVR-style (after ProtoPRVR, arXiv 2504.13035): a video is stored as a few prototypes that read all of it.

No code was released, and parts of this are our own reconstruction: the blocks that encode both sides, the decoders, how
words are masked and how two videos are mixed. What is the paper's: prototypes learned for all videos alike and made by
cross-attention alone, the best one as the score, and what they learn from (`prvr.methods.protoprvr_style.loss`).

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
from typing import ClassVar, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, BranchScores, Embedded, Outputs, QueryBatch, VideoBatch, VideoTokens
from prvr.methods.protoprvr_style.layers import FrameDecoder, PrototypeLayer, WordDecoder, looked_at, masked_places
from prvr.methods.protoprvr_style.splicing import splice
from prvr.parts.attention_layers import SequenceEncoder, reset_parameters
from prvr.parts.blocks import InputProjection
from prvr.parts.pooling import AttentionPooling
from prvr.parts.proposals import window_spans
from prvr.parts.scoring import best_cosine, best_token
from prvr.parts.spans import TokenSpans, equal_spans

TAUGHT = ("masked_word", "word_decoder", "frame_decoder")
"""Parts that only training needs."""


@dataclass(frozen=True, kw_only=True)
class ProtoPRVRStyleConfig:
    """The network's sizes. Where the paper's are not known, as for all but the form, they are ours."""

    video_width: int  # E of the frame features
    text_width: int  # E of the word features
    hidden: int = 384  # D
    heads: int = 4
    max_words: int = 30  # longer queries are cut
    frames: int = 128  # positions of the frame stream, at most
    clips: int = 32  # C of the clip stream, whose C (C + 1) / 2 runs are read
    prototypes: int = 30  # L, vectors stored a video
    layers: int = 2  # of cross-attention
    input_dropout: float = 0.1  # of input projections and positions
    dropout: float = 0.1  # inside the layers
    masked_words: float = 0.3  # share of a query's words that are hidden and guessed
    mixed_batches: float = 0.5  # share of the steps in which videos are mixed in pairs
    mixed_share: tuple[float, float] = (0.3, 0.7)  # of a mixture that its first video makes up, drawn evenly

    def __post_init__(self) -> None:
        for name in ("video_width", "text_width", "hidden", "heads", "max_words", "prototypes", "layers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"model.{name}={getattr(self, name)}: must be at least 1")
        for name in ("frames", "clips"):
            if getattr(self, name) < 2:
                raise ConfigError(f"model.{name}={getattr(self, name)}: must be at least 2, one for each mixed video")
        if self.hidden % self.heads:
            raise ConfigError(f"model.heads={self.heads}: does not divide model.hidden={self.hidden} into equal heads")
        if self.clips > self.frames:
            raise ConfigError(f"model.clips={self.clips}: cannot be more than model.frames={self.frames}")
        for name in ("input_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"model.{name}={getattr(self, name)}: must be from 0 to below 1")
        for name in ("masked_words", "mixed_batches"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"model.{name}={getattr(self, name)}: must be from 0 to 1")
        if not 0 <= self.mixed_share[0] <= self.mixed_share[1] <= 1:
            raise ConfigError(f"model.mixed_share={self.mixed_share}: must be two rising shares from 0 to 1")


class Draws(NamedTuple):
    """All that chance decides in a step, dropout aside."""

    words: Tensor  # (Q, W) a query's lowest are masked
    order: Tensor  # (V,) int64: those of the first half are mixed with those of the second, in this order
    share: Tensor  # (V // 2,) of each mixture that its first video makes up
    mixing: bool


class ProtoOutputs(Outputs):
    """`Outputs` under ProtoPRVR's names: without a second branch and without alignment heads, what its losses read
    stands in their places.
    """

    @property
    def prototypes(self) -> Tensor:
        """(V, L, D) what ranks."""
        return self.video.frames

    @property
    def seen(self) -> tuple[Tensor, Tensor]:
        """(V, T, D) the frames as the network sees them, and which are real (V, T)."""
        return self.video.clips, self.video.clip_valid

    @property
    def rebuilt(self) -> Tensor:
        """(V, T, D) those frames as the prototypes tell them."""
        return self.aligned_frames

    @property
    def mixed(self) -> Tensor:
        """(V, L, D) prototypes of the mixture that each video is part of."""
        return self.aligned_clips[..., :-1]

    @property
    def share(self) -> Tensor:
        """(V, L) how much of what these looked at lies in the video; -1 where a video was not mixed."""
        return self.aligned_clips[..., -1]

    @property
    def guesses(self) -> Tensor:
        """(Q, M, E) the words that were hidden, as the prototypes tell them."""
        return self.dot.clip

    @property
    def places(self) -> Tensor:
        """(Q, M) int64 where those words are, -1 = no word."""
        return self.cosine.clip


class ProtoPRVRStyle(nn.Module):
    """The two towers; fits `RetrievalModel`, and its forward makes what objectives read."""

    needs_query: ClassVar[bool] = False

    def __init__(self, config: ProtoPRVRStyleConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        self.query_input = InputProjection(c.text_width, c.hidden, c.input_dropout)
        self.query_encoder = _encoder(c, c.max_words)
        self.query_pooling = AttentionPooling(c.hidden)
        self.frame_input = InputProjection(c.video_width, c.hidden, c.input_dropout)
        self.frame_encoder = _encoder(c, c.frames)
        self.clip_input = InputProjection(c.video_width, c.hidden, c.input_dropout)
        self.clip_encoder = _encoder(c, c.frames)  # as many positions as for frames, as in MS-SL
        self.prototypes = nn.Parameter(torch.empty(c.prototypes, c.hidden))
        self.layers = nn.ModuleList(PrototypeLayer(c.hidden, c.heads, c.dropout) for _ in range(c.layers))
        self.masked_word = nn.Parameter(torch.empty(c.hidden))
        self.word_decoder = WordDecoder(c.hidden, c.text_width, c.heads, c.dropout)
        self.frame_decoder = FrameDecoder(c.hidden, c.frames)
        reset_parameters(self)
        for layer in self.layers:
            cast(PrototypeLayer, layer).wake()

    @property
    def clip_weight(self) -> float:
        """The prototypes alone decide."""
        return 0.0

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """-> (Q, D), not normalised."""
        words, valid = self._words(queries)
        return self._pooled(self.query_input(words), valid)

    def encode_videos(self, videos: VideoBatch) -> VideoTokens:
        """-> L prototypes as frames, all of them real, and no clips."""
        made, _ = self.read(self.contextual(videos))
        return _only(made)

    def token_spans(self, videos: VideoBatch) -> TokenSpans:
        """Seconds of the one frame or run of clips that each prototype looked at most (our reading), where the videos
        are; the weights may be elsewhere.
        """
        _, looked = self.read(self.contextual(videos.to(str(self.prototypes.device))))
        spans = torch.cat([videos.frame_spans, window_spans(equal_spans(videos, videos.clips.shape[1]))], dim=1)
        most = looked.argmax(-1).to(spans.device)[..., None].expand(-1, -1, 2)
        return TokenSpans(frames=spans.gather(1, most), clips=spans[:, :0])

    def contextual(self, videos: VideoBatch) -> VideoTokens:
        """Frames (V, T, D) and clips (V, C, D) that know of each other; ConfigError for more than the config says."""
        for name, x in (("frames", videos.frames), ("clips", videos.clips)):
            most = getattr(self.config, name)
            if x.shape[1] > most:
                raise ConfigError(
                    f"videos of {x.shape[1]} {name}, but model.{name}={most}; prepare them with "
                    f"`--set prepare.{name}={most}`, or add `--set model.{name}={x.shape[1]}`"
                )
        return self._contextual(videos.frames, videos.frame_valid, videos.clips, videos.clip_size > 0)

    def read(self, seen: VideoTokens) -> tuple[Tensor, Tensor]:
        """What the prototypes make of V videos (V, L, D), and what they looked at last (V, L, T + C (C + 1) / 2)."""
        x = F.layer_norm(self.prototypes, self.prototypes.shape[-1:]).expand(len(seen.frames), -1, -1)
        looked = x.new_empty(0)
        for layer in self.layers:
            x, looked = layer(x, seen)
        return x, looked

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # what follows is drawn anew in every step
    def draw(self, batch: Batch) -> Draws:
        """What chance decides in one step, by torch's generator."""
        device, videos = batch.videos.frames.device, len(batch.videos)
        low, high = self.config.mixed_share
        return Draws(
            words=torch.rand(batch.queries.valid.shape, device=device),
            order=torch.randperm(videos, device=device),
            share=low + (high - low) * torch.rand(videos // 2, device=device),
            mixing=float(torch.rand(())) < self.config.mixed_batches,
        )

    def embed(self, batch: Batch, draws: Draws | None = None) -> Embedded:
        """Videos with all their queries, and what losses read of them; see `ProtoOutputs` for what stands where.

        Behind each query stand the guesses of its hidden words and their places. Videos are mixed with videos of this
        batch, and words are guessed from the own video, so that no weight is needed once the towers meet.
        """
        draws = self.draw(batch) if draws is None else draws
        words, valid = self._words(batch.queries)
        projected = self.query_input(words)
        query = self._pooled(projected, valid)
        seen = self.contextual(batch.videos)
        made, _ = self.read(seen)
        places = masked_places(draws.words[:, : words.shape[1]], valid, self.config.masked_words)
        guesses = self._guessed(projected, valid, places, _best(query, made[batch.video_of_query]))
        video = _only(made)._replace(clips=seen.frames.detach(), clip_valid=seen.frame_valid)
        return Embedded(
            query=torch.cat([query, guesses.flatten(1), places.to(query.dtype)], dim=1),
            video=video,
            aligned_frames=self.frame_decoder(made, seen.frames.shape[1]),
            aligned_clips=self._mixed(batch.videos, draws, made),
        )

    def compare(self, embedded: Embedded) -> ProtoOutputs:
        """Every query against the best prototype of every video; no weight is read."""
        joint, video, *taught = embedded
        width, word = self.config.hidden, self.config.text_width
        number = (joint.shape[1] - width) // (word + 1)  # M
        query, guesses, places = torch.split(joint, [width, number * word, number], dim=1)
        return ProtoOutputs(
            query,
            video,
            BranchScores(best_cosine(query, video.frames, video.frame_valid)[0], places.round().long()),
            BranchScores(
                best_token(query, video.frames, video.frame_valid)[0], torch.unflatten(guesses, 1, (number, word))
            ),
            *taught,
        )

    def forward(self, batch: Batch, draws: Draws | None = None) -> ProtoOutputs:
        """Videos with all their queries -> what objectives read."""
        return self.compare(self.embed(batch, draws))

    def _words(self, queries: QueryBatch) -> tuple[Tensor, Tensor]:
        return queries.words[:, : self.config.max_words], queries.valid[:, : self.config.max_words]

    def _pooled(self, projected: Tensor, valid: Tensor) -> Tensor:
        pooled: Tensor = self.query_pooling(self.query_encoder(projected, valid), valid)
        return pooled

    def _contextual(self, frames: Tensor, frame_valid: Tensor, clips: Tensor, clip_valid: Tensor) -> VideoTokens:
        return VideoTokens(
            frames=self.frame_encoder(self.frame_input(frames), frame_valid) * frame_valid[..., None],
            frame_valid=frame_valid,
            clips=self.clip_encoder(self.clip_input(clips), clip_valid) * clip_valid[..., None],
            clip_valid=clip_valid,
        )

    def _guessed(self, projected: Tensor, valid: Tensor, places: Tensor, prototype: Tensor) -> Tensor:
        """projected, valid (Q, W, ...), places (Q, M), prototype (Q, D) -> (Q, M, E)."""
        word = torch.arange(valid.shape[1], device=valid.device)
        hidden = (places[..., None] == word).any(1)  # (Q, W)
        words = self.query_encoder(torch.where(hidden[..., None], self.masked_word.to(projected), projected), valid)
        guesses: Tensor = self.word_decoder(words, valid, prototype, places.clamp(min=0))
        return guesses

    def _mixed(self, videos: VideoBatch, draws: Draws, made: Tensor) -> Tensor:
        """Of the mixture that each video is part of: prototypes, and behind each the video's share -> (V, L, D + 1)."""
        half = len(videos) // 2
        out = F.pad(torch.zeros_like(made), (0, 1), value=-1.0)
        if not (draws.mixing and half):
            return out
        first, second = draws.order[:half], draws.order[half : 2 * half]
        frames = splice(videos.frames, videos.frame_valid, first, second, draws.share)
        clips = splice(videos.clips, videos.clip_size > 0, first, second, draws.share)
        mixed, looked = self.read(self._contextual(frames.tokens, frames.valid, clips.tokens, clips.valid))
        share = looked_at(looked, frames.valid.shape[1], clips.valid.shape[1], (frames.cut, clips.cut)).to(mixed)
        rows = torch.cat([torch.cat([mixed, one[..., None]], dim=2) for one in share.unbind(-1)])
        return out.to(rows).index_copy(0, torch.cat([first, second]), rows)


def _best(query: Tensor, prototypes: Tensor) -> Tensor:
    """The prototype of its own video that each query is most like: (Q, D), (Q, L, D) -> (Q, D)."""
    cosine = torch.einsum("qd,qld->ql", query.detach(), F.normalize(prototypes.detach(), dim=2))
    return prototypes[torch.arange(len(query), device=query.device), cosine.argmax(1)]


def _only(prototypes: Tensor) -> VideoTokens:
    every = torch.ones(prototypes.shape[:2], dtype=torch.bool, device=prototypes.device)
    return VideoTokens(frames=prototypes, frame_valid=every, clips=prototypes[:, :0], clip_valid=every[:, :0])


def _encoder(config: ProtoPRVRStyleConfig, length: int) -> SequenceEncoder:
    return SequenceEncoder(
        config.hidden, config.heads, length, input_dropout=config.input_dropout, dropout=config.dropout
    )
