"""ProtoPRVR-style: our reconstruction of ProtoPRVR (arXiv 2504.13035), on the benchmarks.

No code and no settings were published. Rates, margins and dropout are those that the same group released for MSC; the
weights of the terms are ours (see `prvr.methods.protoprvr_style.network`). The paper has nothing on Charades-STA.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, Outputs
from prvr.methods.family import (
    OptimConfig,
    RetrievalLoss,
    nce_term,
    on_i3d,
    on_world,
    trained,
    triplet_term,
    weighted,
)
from prvr.methods.protoprvr_style.loss import (
    frames_missed,
    guided_attention,
    prototype_overlap,
    prototypes_used,
    words_missed,
)
from prvr.methods.protoprvr_style.network import ProtoOutputs, ProtoPRVRStyle, ProtoPRVRStyleConfig
from prvr.methods.recipe import Recipe
from prvr.parts.objective import Objective, Term
from prvr.parts.uniform import UniformConfig
from prvr.training.bert_adam import warmup_cosine
from prvr.training.loop import Objective as Learned
from prvr.training.loop import TrainConfig

TITLE = "ProtoPRVR-style (our reconstruction)"


@dataclass(frozen=True, kw_only=True)
class ProtoLoss:
    """Weights of the terms and what they read; a weight of 0 leaves a term out. All but the form is ours."""

    nce: float = 0.04  # of InfoNCE on dot products; the triplets on cosines have weight 1
    margin: float = 0.2  # of the triplet term, in cosine
    hard_from_epoch: int = 20  # random negatives before, hard ones from here on
    hard_pool: int = 20  # hardest videos among which a query's negative is drawn
    words: float = 0.1  # hidden words, guessed from the best prototype
    frames: float = 1.0  # frames, rebuilt from all prototypes
    attention: float = 0.1  # in mixed videos the best prototype looks at the query's own
    attention_margin: float = 0.1  # β: a share of 1 - β is enough
    diversity: float = 1.0  # prototypes differ
    best_from_epoch: int = 5  # the best prototype is noise before, so `words` and `attention` begin here

    def __post_init__(self) -> None:
        for name in ("nce", "margin", "hard_from_epoch", "words", "frames", "attention", "diversity"):
            if getattr(self, name) < 0:
                raise ConfigError(f"loss.{name}={getattr(self, name)}: must not be negative")
        if self.hard_pool < 1:
            raise ConfigError(f"loss.hard_pool={self.hard_pool}: must be at least 1")
        if not 0 <= self.attention_margin < 1:
            raise ConfigError(f"loss.attention_margin={self.attention_margin}: must be from 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class ProtoPRVRStyleSettings:
    """All of a run."""

    model: ProtoPRVRStyleConfig
    prepare: UniformConfig = field(default_factory=UniformConfig)
    loss: ProtoLoss = field(default_factory=ProtoLoss)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    batch_videos: int = 128


def qvhighlights() -> Recipe:
    """ProtoPRVR-style on QVHighlights: SlowFast and CLIP-B frames side by side, CLIP-B words."""
    settings = _settings(0.31, video_width=2816, text_width=512)
    return recipe("prvr.methods.protoprvr_style.runs:qvhighlights", TITLE, settings)


def tvr() -> Recipe:
    """ProtoPRVR-style on TVR: CLIP-L/14 frames and words."""
    settings = replace(_settings(0.2), loss=ProtoLoss(nce=0.05, margin=0.1), optim=OptimConfig(lr=3e-4))
    return recipe("prvr.methods.protoprvr_style.runs:tvr", TITLE, settings)


def activitynet() -> Recipe:
    """ProtoPRVR-style on ActivityNet Captions: CLIP-L/14 frames and words."""
    return recipe("prvr.methods.protoprvr_style.runs:activitynet", TITLE, _settings(0.31))


def charades() -> Recipe:
    """ProtoPRVR-style on Charades-STA, of which the paper says nothing: CLIP-L/14 frames and words."""
    settings = replace(_settings(0.25), optim=OptimConfig(lr=2e-4))
    return recipe("prvr.methods.protoprvr_style.runs:charades", TITLE, settings)


def tvr_i3d() -> Recipe:
    """TVR with ResNet and I3D frames side by side and RoBERTa words."""
    return on_i3d(tvr(), video_width=3072, text_width=768)


def activitynet_i3d() -> Recipe:
    """ActivityNet Captions with I3D frames and RoBERTa words."""
    return on_i3d(activitynet(), video_width=1024, text_width=1024)


def world() -> Recipe:
    """ProtoPRVR-style on the generated world: a small network and few epochs, for two cores."""
    settings = ProtoPRVRStyleSettings(
        model=ProtoPRVRStyleConfig(video_width=128, text_width=128, hidden=96, max_words=32),
        loss=ProtoLoss(hard_from_epoch=2, best_from_epoch=1),
    )
    return recipe("prvr.methods.protoprvr_style.runs:world", TITLE, on_world(settings))


def recipe(target: str, title: str, settings: ProtoPRVRStyleSettings) -> Recipe:
    """Any ProtoPRVR-style settings as a Recipe; `target` is the function that makes it."""
    return trained(target, title, settings, ProtoPRVRStyle, learned, schedule=warmup_cosine)


def learned(settings: ProtoPRVRStyleSettings) -> Learned:
    """The terms, and beside them in the log how many prototypes the queries use: training may collapse onto few."""
    judged = objective(settings)

    def watched(outputs: Outputs, batch: Batch, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        total, parts = judged(outputs, batch, epoch)
        used = prototypes_used(outputs.query, cast(ProtoOutputs, outputs).prototypes, batch.video_of_query)
        return total, parts | {"prototypes_used": used}

    return watched


def objective(settings: ProtoPRVRStyleSettings) -> Objective:
    """The terms whose weight is not 0, by the names that the log shows."""
    loss = settings.loss
    triplets = RetrievalLoss(margin=loss.margin, hard_from_epoch=loss.hard_from_epoch, hard_pool=loss.hard_pool)

    def words(outputs: Outputs, batch: Batch, epoch: int) -> Tensor:
        seen = cast(ProtoOutputs, outputs)
        missed = words_missed(seen.guesses, batch.queries.words, seen.places)
        return missed.sum() / (seen.places >= 0).sum() * (epoch >= loss.best_from_epoch)

    def frames(outputs: Outputs, _: Batch, __: int) -> Tensor:
        given = cast(ProtoOutputs, outputs)
        seen, valid = given.seen
        return (frames_missed(given.rebuilt, seen, valid).sum(1) / valid.sum(1)).mean()

    def attention(outputs: Outputs, batch: Batch, epoch: int) -> Tensor:
        seen, own = cast(ProtoOutputs, outputs), batch.video_of_query
        missed = guided_attention(seen.query, seen.mixed, seen.share, own, margin=loss.attention_margin)
        mixed = (seen.share[:, 0] >= 0)[own]
        return (missed * mixed).sum() / mixed.sum().clamp(min=1) * (epoch >= loss.best_from_epoch)

    def diversity(outputs: Outputs, _: Batch, __: int) -> Tensor:
        return prototype_overlap(cast(ProtoOutputs, outputs).prototypes).mean()

    terms: dict[str, Term] = {
        "nce": partial(nce_term, "frame"),
        "triplet": partial(triplet_term, triplets, "frame"),
        "words": words,
        "frames": frames,
        "attention": attention,
        "diversity": diversity,
    }
    return weighted(terms, loss)


def _settings(dropout: float, *, video_width: int = 768, text_width: int = 768) -> ProtoPRVRStyleSettings:
    model = ProtoPRVRStyleConfig(
        video_width=video_width, text_width=text_width, max_words=77, input_dropout=dropout, dropout=dropout
    )
    return ProtoPRVRStyleSettings(model=model)
