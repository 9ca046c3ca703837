"""What retrieval methods share: the loss of two branches, the optimiser, and how a recipe is made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer

from prvr.core.errors import ConfigError
from prvr.core.method import Learn, Method, TrainConfig
from prvr.core.types import Batch, BranchScores, FeatureSpec, Made, QuerySide, VideoSide, VideoTokens
from prvr.methods.official import Official, stack_depth, undecayed
from prvr.methods.recipe import OptimConfig, Recipe, RunSettings, untrained, variant
from prvr.parts.bert_adam import BertAdam, Schedule, decay_groups, warmup_linear
from prvr.parts.diversity import focal_diversity
from prvr.parts.matching import optimal_matching
from prvr.parts.nce import query_nce, video_nce
from prvr.parts.objective import Term
from prvr.parts.scoring import cosine_scores, dot_scores
from prvr.parts.towers import TwiceRead
from prvr.parts.triplet import query_triplet, video_triplet

Branch = Literal["frame", "clip"]

# sizes of networks that read the features of a benchmark, and of the small ones for the generated world
CLIP_L: dict[str, Any] = {"video_width": 768, "text_width": 768, "max_words": 77}
SLOWFAST: dict[str, Any] = {"video_width": 2816, "text_width": 512}
I3D = {"video_width": 1024, "text_width": 1024, "max_words": 30}
I3D_OF_TVR = {"video_width": 3072, "text_width": 768, "max_words": 30}
WORLD: dict[str, Any] = {"video_width": 128, "text_width": 128, "hidden": 96, "max_words": 32}


class Compared(NamedTuple, Generic[QuerySide, VideoSide]):
    """What terms read: all that a network made of both sides, and every query against every video."""

    query: QuerySide
    video: VideoSide
    cosine: BranchScores  # (Q, V) each, by the best token of a branch: what retrieval ranks by
    dot: BranchScores  # (Q, V) each: what InfoNCE reads


def compared(made: Made[QuerySide, VideoSide], query: Tensor, tokens: VideoTokens) -> Compared[QuerySide, VideoSide]:
    """Both sides, compared by what ranks: query (Q, D), not normalised, and tokens of V videos; no weight is read."""
    return Compared(*made, cosine_scores(query, tokens), dot_scores(query, tokens))


def compare(made: Made[Tensor, VideoTokens], _: Batch[Any], __: int) -> Compared[Tensor, VideoTokens]:
    """What two towers made: queries (Q, D), tokens of V videos."""
    return compared(made, *made)


ComparedTwice = Compared[TwiceRead, VideoTokens]


def compare_twice(made: Made[TwiceRead, VideoTokens], _: Batch[Any], __: int) -> ComparedTwice:
    """The same of queries that were read twice."""
    return compared(made, made.queries.query, made.videos)


@dataclass(frozen=True, kw_only=True)
class TripletConfig:
    """What the triplet terms read, whose weight is 1."""

    margin: float = 0.2  # by which right beats wrong, in cosine
    hard_from_epoch: int = 20  # random negatives before, hard ones from here on
    hard_pool: int = 20  # hardest videos among which a query's negative is drawn

    def __post_init__(self) -> None:
        check_weights(self, "margin", "hard_from_epoch")
        if self.hard_pool < 1:
            raise ConfigError(f"loss.hard_pool={self.hard_pool}: must be at least 1")


@dataclass(frozen=True, kw_only=True)
class RetrievalLoss(TripletConfig):
    """InfoNCE on dot products and triplets on cosines, in both branches; a weight of 0 leaves a term out."""

    nce_clip: float = 0.02
    nce_frame: float = 0.04

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights(self, "nce_clip", "nce_frame")


@dataclass(frozen=True, kw_only=True)
class DiverseLoss(RetrievalLoss):
    """The same, and the diversity of a video's queries."""

    diversity: float = 0.003
    diversity_margin: float = 0.2
    diversity_scale: float = 32.0
    diversity_power: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights(self, "diversity", "diversity_power")


def check_weights(loss: object, *names: str) -> None:
    """Raises ConfigError unless these settings of a loss are 0 or more."""
    for name in names:
        if getattr(loss, name) < 0:
            raise ConfigError(f"loss.{name}={getattr(loss, name)}: must not be negative")


def retrieval_terms(loss: TripletConfig, *, nce: Literal["dot", "cosine"] = "dot") -> dict[str, Term[Any]]:
    """Terms of both branches by the names that the log shows."""
    return {
        "nce_clip": partial(nce_term, "clip", similarity=nce),
        "nce_frame": partial(nce_term, "frame", similarity=nce),
        "triplet_clip": partial(triplet_term, loss, "clip"),
        "triplet_frame": partial(triplet_term, loss, "frame"),
    }


