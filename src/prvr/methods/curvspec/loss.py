"""What CurvSpec learns from: the retrieval loss, diverse queries and their clips, and points on a hyperboloid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, BranchScores, Made
from prvr.methods.curvspec.hyperboloid import distances, exp_origin, shortened
from prvr.methods.curvspec.network import WEIGHED, CurvQueries, CurvSpecConfig, CurvVideos
from prvr.methods.family import (
    Compared,
    DiverseLoss,
    check_weights,
    compared,
    diversity_term,
    matching_term,
    retrieval_terms,
)
from prvr.methods.recipe import RunSettings
from prvr.parts.nce import query_nce
from prvr.parts.objective import Objective, Term, weighted
from prvr.parts.uniform import UniformConfig
from prvr.parts.videos import ClipVideos

Padding = Literal["zero", "none"]
Alignment = Literal["assigned", "nearest"]


@dataclass(frozen=True, kw_only=True)
class CurvSpecLoss(DiverseLoss):
    """The retrieval loss, and five terms more; a weight of 0 leaves a term out. The defaults are what was released."""

    hyperbolic: float = 0.1  # queries find their video among the points
    hyperbolic_scale: float = 10.0
    cover: float = 0.1  # queries find the nearest region of their video
    cover_temperature: float = 0.3
    exclusive: float = 0.3  # queries of a video have different clips
    alignment: Alignment = "assigned"  # nearest, as in the paper: they lie near some region of it instead
    gap: float = 0.2  # curvatures of a branch differ, by no less and no more than this
    least_gap: float = 0.3
    most_gap: float = 0.8
    padding: Padding = "zero"  # what stands behind a short video while learning: zero vectors, so no score below 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights(self, "hyperbolic", "cover", "exclusive", "gap", "least_gap")
        for name in ("hyperbolic_scale", "cover_temperature"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"loss.{name}={getattr(self, name)}: must be positive")
        if self.most_gap < self.least_gap:
            raise ConfigError(f"loss.most_gap={self.most_gap}: is below loss.least_gap={self.least_gap}")
        for name, kind in (("padding", Padding), ("alignment", Alignment)):
            if getattr(self, name) not in get_args(kind):
                raise ConfigError(f"loss.{name}={getattr(self, name)}: choose one of {', '.join(get_args(kind))}")


Settings = RunSettings[CurvSpecConfig, UniformConfig, CurvSpecLoss]
CurvMade = Made[CurvQueries, CurvVideos]
CurvSeen = Compared[CurvQueries, CurvVideos]


@dataclass(frozen=True, kw_only=True)
class LearnedWeights(Objective[CurvMade, CurvSeen]):
    """An objective whose weights move, each from where its settings have it.

    Softplus keeps them above 0. All terms are 0 at least and nothing holds the weights up, so they only shrink: as
    released, by half in a whole run of ActivityNet.
    """

    def weigh(self, seen: CurvSeen) -> Mapping[str, float | Tensor]:
        """The weights of this step."""
        assert seen.video.weights is not None
        moved = dict(zip(WEIGHED, seen.video.weights[0], strict=True))
        return {
            name: F.softplus(before_softplus(weight, like=moved[name]) + moved[name]) if name in moved else weight
            for name, weight in self.weights.items()
        }


def before_softplus(weight: float, *, like: Tensor) -> Tensor:
    """The number of which softplus makes a weight above 0, in the precision of `like`."""
    return like.new_tensor(max(weight, 1e-8)).expm1().log()


def objective(settings: Settings) -> Objective[CurvMade, CurvSeen]:
    """The terms whose weight is not 0, by the names that the log shows."""
    loss, most = settings.loss, settings.model.frames

    def see(made: CurvMade, _: Batch[ClipVideos], __: int) -> CurvSeen:
        seen = compared(made, made.queries.query, made.videos.tokens)
        if loss.padding == "none":
            return seen
        short = seen.video.tokens.frame_valid.sum(1) < most
        return seen._replace(cosine=not_below_zero(seen.cosine, short), dot=not_below_zero(seen.dot, short))

    made = weighted(see, retrieval_terms(loss) | _terms(loss), loss)
    return LearnedWeights(**vars(made)) if settings.model.learned_weights else made


def not_below_zero(scores: BranchScores, short: Tensor) -> BranchScores:
    """Scores (Q, V), those of frames 0 at least where a video is short (V,): zero vectors stand behind its last."""
    return scores._replace(frame=torch.where(short, scores.frame.clamp(min=0), scores.frame))


def point(tangent: Tensor) -> Tensor:
    """Tangents (..., d) -> the space of points (..., d)."""
    return exp_origin(shortened(tangent))


def to_regions(seen: CurvSeen) -> Tensor:
    """How far each query is from the nearest region of each video -> (Q, V)."""
    regions = point(seen.video.regions)
    apart = distances(point(seen.query.tangent), regions.flatten(0, 1))
    return torch.unflatten(apart, 1, regions.shape[:2]).min(2).values


def gaps(k: Tensor, *, least: float, most: float) -> Tensor:
    """By how much two of a branch's curvatures lie too near or too far, squared: k (2, K) -> (2,), summed over pairs.

    With least = 0.3 four of them cannot all lie within 0.6 or 0.8, so it does not become 0; and where all are equal, as
    they begin, it has no gradient.
    """
    first, second = torch.triu_indices(k.shape[1], k.shape[1], offset=1, device=k.device)
    gap = (k[:, first] - k[:, second]).abs()
    return ((least - gap).clamp(min=0).square() + (gap - most).clamp(min=0).square()).sum(1)


def _terms(loss: CurvSpecLoss) -> dict[str, Term[CurvSeen]]:
    def hyperbolic(seen: CurvSeen, batch: Batch[ClipVideos], _: int) -> Tensor:
        """A video counts once for each of its queries, and those of one video are wrong answers for each other."""
        own = batch.video_of_query
        logits = -loss.hyperbolic_scale * distances(point(seen.query.tangent), point(seen.video.tangent))[:, own]
        return (logits.logsumexp(1) - logits.diagonal()).mean()

    def cover(seen: CurvSeen, batch: Batch[ClipVideos], _: int) -> Tensor:
        return query_nce(-to_regions(seen), batch.video_of_query, temperature=loss.cover_temperature).mean()

    def gap(seen: CurvSeen, _: Batch[ClipVideos], __: int) -> Tensor:
        return gaps(seen.video.curvature[0], least=loss.least_gap, most=loss.most_gap).sum()

    def assigned(seen: CurvSeen, batch: Batch[ClipVideos], _: int) -> Tensor:
        return matching_term(seen.query.again, seen.video.tokens, batch.video_of_query)

    def nearest(seen: CurvSeen, batch: Batch[ClipVideos], _: int) -> Tensor:
        """The paper's: over all queries of videos that have several."""
        own = batch.video_of_query
        several = torch.bincount(own, minlength=len(seen.video.tangent))[own] > 1
        apart = to_regions(seen).gather(1, own[:, None]).squeeze(1)
        return apart.masked_fill(~several, 0.0).sum() / several.sum().clamp(min=1)

    exclusive = assigned if loss.alignment == "assigned" else nearest
    diversity = partial(diversity_term, loss)
    return {"diversity": diversity, "hyperbolic": hyperbolic, "gap": gap, "cover": cover, "exclusive": exclusive}
