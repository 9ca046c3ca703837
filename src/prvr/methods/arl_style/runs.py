"""ARL-style: our reconstruction of ARL (arXiv 2506.07471), on the benchmarks.

No code and no settings were published: thresholds, margins, weights and rates are ours (see `network.py`). The paper has nothing on Charades-STA and QVHighlights.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple, cast

import torch
from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, FeatureSpec, Outputs
from prvr.methods.arl_style.loss import ambiguous_frames, ambiguous_videos, any_nce, dual_margin, many_nce
from prvr.methods.arl_style.network import ARLOutputs, ARLStyle, ARLStyleConfig
from prvr.methods.dldkd.distillation import own_cosines
from prvr.methods.family import OptimConfig, frames_alone, on_i3d, on_world, trained
from prvr.methods.recipe import Recipe
from prvr.parts.nce import own_pairs
from prvr.parts.uniform import UniformConfig
from prvr.training.bert_adam import warmup_cosine
from prvr.training.loop import Objective as Learned
from prvr.training.loop import TrainConfig

TITLE = "ARL-style (our reconstruction)"


@dataclass(frozen=True, kw_only=True)
class ARLLoss:
    """Weights of the terms and what they read; a weight of 0 leaves a term out. All but the form is ours."""

    nce: float = 0.04  # of InfoNCE on dot products; the margins on cosines have weight 1
    margin: float = 0.2  # by which right beats wrong, in cosine; half of it for what may be right
    hard_from_epoch: int = 20  # random negatives before, hard ones from here on
    hard_pool: int = 20  # hardest videos (or frames) among which a query's negative is drawn
    frames: float = 0.1  # of the same two losses among the frames of a query's own video
    ambiguous_from_epoch: int = 5  # uncertainty means nothing before; a negative number: never
    most_ambiguous: int = 3  # videos a query
    frame_slack: float = 0.1  # δ: how far below the best frame a frame may still fit, in cosine

    def __post_init__(self) -> None:
        for name in ("nce", "margin", "hard_from_epoch", "frames", "most_ambiguous", "frame_slack"):
            if getattr(self, name) < 0:
                raise ConfigError(f"loss.{name}={getattr(self, name)}: must not be negative")
        if self.hard_pool < 1:
            raise ConfigError(f"loss.hard_pool={self.hard_pool}: must be at least 1")

    def ambiguous_at(self, epoch: int) -> bool:
        """Whether the networks label for each other in this epoch."""
        return 0 <= self.ambiguous_from_epoch <= epoch


@dataclass(frozen=True, kw_only=True)
class ARLStyleSettings:
    """All of a run."""

    model: ARLStyleConfig
    prepare: UniformConfig = field(default_factory=UniformConfig)
    loss: ARLLoss = field(default_factory=ARLLoss)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    batch_videos: int = 128


class Seen(NamedTuple):
    """What one of the two networks says about a batch."""

    cosine: Tensor  # (Q, V)
    dot: Tensor  # (Q, V)
    uncertainty: Tensor  # (Q, V) of pairs
    frame_cosine: Tensor  # (Q, T) with the frames of the own video
    frame_dot: Tensor  # (Q, T)
    frame_uncertainty: Tensor  # (Q, T) of those frames
    valid: Tensor  # (Q, T) bool


def qvhighlights() -> Recipe:
    """ARL-style on QVHighlights, of which the paper says nothing: SlowFast and CLIP-B frames, CLIP-B words."""
    return recipe("prvr.methods.arl_style.runs:qvhighlights", TITLE, _settings(0.31, video_width=2816, text_width=512))


def tvr() -> Recipe:
    """ARL-style on TVR: CLIP-L/14 frames and words."""
    settings = replace(_settings(0.2), loss=ARLLoss(margin=0.1), optim=OptimConfig(lr=3e-4))
    return recipe("prvr.methods.arl_style.runs:tvr", TITLE, settings)


def activitynet() -> Recipe:
    """ARL-style on ActivityNet Captions: CLIP-L/14 frames and words."""
    return recipe("prvr.methods.arl_style.runs:activitynet", TITLE, _settings(0.31))


def charades() -> Recipe:
    """ARL-style on Charades-STA, of which the paper says nothing: CLIP-L/14 frames and words."""
    settings = replace(_settings(0.25), optim=OptimConfig(lr=2e-4))
    return recipe("prvr.methods.arl_style.runs:charades", TITLE, settings)


def tvr_i3d() -> Recipe:
    """TVR with ResNet and I3D frames side by side and RoBERTa words."""
    return on_i3d(tvr(), video_width=3072, text_width=768)


def activitynet_i3d() -> Recipe:
    """ActivityNet Captions with I3D frames and RoBERTa words."""
    return on_i3d(activitynet(), video_width=1024, text_width=1024)


def world() -> Recipe:
    """ARL-style on the generated world: two small networks."""
    settings = ARLStyleSettings(
        model=ARLStyleConfig(video_width=128, text_width=128, hidden=96, max_words=32),
        loss=ARLLoss(hard_from_epoch=2, ambiguous_from_epoch=1),
    )
    return recipe("prvr.methods.arl_style.runs:world", TITLE, on_world(settings))


def recipe(target: str, title: str, settings: ARLStyleSettings) -> Recipe:
    """Any ARL-style settings as a Recipe; `target` is the function that makes it."""
    return trained(
        target,
        title,
        settings,
        ARLStyle,
        objective,
        width=_width,
        prepare=frames_alone,
        schedule=warmup_cosine,
    )


def objective(settings: ARLStyleSettings) -> Learned:
    """Each network learns from what the other labels; the log has sums over both, and how much is ambiguous.

    `ambiguous` is the mean number of videos a query, of either network: 128 videos should have well under 2.
    """
    loss = settings.loss
    weights = {"nce": loss.nce, "margin": 1.0, "frame_nce": loss.frames * loss.nce, "frame_margin": loss.frames}
    used = {name: weight for name, weight in weights.items() if weight}

    def learned(outputs: Outputs, batch: Batch, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        own, both = batch.video_of_query, [seen_by(network, outputs, batch) for network in range(2)]
        labels = [_labels(seen, own, loss, epoch) for seen in both]
        found = [_losses(seen, label, own, loss, epoch) for seen, label in zip(both, reversed(labels), strict=True)]
        parts = {name: torch.stack([one[name] for one in found]).sum() for name in used}
        total = torch.stack([weight * parts[name] for name, weight in used.items()]).sum()
        number = torch.stack([videos.sum() for videos, _ in labels]).sum() / (2 * len(own))
        return total, {name: part.detach() for name, part in parts.items()} | {"ambiguous": number}

    return learned


def seen_by(network: int, outputs: Outputs, batch: Batch) -> Seen:
    """What the first (0) or the second (1) network says, with the frames of each query's own video."""
    own, given = batch.video_of_query, cast(ARLOutputs, outputs)
    query = given.query.chunk(2, dim=-1)[network]
    tokens = (given.video.clips, given.video.frames)[not network]
    return Seen(
        cosine=(given.cosine.clip, given.cosine.frame)[not network],
        dot=(given.dot.clip, given.dot.frame)[not network],
        uncertainty=given.pair_uncertainty[network],
        frame_cosine=own_cosines(query, tokens, own),
        frame_dot=torch.einsum("qd,qtd->qt", query, tokens[own]),
        frame_uncertainty=given.frame_uncertainty[network][own],
        valid=given.video.frame_valid[own],
    )


def _labels(seen: Seen, own: Tensor, loss: ARLLoss, epoch: int) -> tuple[Tensor, Tensor]:
    """Ambiguous videos (Q, V) and frames (Q, T), bool, as one network sees them; it is the other that reads them."""
    if not loss.ambiguous_at(epoch):
        return torch.zeros_like(seen.cosine, dtype=torch.bool), torch.zeros_like(seen.valid)
    videos = ambiguous_videos(seen.cosine, seen.uncertainty, own, most=loss.most_ambiguous)
    return videos, ambiguous_frames(seen.frame_cosine, seen.frame_uncertainty, seen.valid, slack=loss.frame_slack)


def _losses(
    seen: Seen, labels: tuple[Tensor, Tensor], video_of_query: Tensor, loss: ARLLoss, epoch: int
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


def _settings(dropout: float, *, video_width: int = 768, text_width: int = 768) -> ARLStyleSettings:
    model = ARLStyleConfig(
        video_width=video_width, text_width=text_width, max_words=77, input_dropout=dropout, dropout=dropout
    )
    return ARLStyleSettings(model=model)


def _width(settings: ARLStyleSettings, _: FeatureSpec) -> int:
    return settings.model.hidden * (2 if settings.model.clip_weight else 1)