def nce_term(
    branch: Branch, seen: Compared[Any, Any], batch: Batch[Any], _: int, *, similarity: Literal["dot", "cosine"] = "dot"
) -> Tensor:
    """InfoNCE of one branch, both ways."""
    scores: Tensor = getattr(getattr(seen, similarity), branch)
    return query_nce(scores, batch.video_of_query).mean() + video_nce(scores, batch.video_of_query).mean()


def triplet_term(
    loss: TripletConfig, branch: Branch, seen: Compared[Any, Any], batch: Batch[Any], epoch: int
) -> Tensor:
    """The triplet loss of one branch, both ways: a video's hard negative is the hardest, a query's one of the pool."""
    scores: Tensor = getattr(seen.cosine, branch)
    hard, truth = epoch >= loss.hard_from_epoch, batch.video_of_query
    by_query = query_triplet(scores, truth, margin=loss.margin, pool=loss.hard_pool if hard else None)
    by_video = video_triplet(scores, truth, margin=loss.margin, pool=1 if hard else None)
    return by_query.mean() + by_video.mean()


def diversity_term(loss: DiverseLoss, seen: Compared[Any, Any], batch: Batch[Any], _: int) -> Tensor:
    """How alike the queries of a video are, by their second sample of dropout."""
    return focal_diversity(
        seen.query.again,
        batch.video_of_query,
        margin=loss.diversity_margin,
        scale=loss.diversity_scale,
        power=loss.diversity_power,
    ).mean()


def matching_term(query: Tensor, video: VideoTokens, video_of_query: Tensor) -> Tensor:
    """How far queries are from the clips they are matched with, each with its own.

    Over all matched pairs of the batch; where no video has several queries there is nothing to match.
    """
    far, matched = optimal_matching(query, video.clips, video.clip_valid, video_of_query)
    return far.sum() / matched.sum().clamp(min=1)


def bert_adam(
    settings: RunSettings[Any, Any, Any],
    model: nn.Module,
    steps_an_epoch: int,
    *,
    undecayed: Callable[[str], bool] = undecayed,
    schedule: Schedule = warmup_linear,
) -> Optimizer:
    """The optimiser of all of them; `undecayed` says which parameters do not decay."""
    optim = settings.optim
    return BertAdam(
        decay_groups(model.named_parameters(), optim.weight_decay, undecayed=undecayed, stacked=stack_depth),
        lr=optim.lr,
        total_steps=settings.schedule_epochs * steps_an_epoch,
        warmup=optim.warmup,
        schedule=schedule,
        ema=optim.ema,
    )


def trained(
    method: Method[Any, Any],
    objective: Callable[[Any], Learn],
    run: Callable[[], Recipe],
    settings: RunSettings[Any, Any, Any],
    title: str = "",
    *,
    trainable: Callable[[Any, FeatureSpec], None] | None = None,
    undecayed: Callable[[str], bool] = undecayed,
    schedule: Schedule = warmup_linear,
    official: Official | None = None,
) -> Recipe:
    """A recipe that is trained as most of this family are; what is not named is as in MS-SL.

    `run` is the function that makes the recipe; `title` how a table names it, where that is not the method's own.
    """
    return replace(
        untrained(run, method, settings, title),
        objective=objective,
        optimizer=partial(bert_adam, undecayed=undecayed, schedule=schedule),
        trainable=trainable,
        official=official,
    )


Settings = TypeVar("Settings", bound=RunSettings[Any, Any, Any])


def on_world(settings: Settings) -> Settings:
    """Any settings for the generated world: one rate and few epochs for every method, for two cores."""
    return replace(
        settings,
        optim=OptimConfig(lr=1e-3, schedule_epochs=11),
        train=TrainConfig(epochs=9, patience=9, seed=0),
        batch_videos=32,
    )


def sized(sizes: Mapping[str, int], settings: Settings) -> Settings:
    """The same settings with a network that has some other sizes, such as those of other features."""
    return replace(settings, model=replace(settings.model, **sizes))


def on_i3d(clip: Callable[[], Recipe]) -> Callable[[], Recipe]:
    """A run on CLIP features -> `NAME_i3d`, on those of the methods' own papers: I3D frames and RoBERTa words.

    In TVR the frames of a ResNet stand beside those of I3D.
    """
    sizes = I3D_OF_TVR if clip.__name__.startswith("tvr") else I3D
    return variant(clip, f"{clip.__name__}_i3d", "I3D and RoBERTa", partial(sized, sizes))


def on_qvhighlights(activitynet: Callable[[], Recipe]) -> Callable[[], Recipe]:
    """A run on ActivityNet Captions -> the same on QVHighlights, for which no settings were published."""
    doc = "QVHighlights: SlowFast and CLIP-B frames side by side, CLIP-B words or sentences."
    return variant(activitynet, "qvhighlights", "", partial(sized, SLOWFAST), doc=doc)
