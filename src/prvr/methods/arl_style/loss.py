"""What the two networks of ARL-style learn from: each from what the other labels as ambiguous."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from prvr.core.types import Batch, Made
from prvr.methods.arl_style.ambiguity import ambiguous_frames, ambiguous_videos, any_nce, dual_margin, many_nce
from prvr.methods.arl_style.network import ARLQueries, ARLStyleConfig, ARLVideos
from prvr.methods.family import TripletConfig, check_weights
from prvr.methods.recipe import RunSettings
from prvr.parts.nce import own_pairs
from prvr.parts.objective import Objective
from prvr.parts.scoring import best_cosine, best_token, own_cosines
from prvr.parts.uniform import UniformConfig


@dataclass(frozen=True, kw_only=True)
class ARLLoss(TripletConfig):
    """Weights of the terms and what they read; a weight of 0 leaves a term out. All but the form is ours.

    The margin is halved for what may be right; the pool holds a query's hardest videos, or frames.
    """

    nce: float = 0.04  # of InfoNCE on dot products; the margins on cosines have weight 1
    frames: float = 0.1  # of the same two losses among the frames of a query's own video
    ambiguous_from_epoch: int = 5  # uncertainty means nothing before; a negative number: never
    most_ambiguous: int = 3  # videos a query
    frame_slack: float = 0.1  # δ: how far below the best frame a frame may still fit, in cosine

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights(self, "nce", "frames", "most_ambiguous", "frame_slack")

    def ambiguous_at(self, epoch: int) -> bool:
        """Whether the networks label for each other in this epoch."""
        return 0 <= self.ambiguous_from_epoch <= epoch


Settings = RunSettings[ARLStyleConfig, UniformConfig, ARLLoss]


class NetworkSeen(NamedTuple):
    """What one of the two networks says about a batch."""

    cosine: Tensor  # (Q, V)
    dot: Tensor  # (Q, V)
    uncertainty: Tensor  # (Q, V) of pairs
    frame_cosine: Tensor  # (Q, T) with the frames of the own video
    frame_dot: Tensor  # (Q, T)
    frame_uncertainty: Tensor  # (Q, T) of those frames
    valid: Tensor  # (Q, T) bool


class Judged(NamedTuple):
    """What the terms read."""

    losses: tuple[dict[str, Tensor], dict[str, Tensor]]  # of each network, by term
    ambiguous: Tensor  # mean number of videos a query, of either network


def objective(settings: Settings) -> Objective[Made[ARLQueries, ARLVideos], Judged]:
    """Each network learns from what the other labels; the log has sums over both, and how much is ambiguous.

    `ambiguous` is the mean number of videos a query, of either network: 128 videos should have well under 2.
    """
    loss = settings.loss
    weights = {"nce": loss.nce, "margin": 1.0, "frame_nce": loss.frames * loss.nce, "frame_margin": loss.frames}
    used = {name: weight for name, weight in weights.items() if weight}

    def judge(made: Made[ARLQueries, ARLVideos], batch: Batch[Any], epoch: int) -> Judged:
        own, both = batch.video_of_query, [seen_by(network, made, batch) for network in range(2)]
        labels = [_labels(seen, own, loss, epoch) for seen in both]
        first, second = (_losses(seen, label, own, loss, epoch) for seen, label in zip(both, labels[::-1], strict=True))
        return Judged((first, second), torch.stack([videos.sum() for videos, _ in labels]).sum() / (2 * len(own)))

    def term(name: str, judged: Judged, _: Batch[Any], __: int) -> Tensor:
        return torch.stack([losses[name] for losses in judged.losses]).sum()

    terms = {name: partial(term, name) for name in used}
    return Objective(see=judge, terms=terms, weights=used, watched={"ambiguous": lambda seen, _, __: seen.ambiguous})


def seen_by(network: int, made: Made[ARLQueries, ARLVideos], batch: Batch[Any]) -> NetworkSeen:
    """What the first (0) or the second (1) network says, with the frames of each query's own video."""
    own, (asked, shown) = batch.video_of_query, made
    query, frames, of_frame = asked.query[network], shown.frames[network], shown.uncertainty[network]
    cosine, winner = best_cosine(query, frames, shown.valid)
    video = torch.arange(len(frames), device=frames.device)
    return NetworkSeen(
        cosine=cosine,
        dot=best_token(query, frames, shown.valid)[0],
        uncertainty=(asked.uncertainty[network][:, None] + of_frame[video, winner]) / 2,
        frame_cosine=own_cosines(query, frames, own),
        frame_dot=torch.einsum("qd,qtd->qt", query, frames[own]),
        frame_uncertainty=of_frame[own],
        valid=shown.valid[own],
    )


def _labels(seen: NetworkSeen, own: Tensor, loss: ARLLoss, epoch: int) -> tuple[Tensor, Tensor]:
    """Ambiguous videos (Q, V) and frames (Q, T), bool, as one network sees them; it is the other that reads them."""
    if not loss.ambiguous_at(epoch):
        return torch.zeros_like(seen.cosine, dtype=torch.bool), torch.zeros_like(seen.valid)
    videos = ambiguous_videos(seen.cosine, seen.uncertainty, own, most=loss.most_ambiguous)
    return videos, ambiguous_frames(seen.frame_cosine, seen.frame_uncertainty, seen.valid, slack=loss.frame_slack)


def _losses(
    seen: NetworkSeen, labels: tuple[Tensor, Tensor], video_of_query: Tensor, loss: ARLLoss, epoch: int
) -> dict[str, Tensor]:
    """Every term of one network. Without labels they are InfoNCE and triplets both ways, as in all of this family."""
    videos, frames = labels
    own, hard = own_pairs(video_of_query, seen.cosine.shape[1]), epoch >= loss.hard_from_epoch
    hits, margins = own | videos, {"margin": loss.margin, "ambiguous_margin": loss.margin / 2}
    pool = loss.hard_pool if hard else None
    right = seen.cosine.gather(1, video_of_query[:, None]).squeeze(1)
    mean = (seen.cosine.T * own.T).sum(1) / own.sum(0)
    by_query = dual_margin(right, seen.cosine, ambiguous=videos, clean=~hits, pool=pool, **margins)
    by_video = dual_margin(mean, seen.cosine.T, ambiguous=videos.T, clean=~hits.T, pool=1 if hard else None, **margins)
    best = seen.frame_cosine.masked_fill(~seen.valid, -torch.inf).argmax(1, keepdim=True)
    there = torch.zeros_like(seen.valid).scatter(1, best, True)
    maybe, top = frames & ~there, seen.frame_cosine.gather(1, best).squeeze(1)
    clean = seen.valid & ~maybe & ~there
    by_frame = dual_margin(top, seen.frame_cosine, ambiguous=maybe, clean=clean, pool=pool, **margins)
    return {
        "nce": many_nce(seen.dot, hits).mean() + any_nce(seen.dot.T, hits.T).mean(),
        "margin": by_query.mean() + by_video.mean(),
        "frame_nce": many_nce(seen.frame_dot, there | maybe, seen.valid).mean(),
        "frame_margin": by_frame.mean(),
    }
