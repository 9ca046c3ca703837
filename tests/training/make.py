"""A small real run: four videos, a linear two-tower model with dropout, and an objective that draws random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from prvr.core.method import TrainConfig
from prvr.core.types import Batch, BranchScores, Outputs, QueryBatch, VideoBatch, VideoTokens
from prvr.parts.bert_adam import BertAdam
from prvr.training.loop import TrainProgress, TrainResult, train

VIDEOS, FRAMES, CLIPS, WORDS, E, D = 4, 6, 2, 3, 5, 8


def some_batch(videos: int = VIDEOS, *, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def unit(*shape: int) -> Tensor:
        return functional.normalize(torch.randn(*shape, generator=generator), dim=-1)

    queries = 2 * videos
    return Batch(
        videos=VideoBatch(
            frames=unit(videos, FRAMES, E),
            frame_valid=torch.ones(videos, FRAMES, dtype=torch.bool),
            clips=unit(videos, CLIPS, E),
            clip_size=torch.full((videos, CLIPS), FRAMES / CLIPS),
            slot=torch.arange(FRAMES).div(FRAMES // CLIPS, rounding_mode="floor").expand(videos, -1),
            segment=torch.arange(CLIPS).expand(videos, -1),
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

    def forward(self, batch: Batch) -> Outputs:
        query = self.dropout(self.query(batch.queries.words.mean(1)))
        frames, clips = (self.dropout(self.video(x)) for x in (batch.videos.frames, batch.videos.clips))
        valid = batch.videos.frame_valid
        best = [
            torch.einsum("qd,vnd->qvn", functional.normalize(query, dim=-1), functional.normalize(x, dim=-1)).amax(2)
            for x in (frames, clips)
        ]
        scores = BranchScores(frame=best[0], clip=best[1])
        tokens = VideoTokens(frames, valid, clips, valid[:, :CLIPS])
        return Outputs(query, tokens, scores, scores, frames, clips)


def objective(outputs: Outputs, batch: Batch, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
    nce = functional.cross_entropy(outputs.cosine.frame * 5, batch.video_of_query)
    noise = (outputs.cosine.clip * torch.rand_like(outputs.cosine.clip)).mean() * (0.1 * epoch)
    return nce + noise, {"nce": nce, "noise": noise}


def batches(epoch: int) -> Iterator[Batch]:
    order = torch.randperm(3, generator=torch.Generator().manual_seed(epoch))
    return (some_batch(seed=int(i)) for i in order)


def validate(model: nn.Module) -> dict[str, float]:
    """The share of queries whose video comes first, on videos that are not trained on; draws random numbers too."""
    torch.rand(7)
    batch = some_batch(seed=99)
    outputs: Outputs = model(batch)
    right = outputs.cosine.frame.argmax(1) == batch.video_of_query
    return {"SumR": 100 * float(right.float().mean()) + float(outputs.cosine.frame.mean()), "R@1": float("nan")}


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
    terms: Callable[[Outputs, Batch, int], tuple[Tensor, dict[str, Tensor]]] = objective,
    steps: Callable[[int], Iterator[Batch]] = batches,
    on_progress: Callable[[TrainProgress], None] | None = None,
    config: TrainConfig | None = None,
) -> TrainResult:
    """One call of `train`, from a model that always begins with the same weights."""
    torch.manual_seed(1)
    model = model or TwoLines()
    return train(
        model,
        objective=terms,
        batches=steps,
        optimizer=BertAdam(model.parameters(), lr=0.05, total_steps=30, warmup=0.1, weight_decay=0.01),
        validate=check,
        folder=folder,
        config=config or TrainConfig(epochs=epochs, patience=patience, seed=seed),
        metadata={"recipe": "tests:two_lines"} if metadata is None else metadata,
        on_progress=on_progress,
    )
