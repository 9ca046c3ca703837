"""MS-SL (ACM MM 2022): proposals of every length, and frames read anew under the guidance of the best of them.

The frame branch needs the query at the video: which frames count follows from the proposal that the query likes best.
That choice has only as many outcomes as there are proposals, so what each would lead to is worked out once a video.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, BranchScores, Embedded, Outputs, QueryBatch, VideoBatch, VideoTokens
from prvr.methods.official import (
    Official,
    Place,
    family_sizes,
    layer_places,
    position_places,
    projection_places,
)
from prvr.parts.attention_layers import SequenceEncoder, reset_parameters
from prvr.parts.blocks import InputProjection
from prvr.parts.pooling import AttentionPooling
from prvr.parts.proposals import (
    guided_means,
    key_scores,
    proposal_scores,
    window_spans,
    window_table,
    window_valid,
)
from prvr.parts.spans import TokenSpans, equal_spans


@dataclass(frozen=True, kw_only=True)
class MSSLConfig:
    """The network's sizes; the defaults are what was released."""

    video_width: int  # E of the frame features
    text_width: int  # E of the word features
    hidden: int = 384  # D
    heads: int = 4
    max_words: int = 30  # longer queries are cut
    frames: int = 128  # positions of the frame branch, at most
    clips: int = 32  # C, which make C (C + 1) / 2 proposals
    input_dropout: float = 0.1  # of input projections and positions
    dropout: float = 0.1  # inside the attention layers
    clip_weight: float = 0.7  # share of the clip branch in the score

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
        if not 0 <= self.clip_weight <= 1:
            raise ConfigError(f"model.clip_weight={self.clip_weight}: must be from 0 to 1")


