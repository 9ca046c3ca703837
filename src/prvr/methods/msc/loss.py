"""What MSC learns from: the settings of its loss, and the named weighted sum that they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, Made
from prvr.core.vectors import unit_rows
from prvr.methods.family import Compared, RetrievalLoss, check_weights, compared, retrieval_terms
from prvr.methods.msc.cbva import Pool, cbva
from prvr.methods.msc.merging import segment_clips
from prvr.methods.msc.network import Aligned, MSCConfig
from prvr.methods.msc.prepare import MSCVideos, PrepareConfig
from prvr.methods.msc.tcpl import Over, mean_relation, tcpl_angle, tcpl_distance
from prvr.methods.msc.vcpl import retrieved_segments, spread_segments
from prvr.methods.recipe import RunSettings
from prvr.parts.objective import Objective, Term, weighted
from prvr.parts.towers import cut_sentence

Relation = Callable[["LossConfig", Tensor, Tensor], Tensor]
"""(settings, student (Q, D), teacher (Q, E)) -> how far their relations differ, a scalar."""


@dataclass(frozen=True, kw_only=True)
class LossConfig(RetrievalLoss):
    """Weights of the terms and the settings that they read; a weight of 0 leaves a term out.

    The defaults are what was released. Where the paper's text differs, a comment says so: it is what
    `prvr.methods.msc.runs.paper` sets.
    """

    nce_clip: float = 0.02  # paper (Eq. 1): 1
    nce_frame: float = 0.04  # paper (Eq. 1): 1
    nce_similarity: Literal["dot", "cosine"] = "dot"  # paper: one similarity, and so one best token, for both terms
    tcpl_distance: float = 15.0  # λ_E
    tcpl_angle: float = 30.0  # λ_A
    tcpl_delta: float = 1.0  # of the Huber loss; the paper gives none
    tcpl_unit: Over = "pairs"  # what the mean distance μ is taken over; paper (Eq. 2): all
    tcpl_mean: Over = "all"  # what the loss of distances is averaged over; paper (Eq. 4): pairs
    cbva: float = 0.1  # λ_CBVA
    cbva_similarity: Literal["dot", "cosine"] = "dot"  # paper (Eq. 8): cosine
    cbva_pool: Pool = "mean"  # right and wrong ones are averaged before they meet; paper (Eq. 8): sum, as in a softmax
    cbva_moves: Literal["one", "both"] = "one"  # sides that a direction gives a gradient to; paper (Eq. 8): both
    cbva_merges_by: Literal["frozen", "aligned"] = "frozen"  # what makes clips one segment; paper (Alg. 3): aligned
    vcpl: Literal["none", "retrieved", "spread"] = "none"  # tokens that keep the features' relations (paper, Table 2)
    vcpl_distance: float = 15.0  # as for TCPL, in each branch; the paper gives none
    vcpl_angle: float = 30.0
    vcpl_tokens: int = 4  # of each video, where they are spread

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights(self, "tcpl_distance", "tcpl_angle", "cbva", "vcpl_distance", "vcpl_angle")
        if self.vcpl_tokens < 1:
            raise ConfigError(f"loss.vcpl_tokens={self.vcpl_tokens}: must be at least 1")
        if not self.tcpl_delta > 0:
            raise ConfigError(f"loss.tcpl_delta={self.tcpl_delta}: must be positive")


MSCSeen = Compared[Tensor, Aligned]
"""What the terms read."""


def see(made: Made[Tensor, Aligned], _: Batch[MSCVideos], __: int) -> MSCSeen:
    """Every query against every video."""
    return compared(made, made.queries, made.videos.tokens)


MSCSettings = RunSettings[MSCConfig, PrepareConfig, LossConfig]


def objective(settings: MSCSettings) -> Objective[Made[Tensor, Aligned], MSCSeen]:
    """The terms whose weight is not 0, by the names that the log shows."""
    loss, prepare = settings.loss, settings.prepare
    terms: dict[str, Term[MSCSeen]] = {
        **retrieval_terms(loss, nce=loss.nce_similarity),
        "tcpl_distance": partial(_tcpl, settings, _distances),
        "tcpl_angle": partial(_tcpl, settings, _angles),
        "cbva": partial(_cbva, loss, prepare),
    }
    if loss.vcpl != "none":
        terms |= {"vcpl_distance": partial(_vcpl, loss, _distances), "vcpl_angle": partial(_vcpl, loss, _angles)}
    return weighted(see, terms, loss)


def _tcpl(settings: MSCSettings, relation: Relation, seen: MSCSeen, batch: Batch[MSCVideos], _: int) -> Tensor:
    """The teacher is the encoder that made the features, or another one where the batch has it."""
    own = cut_sentence(batch.queries, settings.model.max_words)
    return relation(settings.loss, seen.query, own if batch.teacher is None else unit_rows(batch.teacher.sentence))


def _vcpl(loss: LossConfig, relation: Relation, seen: MSCSeen, batch: Batch[MSCVideos], _: int) -> Tensor:
    """Both branches, added up."""
    return torch.stack([relation(loss, *pair) for pair in _chosen(loss, seen, batch)]).sum()


def _distances(loss: LossConfig, student: Tensor, teacher: Tensor) -> Tensor:
    found = tcpl_distance(student, teacher, delta=loss.tcpl_delta, unit=loss.tcpl_unit)
    return mean_relation(found, loss.tcpl_mean)


def _angles(loss: LossConfig, student: Tensor, teacher: Tensor) -> Tensor:
    return tcpl_angle(student, teacher, delta=loss.tcpl_delta).mean()


def _chosen(loss: LossConfig, seen: MSCSeen, batch: Batch[MSCVideos]) -> list[tuple[Tensor, Tensor]]:
    """The tokens of each branch that VCPL relates, and what the frozen encoder saw there."""
    video, videos = seen.video.tokens, batch.videos
    branches = [(video.frames, videos.frames, video.frame_valid), (video.clips, videos.clips, video.clip_valid)]
    if loss.vcpl == "spread":
        return [spread_segments(*branch, count=loss.vcpl_tokens) for branch in branches]
    truth = batch.video_of_query
    return [retrieved_segments(*branch, query=seen.query, video_of_query=truth) for branch in branches]


def _cbva(loss: LossConfig, prepare: PrepareConfig, seen: MSCSeen, batch: Batch[MSCVideos], _: int) -> Tensor:
    videos, segment = batch.videos, batch.videos.segment
    if loss.cbva_merges_by == "aligned" and len(prepare.levels) > 1:
        clips, number = seen.video.clips.detach(), segment.amax(1) + 1
        segment = segment_clips(clips, videos.clip_size, number, prepare.levels, pairing=prepare.pairing)
    return cbva(
        seen.video.frames,
        seen.video.clips,
        slot=videos.slot,
        segment=segment,
        clip_size=videos.clip_size,
        frame_valid=videos.frame_valid,
        similarity=loss.cbva_similarity,
        pool=loss.cbva_pool,
        moves=loss.cbva_moves,
    ).mean()
