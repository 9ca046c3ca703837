"""What a model costs on the present device: a query, an epoch, memory, arithmetic (paper, Tables 6 and 7)."""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.flop_counter import FlopCounterMode

from prvr.core.types import QueryBatch, RetrievalModel, VideoBatch, VideoTokens
from prvr.data.dataset import take
from prvr.data.folder import DataFolder
from prvr.encoders.devices import pick_device
from prvr.recipes.recipe import Recipe, Settings, load_recipe
from prvr.recipes.runs import Splits

_RUNS = 5  # a figure is the median of so many, as the paper averages over 5
_MB = 1e6


@dataclass(frozen=True, kw_only=True)
class QueryCost:
    """One query against a library whose tokens are kept."""

    num_videos: int
    time_ms: float  # from word features to the score of every video
    memory_mb: float  # weights and kept tokens


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """One training step of one batch, in a process of its own."""

    time_s: float
    peak_mb: float  # of the process on a CPU, of the allocator on a GPU
    steps: int  # an epoch


def parameters(model: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(parameter.numel() for parameter in model.parameters())


def multiply_adds(model: RetrievalModel, videos: VideoBatch) -> int:
    """Multiply-accumulates of encoding one video: what the paper calls FLOPs (half the operations)."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.encode_videos(take(videos, torch.arange(1)))
    return int(counter.get_total_flops()) // 2


def query_costs(
    model: RetrievalModel, queries: QueryBatch, tokens: VideoTokens, sizes: Sequence[int], *, device: str
) -> list[QueryCost]:
    """Median time of single queries, (Q) in `queries`, against the first of V videos, for each size <= V."""
    weights = sum(p.numel() * p.element_size() for p in cast(nn.Module, model).parameters())
    frames, clips = (normalize(x.to(device), dim=-1) for x in (tokens.frames, tokens.clips))
    found = []
    for size in sizes:
        kept = [x[:size].flatten(0, 1) for x in (frames, clips) if x.shape[1]]
        times = [_one_query(model, queries, row, kept, size, device) for row in range(min(len(queries), 4 * _RUNS))]
        memory = (weights + sum(x.numel() * x.element_size() for x in kept)) / _MB
        found.append(QueryCost(num_videos=size, time_ms=1000 * statistics.median(times), memory_mb=memory))
    return found


@torch.inference_mode()
def _one_query(
    model: RetrievalModel, queries: QueryBatch, row: int, kept: Sequence[Tensor], size: int, device: str
) -> float:
    words = int(queries.valid[row].sum())
    one = QueryBatch(
        words=queries.words[row : row + 1, :words],
        valid=queries.valid[row : row + 1, :words],
        sentence=queries.sentence[row : row + 1],
    ).to(device)
    began = time.perf_counter()
    query = normalize(model.encode_queries(one), dim=-1)
    best = [(tokens @ query[0]).view(size, -1).amax(1) for tokens in kept]
    shares = (1 - model.clip_weight, model.clip_weight) if len(best) == 2 else (1.0,)
    sum(share * scores for share, scores in zip(shares, best, strict=True)).cpu()  # type: ignore[union-attr]
    return time.perf_counter() - began


def step_cost(recipe: Recipe, data: DataFolder, *, device: str) -> StepCost:
    """Time and peak memory of one step of the recipe, after one to warm up."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_step, recipe.target, recipe.settings, data, pick_device(device).name).result()


def _step(target: str, settings: Settings, data: DataFolder, device: str) -> StepCost:
    recipe = replace(load_recipe(target), settings=settings)
    assert recipe.objective is not None
    assert recipe.optimizer is not None
    items = Splits(recipe, data).train
    batch = items.select(torch.arange(min(settings.batch_videos, len(items)))).to(device)
    steps = -(-len(items) // settings.batch_videos)
    model = recipe.build(settings).to(device).train()
    objective, optimizer = recipe.objective(settings), recipe.optimizer(settings, model, steps)
    times = []
    for _ in range(2):
        began = time.perf_counter()
        loss, _ = objective(model(batch), batch, settings.train.epochs)  # late enough for every term
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        float(loss)  # waits for a GPU
        times.append(time.perf_counter() - began)
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else _peak_resident()
    return StepCost(time_s=times[-1], peak_mb=peak / _MB, steps=steps)


def _peak_resident() -> int:
    """Bytes that this process had in memory at most."""
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found if sys.platform == "darwin" else found * 1024
