"""DL-DKD (ICCV 2023) and DL-DKD++: two branches over the frames, one of which is taught by a frozen image-text encoder.

The inheritance branch learns the teacher's frames, the exploration branch is free. Each has a query vector of its own.
Here the inheritance branch is the frame branch and the exploration branch the clip branch, 0.7 : 0.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, BranchScores, Embedded, Outputs, QueryBatch, VideoBatch, VideoTokens
from prvr.methods.official import (
    Official,
    Place,
    family_sizes,
    layer_places,
    linear_places,
    position_places,
    projection_places,
)
from prvr.parts.attention_layers import SequenceEncoder, reset_parameters
from prvr.parts.blocks import InputProjection
from prvr.parts.pooling import AttentionPooling
from prvr.parts.scoring import best_cosine, best_token
from prvr.parts.spans import TokenSpans


@dataclass(frozen=True, kw_only=True)
class DLDKDConfig:
    """The network's sizes; the defaults are those of DL-DKD as released."""

    video_width: int  # E of the frame features
    text_width: int  # E of the word features
    hidden: int = 384  # D of each branch
    heads: int = 4
    max_words: int = 30  # longer queries are cut
    frames: int = 128  # positions, at most
    input_dropout: float = 0.1  # of input projections and positions
    dropout: float = 0.1  # inside the attention layers
    shared_words: bool = True  # both branches read words through one projection; DL-DKD++: through two
    clip_weight: float = 0.3  # share of the exploration branch in the score

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


