"""A small real run: four videos, a linear two-tower model with dropout, and an objective that draws random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from prvr.core.method import Learn, TrainConfig
from prvr.core.types import Batch, BranchScores, Loss, Made, QueryBatch, VideoTokens
from prvr.parts.bert_adam import BertAdam
from prvr.parts.videos import ClipVideos
from prvr.training.loop import TrainProgress, TrainResult, train

VIDEOS, FRAMES, CLIPS, WORDS, E, D = 4, 6, 2, 3, 5, 8


def some_batch(videos: int = VIDEOS, *, seed: int = 0) -> Batch[ClipVideos]:
    generator = torch.Generator().manual_seed(seed)

    def unit(*shape: int) -> Tensor:
        return functional.normalize(torch.randn(*shape, generator=generator), dim=-1)

    queries = 2 * videos
    return Batch(
        videos=ClipVideos(
            frames=unit(videos, FRAMES, E),
            frame_valid=torch.ones(videos, FRAMES, dtype=torch.bool),
            clips=unit(videos, CLIPS, E),
            clip_size=torch.full((videos, CLIPS), FRAMES / CLIPS),
            frame_spans=torch.zeros(videos, FRAMES, 2),
        ),
        queries=QueryBatch(
            words=unit(queries, WORDS, E),
            valid=torch.ones(queries, WORDS, dtype=torch.bool),
            sentence=unit(queries, E),
        ),
        video_of_query=torch.arange(queries) % videos,
    )


class TwoLines(nn.Module):
    """A line for the queries, a line for the videos, dropout on both."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(E, D)
        self.video = nn.Linear(E, D)
        self.unused = nn.Linear(2, 2)
        self.dropout = nn.Dropout(0.3)

    def embed(self, batch: Batch[ClipVideos]) -> Made[Tensor, VideoTokens]:
        query = self.dropout(self.query(batch.queries.words.mean(1)))
        frames, clips = (self.dropout(self.video(x)) for x in (batch.videos.frames, batch.videos.clips))
        valid = batch.videos.frame_valid
        return Made(query, VideoTokens(frames, valid, clips, valid[:, :CLIPS]))


def cosines(made: Made[Tensor, VideoTokens]) -> BranchScores:
    best = [
        torch.einsum("qd,vnd->qvn", functional.normalize(made.queries, dim=-1), functional.normalize(x, dim=-1)).amax(2)
        for x in (made.videos.frames, made.videos.clips)
    ]
    return BranchScores(frame=best[0], clip=best[1])


def objective(made: Made[Tensor, VideoTokens], batch: Batch[ClipVideos], epoch: int) -> Loss:
    cosine = cosines(made)
    nce = functional.cross_entropy(cosine.frame * 5, batch.video_of_query)
    noise = (cosine.clip * torch.rand_like(cosine.clip)).mean() * (0.1 * epoch)
    return Loss(nce + noise, {"nce": nce, "noise": noise})


def batches(epoch: int) -> Iterator[Batch[ClipVideos]]:
    order = torch.randperm(3, generator=torch.Generator().manual_seed(epoch))
    return (some_batch(seed=int(i)) for i in order)


def validate(model: nn.Module) -> dict[str, float]:
    """The share of queries whose video comes first, on videos that are not trained on; draws random numbers too."""
    torch.rand(7)
    batch = some_batch(seed=99)
    assert isinstance(model, TwoLines)
    frame = cosines(model.embed(batch)).frame
    right = frame.argmax(1) == batch.video_of_query
    return {"SumR": 100 * float(right.float().mean()) + float(frame.mean()), "R@1": float("nan")}


def scripted(values: list[float]) -> Callable[[nn.Module], dict[str, float]]:
    """Validation that gives these values, one an epoch."""
    rest = iter(values)
    return lambda model: {"SumR": next(rest)}


def run(
    folder: Path,
    *,
    epochs: int = 4,
    patience: int = 10,
    seed: int = 0,
    metadata: Mapping[str, str] | None = None,
    model: TwoLines | None = None,
    check: Callable[[nn.Module], Mapping[str, float]] = validate,
    learn: Learn = objective,
    steps: Callable[[int], Iterator[Batch[ClipVideos]]] = batches,
    on_progress: Callable[[TrainProgress], None] | None = None,
    config: TrainConfig | None = None,
    ema: float = 0.0,
    trackers: Sequence[str] = (),
) -> TrainResult:
    """One call of `train`, from a model that always begins with the same weights."""
    torch.manual_seed(1)
    model = model or TwoLines()
    return train(
        model,
        learn=learn,
        batches=steps,
        optimizer=BertAdam(model.parameters(), lr=0.05, total_steps=30, warmup=0.1, weight_decay=0.01, ema=ema),
        validate=check,
        folder=folder,
        config=config or TrainConfig(epochs=epochs, patience=patience, seed=seed),
        metadata={"recipe": "tests:two_lines"} if metadata is None else metadata,
        trackers=trackers,
        on_progress=on_progress,
    )
