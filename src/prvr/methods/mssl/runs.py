"""MS-SL (ACM MM 2022): its benchmarks, with the features of the MSC paper's tables and with the authors' own.

`tvr()` and the others read CLIP-L/14, `tvr_i3d()` and the others what the authors released it with; nothing else
differs. For QVHighlights no settings were published: they are those of ActivityNet Captions, which make as many
parameters as the MSC paper counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from prvr.core.types import Batch, Outputs
from prvr.methods.family import (
    OptimConfig,
    RetrievalLoss,
    on_i3d,
    on_world,
    retrieval_terms,
    trained,
    weighted,
)
from prvr.methods.mssl.anchoring import anchored
from prvr.methods.mssl.network import MSSL, OFFICIAL, MSSLConfig
from prvr.methods.mssl.pairs import pair_nce
from prvr.methods.recipe import Recipe
from prvr.parts.objective import Objective
from prvr.parts.triplet import query_triplet
from prvr.parts.uniform import UniformConfig
from prvr.training.loop import Objective as Learned
from prvr.training.loop import TrainConfig


@dataclass(frozen=True, kw_only=True)
class MSSLSettings:
    """All of a run."""

    model: MSSLConfig
    prepare: UniformConfig = field(default_factory=UniformConfig)
    loss: RetrievalLoss = field(default_factory=RetrievalLoss)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=lambda: TrainConfig(seed=2018))
    batch_videos: int = 128


def qvhighlights() -> Recipe:
    """MS-SL on QVHighlights: SlowFast and CLIP-B frames side by side, CLIP-B words."""
    settings = MSSLSettings(model=MSSLConfig(video_width=2816, text_width=512, max_words=77))
    return recipe("prvr.methods.mssl.runs:qvhighlights", "MS-SL", settings)


def tvr() -> Recipe:
    """MS-SL on TVR: CLIP-L/14 frames and words."""
    settings = MSSLSettings(
        model=MSSLConfig(video_width=768, text_width=768, max_words=77), loss=RetrievalLoss(margin=0.1)
    )
    return recipe("prvr.methods.mssl.runs:tvr", "MS-SL", settings)


def activitynet() -> Recipe:
    """MS-SL on ActivityNet Captions: CLIP-L/14 frames and words."""
    settings = MSSLSettings(model=MSSLConfig(video_width=768, text_width=768, max_words=77))
    return recipe("prvr.methods.mssl.runs:activitynet", "MS-SL", settings)


def charades() -> Recipe:
    """MS-SL on Charades-STA: CLIP-L/14 frames and words."""
    settings = MSSLSettings(model=MSSLConfig(video_width=768, text_width=768, max_words=77, clip_weight=0.5))
    return recipe("prvr.methods.mssl.runs:charades", "MS-SL", settings)


def tvr_i3d() -> Recipe:
    """TVR with ResNet and I3D frames side by side and RoBERTa words."""
    return on_i3d(tvr(), video_width=3072, text_width=768)


def activitynet_i3d() -> Recipe:
    """ActivityNet Captions with I3D frames and RoBERTa words."""
    return on_i3d(activitynet(), video_width=1024, text_width=1024)


def charades_i3d() -> Recipe:
    """Charades-STA with I3D frames and RoBERTa words."""
    return on_i3d(charades(), video_width=1024, text_width=1024)


def world() -> Recipe:
    """MS-SL on the generated world: a small network."""
    settings = MSSLSettings(
        model=MSSLConfig(video_width=128, text_width=128, hidden=96, max_words=32),
        loss=RetrievalLoss(hard_from_epoch=2),
    )
    return recipe("prvr.methods.mssl.runs:world", "MS-SL", on_world(settings))


def recipe(target: str, title: str, settings: MSSLSettings) -> Recipe:
    """Any MS-SL settings as a Recipe; `target` is the function that makes it."""
    return trained(target, title, settings, MSSL, learned, official=OFFICIAL)


def learned(settings: MSSLSettings) -> Learned:
    """Each query finds the proposal of its own video that guides it to frames, then the terms."""
    judged = objective(settings)

    def found(outputs: Outputs, batch: Batch, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        return judged(anchored(outputs, batch.video_of_query, matching=False), batch, epoch)

    return found


def objective(settings: MSSLSettings) -> Objective:
    """The terms whose weight is not 0, by the names that the log shows; they read frame scores (Q, Q)."""
    loss = settings.loss

    def nce_frame(outputs: Outputs, _: Batch, __: int) -> Tensor:
        return pair_nce(outputs.dot.frame).mean()

    def triplet_frame(outputs: Outputs, _: Batch, epoch: int) -> Tensor:
        """Other captions of the same video are negatives here, as released."""
        scores = outputs.cosine.frame
        own, pool = torch.arange(len(scores), device=scores.device), loss.hard_pool
        ways = [
            query_triplet(x, own, margin=loss.margin, pool=pool if epoch >= loss.hard_from_epoch else None)
            for x in (scores, scores.T)
        ]
        return torch.cat(ways).mean() * 2

    return weighted(retrieval_terms(loss) | {"nce_frame": nce_frame, "triplet_frame": triplet_frame}, loss)