class Branch(nn.Module):
    """One student: words -> a vector, frames -> as many vectors."""

    def __init__(self, config: DLDKDConfig) -> None:
        super().__init__()
        c = config
        self.query_encoder = _encoder(c, c.max_words)
        self.query_pooling = AttentionPooling(c.hidden)
        self.frame_input = InputProjection(c.video_width, c.hidden, c.input_dropout)
        self.frame_encoder = _encoder(c, c.frames)
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
    """The two branches; fits `RetrievalModel`, and its forward makes what objectives read.

    To rank with one vector a query, both query vectors are set to length 1 and put side by side, and a token of either
    branch has zeros in the other's place: its cosine is that of the branch divided by √2, for every token and query.
    """

    needs_query: ClassVar[bool] = False

    def __init__(self, config: DLDKDConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        self.inherit, self.explore = Branch(c), Branch(c)
        self.query_input = InputProjection(c.text_width, c.hidden, c.input_dropout)
        self.explore_query_input = None if c.shared_words else InputProjection(c.text_width, c.hidden, c.input_dropout)
        reset_parameters(self)

    @property
    def clip_weight(self) -> float:
        """Share of the exploration branch in the fused score."""
        return self.config.clip_weight

    def branch_queries(self, queries: QueryBatch) -> tuple[Tensor, Tensor]:
        """The query of the inheritance and of the exploration branch, (Q, D) each, not normalised."""
        words, valid = queries.words[:, : self.config.max_words], queries.valid[:, : self.config.max_words]
        inherit = self.inherit.read_words(self.query_input(words), valid)
        # a shared projection is applied again, so that dropout is drawn for each branch
        return inherit, self.explore.read_words((self.explore_query_input or self.query_input)(words), valid)

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """-> (Q, 2 D), the queries of both branches, each of length 1."""
        return torch.cat([F.normalize(query, dim=-1) for query in self.branch_queries(queries)], dim=-1)

    def branch_videos(self, videos: VideoBatch) -> VideoTokens:
        """Tokens of the inheritance branch as frames and of the exploration branch as clips, (V, T, D) each.

        A video may have fewer frames than the config says, but not more: ConfigError.
        """
        found, most = videos.frames.shape[1], self.config.frames
        if found > most:
            raise ConfigError(
                f"videos of {found} frames, but model.frames={most}; "
                f"prepare them with {most}, or add `--set model.frames={found}`"
            )
        valid = videos.frame_valid
        inherit, explore = (branch.read_frames(videos.frames, valid) for branch in (self.inherit, self.explore))
        return VideoTokens(frames=inherit, frame_valid=valid, clips=explore, clip_valid=valid)

    def encode_videos(self, videos: VideoBatch) -> VideoTokens:
        """-> tokens of both branches, (V, T, 2 D), each with zeros in the other's place."""
        found, width = self.branch_videos(videos), self.config.hidden
        return found._replace(frames=F.pad(found.frames, (0, width)), clips=F.pad(found.clips, (width, 0)))

    def token_spans(self, videos: VideoBatch) -> TokenSpans:
        """Seconds of the tokens that `encode_videos` makes."""
        return TokenSpans(frames=videos.frame_spans, clips=videos.frame_spans)

    def embed(self, batch: Batch) -> Embedded:
        """Videos with all their queries, each read by its tower alone; the query (Q, 2 D) is that of both branches."""
        video = self.branch_videos(batch.videos)
        query = torch.cat(self.branch_queries(batch.queries), dim=-1)
        return Embedded(query, video, video.frames, video.clips)

    def compare(self, embedded: Embedded) -> Outputs:
        """Every query against every video; no weight is read."""
        query, video, *aligned = embedded
        inherit, explore = query.chunk(2, dim=-1)
        cosine, dot = (
            BranchScores(
                frame=best(inherit, video.frames, video.frame_valid)[0],
                clip=best(explore, video.clips, video.clip_valid)[0],
            )
            for best in (best_cosine, best_token)
        )
        return Outputs(query, video, cosine, dot, *aligned)

    def forward(self, batch: Batch) -> Outputs:
        """Videos with all their queries -> what objectives read."""
        return self.compare(self.embed(batch))


def official_names(*, plus: bool) -> dict[str, Place]:
    """Each of the authors' parameter names -> where it lies in ours; `plus`: those of DL-DKD++."""
    places: dict[str, Place] = {}
    inherit, explore = ("", "exp_") if plus else ("B_", "A_")
    frame, output = ("visual", "out_mapping_linear") if plus else ("frame", "mapping_linear")
    for theirs, ours in ((inherit, "inherit"), (explore, "explore")):
        places |= {f"{theirs}modular_vector_mapping.weight": (f"{ours}.query_pooling.score.weight", ())}
        for kind, name in (("query", "query"), (frame, "frame")):
            places |= position_places(f"{theirs}{kind}_pos_embed", f"{ours}.{name}_encoder.positions")
            places |= layer_places(f"{theirs}{kind}_encoder", f"{ours}.{name}_encoder.layer")
        places |= projection_places(f"{theirs}{frame}_input_proj", f"{ours}.frame_input")
        places |= linear_places(f"{theirs}{output}", f"{ours}.frame_output")
    places |= projection_places(f"{inherit}query_input_proj", "query_input")
    if plus:
        places |= projection_places(f"{explore}query_input_proj", "explore_query_input")
    return places


def from_official(
    state: Mapping[str, Tensor], *, plus: bool = False, where: str = "this state dict"
) -> dict[str, Tensor]:
    """The authors' weights under our names and in our shapes. Raises CheckpointError when they are of another.

    DL-DKD has a second text projection that nothing reads; it is left out.
    """
    return (OFFICIAL_PLUS if plus else OFFICIAL).read(state, where=where)


def _encoder(config: DLDKDConfig, length: int) -> SequenceEncoder:
    return SequenceEncoder(
        config.hidden, config.heads, length, input_dropout=config.input_dropout, dropout=config.dropout
    )


OFFICIAL = Official(
    system="DL-DKD",
    places=official_names(plus=False),
    sizes=family_sizes("B_query", "B_frame"),
    unused=("A_query_input_proj.",),
    said={"n_heads": ("model.heads",)},
    implied={"shared_words": True},
)
OFFICIAL_PLUS = Official(
    system="DL-DKD++",
    places=official_names(plus=True),
    sizes=family_sizes(frame="visual"),
    said={"n_heads": ("model.heads",)},
    implied={"shared_words": False},
)