class MSSL(nn.Module):
    """Encodes both sides; `scores` compares them, since the frame branch is read under the query's guidance."""

    needs_query: ClassVar[bool] = True

    def __init__(self, config: MSSLConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        self.query_input = InputProjection(c.text_width, c.hidden, c.input_dropout)
        self.query_encoder = _encoder(c, c.max_words)
        self.query_pooling = AttentionPooling(c.hidden)
        self.frame_input = InputProjection(c.video_width, c.hidden, c.input_dropout)
        self.frame_encoder = _encoder(c, c.frames)
        self.clip_input = InputProjection(c.video_width, c.hidden, c.input_dropout)
        self.clip_encoder = _encoder(c, c.frames)  # as many positions as for frames, as released
        self.guide_key = nn.Linear(c.hidden, c.hidden, bias=False)
        self.guide_value = nn.Linear(c.hidden, c.hidden, bias=False)
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

    def contextual(self, videos: VideoBatch) -> VideoTokens:
        """Frames (V, T, D) and clips (V, C, D) that know of each other, before proposals and guidance.

        A video may have fewer of them than the config says, but not more: ConfigError.
        """
        for name, x in (("frames", videos.frames), ("clips", videos.clips)):
            most = getattr(self.config, name)
            if x.shape[1] > most:
                raise ConfigError(
                    f"videos of {x.shape[1]} {name}, but model.{name}={most}; "
                    f"prepare them with {most}, or add `--set model.{name}={x.shape[1]}`"
                )
        clip_valid = videos.clip_size > 0
        return VideoTokens(
            frames=self.frame_encoder(self.frame_input(videos.frames), videos.frame_valid),
            frame_valid=videos.frame_valid,
            clips=self.clip_encoder(self.clip_input(videos.clips), clip_valid),
            clip_valid=clip_valid,
        )

    def encode_videos(self, videos: VideoBatch) -> VideoTokens:
        """-> P proposals as clips, the single clips first, and as frames what each guides to, (V, P, D) each."""
        seen = self.contextual(videos)
        clips = seen.clips * seen.clip_valid[..., None]
        proposals = window_table(clips.shape[1], clips) @ clips
        keys, values = self.guide_key(seen.frames), self.guide_value(seen.frames)
        valid = window_valid(seen.clip_valid)
        guided = guided_means(proposals, keys, values, seen.frame_valid)
        return VideoTokens(frames=guided, frame_valid=valid, clips=proposals, clip_valid=valid)

    def scores(self, query: Tensor, tokens: VideoTokens) -> BranchScores:
        """query (Q, D), what `encode_videos` made -> (Q, V) each.

        The clip score is the cosine with the best proposal, the frame score that with what this very proposal guides
        to; no weight is read. The best of both maxima, as an index would take it, is another score.
        """
        num_clips = int((8 * tokens.clips.shape[1] + 1) ** 0.5) // 2
        clip, frame = key_scores(query, tokens.clips, tokens.frames, tokens.clip_valid, num_clips)
        return BranchScores(frame=frame, clip=clip)

    def token_spans(self, videos: VideoBatch) -> TokenSpans:
        """Seconds of the tokens that `encode_videos` makes; what a proposal guides to has the proposal's."""
        spans = window_spans(equal_spans(videos, videos.clips.shape[1]))
        return TokenSpans(frames=spans, clips=spans)

    def embed(self, batch: Batch) -> Embedded:
        """Videos with all their queries, each read by its tower alone.

        In the place of aligned tokens: frames where they are looked for, and what clips look for. `video.frames` is
        what is seen there.
        """
        seen = self.contextual(batch.videos)
        clips = seen.clips * seen.clip_valid[..., None]
        return Embedded(
            query=self.encode_queries(batch.queries),
            video=VideoTokens(self.guide_value(seen.frames), seen.frame_valid, clips, seen.clip_valid),
            aligned_frames=seen.frames,
            aligned_clips=clips @ self.guide_key.weight,  # ⟨K f, g⟩ = ⟨f, Kᵀ g⟩, and clips are fewer than frames
        )

    def compare(self, embedded: Embedded) -> Outputs:
        """Every query against the best proposal of every video; no weight is read.

        Frame scores, which follow from which proposal of its own video a query likes best, are not there yet: (Q, 0).
        The objective settles that (`prvr.methods.mssl.anchoring`).
        """
        query, video, *aligned = embedded
        found, later = proposal_scores(query, video.clips, video.clip_valid), query.new_empty(len(query), 0)
        return Outputs(query, video, BranchScores(later, found.cosine), BranchScores(later, found.dot), *aligned)

    def forward(self, batch: Batch) -> Outputs:
        """Videos with all their queries -> what objectives read, before frames are read under anyone's guidance."""
        return self.compare(self.embed(batch))


def official_names() -> dict[str, Place]:
    """Each of the authors' parameter names -> where it lies in ours."""
    places: dict[str, Place] = {
        "modular_vector_mapping.weight": ("query_pooling.score.weight", ()),
        "mapping_linear.0.weight": ("guide_key.weight", ()),
        "mapping_linear.1.weight": ("guide_value.weight", ()),
    }
    for branch in ("query", "frame", "clip"):
        places |= projection_places(f"{branch}_input_proj", f"{branch}_input")
        places |= position_places(f"{branch}_pos_embed", f"{branch}_encoder.positions")
        places |= layer_places(f"{branch}_encoder", f"{branch}_encoder.layer")
    return places


def from_official(state: Mapping[str, Tensor], *, where: str = "this state dict") -> dict[str, Tensor]:
    """The authors' weights under our names and in our shapes. Raises CheckpointError when they are of another."""
    return OFFICIAL.read(state, where=where)


def _encoder(config: MSSLConfig, length: int) -> SequenceEncoder:
    return SequenceEncoder(
        config.hidden, config.heads, length, input_dropout=config.input_dropout, dropout=config.dropout
    )


OFFICIAL = Official(
    system="MS-SL",
    places=official_names(),
    sizes=family_sizes(),
    said={"n_heads": ("model.heads",), "map_size": ("model.clips", "prepare.clips")},
    signs={"use_matcher": False},  # of BGM-Net, whose tensors have the same names and shapes
)
