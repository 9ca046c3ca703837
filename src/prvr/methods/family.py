"""What retrieval methods share: the loss of two branches, the optimiser, and how a recipe is made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer

from prvr.core.errors import ConfigError
from prvr.core.method import Learn, Method, TrainConfig
from prvr.core.types import Batch, BranchScores, FeatureSpec, Made, VideoTokens
from prvr.methods.official import Official, stack_depth, undecayed
from prvr.methods.recipe import OptimConfig, Recipe, RunSettings, variant
from prvr.parts.bert_adam import BertAdam, Schedule, decay_groups, warmup_linear
from prvr.parts.nce import query_nce, video_nce
from prvr.parts.objective import Term
from prvr.parts.scoring import cosine_scores, dot_scores
from prvr.parts.towers import TwiceRead
from prvr.parts.triplet import query_triplet, video_triplet

Branch = Literal["frame", "clip"]


class Compared(NamedTuple):
    """Every query against every video, by the best token of each branch."""

    query: Tensor  # (Q, D) pooled query, not normalised
    video: VideoTokens
    cosine: BranchScores  # (Q, V) each: what retrieval ranks by
    dot: BranchScores  # (Q, V) each: what InfoNCE reads


class Scored(Protocol):
    """What the losses of retrieval read, whatever else a method sees."""

    @property
    def cosine(self) -> BranchScores:
        """(Q, V) each."""
        ...

    @property
    def dot(self) -> BranchScores:
        """(Q, V) each."""
        ...


def compare(made: Made[Tensor, VideoTokens], _: Batch[Any], __: int) -> Compared:
    """What two towers made: queries (Q, D), tokens of V videos."""
    query, video = made
    return Compared(query, video, cosine_scores(query, video), dot_scores(query, video))


def compare_twice(made: Made[TwiceRead, VideoTokens], batch: Batch[Any], epoch: int) -> Compared:
    """The same of queries that were read twice; `query` is the other sample, which is not ranked by."""
    found = compare(Made(made.queries.query, made.videos), batch, epoch)
    return found._replace(query=made.queries.again)


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
    branch: Branch, seen: Scored, batch: Batch[Any], _: int, *, similarity: Literal["dot", "cosine"] = "dot"
) -> Tensor:
    """InfoNCE of one branch, both ways."""
    scores: Tensor = getattr(getattr(seen, similarity), branch)
    return query_nce(scores, batch.video_of_query).mean() + video_nce(scores, batch.video_of_query).mean()


def triplet_term(loss: TripletConfig, branch: Branch, seen: Scored, batch: Batch[Any], epoch: int) -> Tensor:
    """The triplet loss of one branch, both ways: a video's hard negative is the hardest, a query's one of the pool."""
    scores: Tensor = getattr(seen.cosine, branch)
    hard, truth = epoch >= loss.hard_from_epoch, batch.video_of_query
    by_query = query_triplet(scores, truth, margin=loss.margin, pool=loss.hard_pool if hard else None)
    by_video = video_triplet(scores, truth, margin=loss.margin, pool=1 if hard else None)
    return by_query.mean() + by_video.mean()


def bert_adam(
    optim: OptimConfig,
    model: nn.Module,
    steps_an_epoch: int,
    *,
    undecayed: Callable[[str], bool] = undecayed,
    stacked: Callable[[str], int] = stack_depth,
    schedule: Schedule = warmup_linear,
) -> Optimizer:
    """The optimiser of all of them; the rules say which parameters do not decay, and which are stacks."""
    return BertAdam(
        decay_groups(model.named_parameters(), optim.weight_decay, undecayed=undecayed, stacked=stacked),
        lr=optim.lr,
        total_steps=optim.schedule_epochs * steps_an_epoch,
        warmup=optim.warmup,
        schedule=schedule,
    )


def trained(
    method: Method[Any, Any],
    objective: Callable[[Any], Learn],
    run: Callable[[], Recipe] | str,
    settings: RunSettings[Any, Any, Any],
    title: str = "",
    *,
    trainable: Callable[[Any, FeatureSpec], None] | None = None,
    undecayed: Callable[[str], bool] = undecayed,
    stacked: Callable[[str], int] = stack_depth,
    schedule: Schedule = warmup_linear,
    official: Official | None = None,
) -> Recipe:
    """A recipe that is trained as most of this family are; what is not named is as in MS-SL.

    `run` is the function that makes the recipe, or its `package.module:function`; `title` how a table names it, where
    that is not the method's own title.
    """

    def optimizer(chosen: Any, model: nn.Module, steps_an_epoch: int) -> Optimizer:
        return bert_adam(chosen.optim, model, steps_an_epoch, undecayed=undecayed, stacked=stacked, schedule=schedule)

    return Recipe(
        target=run if isinstance(run, str) else f"{run.__module__}:{run.__qualname__}",
        title=title or method.title,
        method=method,
        settings=settings,
        objective=objective,
        optimizer=optimizer,
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


def on_i3d(clip: Callable[[], Recipe]) -> Callable[[], Recipe]:
    """A run on CLIP features -> `NAME_i3d`, on those of the methods' own papers: I3D frames and RoBERTa words.

    In TVR the frames of a ResNet stand beside those of I3D.
    """
    video_width, text_width = (3072, 768) if clip.__name__.startswith("tvr") else (1024, 1024)

    def change(settings: Any) -> Any:
        model = replace(settings.model, video_width=video_width, text_width=text_width, max_words=30)
        return replace(settings, model=model)

    return variant(clip, "i3d", "I3D and RoBERTa", change)
