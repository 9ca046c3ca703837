"""What ProtoPRVR-style learns from: retrieval by prototypes, and what they must give back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, Made
from prvr.methods.family import Compared, TripletConfig, check_weights, compared, nce_term, triplet_term
from prvr.methods.protoprvr_style.network import ProtoPRVRStyleConfig, ProtoQueries, ProtoVideos, ranked
from prvr.methods.protoprvr_style.terms import (
    frames_missed,
    guided_attention,
    prototype_overlap,
    prototypes_used,
    words_missed,
)
from prvr.methods.recipe import RunSettings
from prvr.parts.objective import Objective, Term, weighted
from prvr.parts.uniform import UniformConfig
from prvr.parts.videos import ClipVideos


@dataclass(frozen=True, kw_only=True)
class ProtoLoss(TripletConfig):
    """Weights of the terms and what they read; a weight of 0 leaves a term out. All but the form is ours."""

    nce: float = 0.04  # of InfoNCE on dot products; the triplets on cosines have weight 1
    words: float = 0.1  # hidden words, guessed from the best prototype
    frames: float = 1.0  # frames, rebuilt from all prototypes
    attention: float = 0.1  # in mixed videos the best prototype looks at the query's own
    attention_margin: float = 0.1  # β: a share of 1 - β is enough
    diversity: float = 1.0  # prototypes differ
    best_from_epoch: int = 5  # the best prototype is noise before, so `words` and `attention` begin here

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights(self, "nce", "words", "frames", "attention", "diversity")
        if not 0 <= self.attention_margin < 1:
            raise ConfigError(f"loss.attention_margin={self.attention_margin}: must be from 0 to below 1")


Settings = RunSettings[ProtoPRVRStyleConfig, UniformConfig, ProtoLoss]


ProtoSeen = Compared[ProtoQueries, ProtoVideos]
"""What the terms read; there are no clips."""


def see(made: Made[ProtoQueries, ProtoVideos], _: Batch[Any], __: int) -> ProtoSeen:
    """Every query against the best prototype of every video."""
    return compared(made, made.queries.query, ranked(made.videos.prototypes))


def objective(settings: Settings) -> Objective[Made[ProtoQueries, ProtoVideos], ProtoSeen]:
    """The terms whose weight is not 0, by the names that the log shows.

    Beside them stands how many prototypes the queries use: training may collapse onto few.
    """
    loss = settings.loss

    def words(seen: ProtoSeen, batch: Batch[ClipVideos], epoch: int) -> Tensor:
        missed = words_missed(seen.query.guesses, batch.queries.words, seen.query.places)
        return missed.sum() / (seen.query.places >= 0).sum() * (epoch >= loss.best_from_epoch)

    def frames(seen: ProtoSeen, _: Batch[ClipVideos], __: int) -> Tensor:
        video = seen.video
        return (frames_missed(video.rebuilt, video.frames, video.valid).sum(1) / video.valid.sum(1)).mean()

    def attention(seen: ProtoSeen, batch: Batch[ClipVideos], epoch: int) -> Tensor:
        video, own = seen.video, batch.video_of_query
        missed = guided_attention(seen.query.query, video.mixed, video.share, own, margin=loss.attention_margin)
        mixed = (video.share[:, 0] >= 0)[own]
        return (missed * mixed).sum() / mixed.sum().clamp(min=1) * (epoch >= loss.best_from_epoch)

    def diversity(seen: ProtoSeen, _: Batch[ClipVideos], __: int) -> Tensor:
        return prototype_overlap(seen.video.prototypes).mean()

    def used(seen: ProtoSeen, batch: Batch[ClipVideos], _: int) -> Tensor:
        return prototypes_used(seen.query.query, seen.video.prototypes, batch.video_of_query)

    terms: dict[str, Term[ProtoSeen]] = {
        "nce": partial(nce_term, "frame"),
        "triplet": partial(triplet_term, loss, "frame"),
        "words": words,
        "frames": frames,
        "attention": attention,
        "diversity": diversity,
    }
    return weighted(see, terms, loss, watched={"prototypes_used": used})
