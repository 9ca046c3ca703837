"""What a model costs on the present device: a query, an epoch, memory, arithmetic (paper, Tables 6 and 7)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.flop_counter import FlopCounterMode

from prvr.core.ranking import highest_products
from prvr.core.types import (
    Batch,
    BranchScores,
    Made,
    QueryAtVideo,
    QueryBatch,
    RetrievalModel,
    Videos,
    VideoTokens,
)
from prvr.data.dataset import RetrievalSet
from prvr.evaluation.scoring import encode_videos, guided_scores
from prvr.kernels.switch import without_kernels
from prvr.runs.measure import VIDEOS

_RUNS = 5  # a figure is the median of so many, as the paper averages over 5
_MB = 1e6


@dataclass(frozen=True, kw_only=True)
class QueryCost:
    """One query against a library whose tokens are kept."""

    num_videos: int
    time_ms: float  # from word features to the score of every video
    memory_mb: float  # weights and kept tokens


def parameters(model: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(parameter.numel() for parameter in model.parameters())


def multiply_adds(model: RetrievalModel, videos: Videos, queries: QueryBatch) -> int:
    """Multiply-accumulates of one video's way through the network: what the paper calls FLOPs (half the operations).

    The way to ranking or that to the loss, whichever is longer: clips are aligned for the loss alone (MSC), proposals
    are made for ranking alone (MS-SL). As the formulas have it, whatever short cuts the code takes.
    """
    video = videos.take(torch.arange(1))
    one = QueryBatch(words=queries.words[:1], valid=queries.valid[:1], sentence=queries.sentence[:1])
    ranked = _counted(lambda: model.encode_videos(video))
    embed: Callable[[Batch[Any]], Made[Any, Any]] | None = getattr(model, "embed", None)
    if embed is None:
        return ranked
    batch = Batch(videos=video, queries=one, video_of_query=torch.zeros(1, dtype=torch.int64))
    learned = _counted(lambda: embed(batch)) - _counted(lambda: model.encode_queries(one))
    return max(ranked, learned)


def stored_bytes(model: RetrievalModel, tokens: VideoTokens) -> float:
    """Bytes a video, on average, of the tokens that ranking reads, as 16-bit numbers; columns of zeros are not kept."""
    branches = (
        (tokens.frames, tokens.frame_valid, 1 - model.clip_weight),
        (tokens.clips, tokens.clip_valid, model.clip_weight),
    )
    width = [int((x != 0).any(0).any(0).sum()) for x, _, _ in branches]
    kept = [2 * d * int(valid.sum()) for d, (_, valid, weight) in zip(width, branches, strict=True) if weight]
    return sum(kept) / max(len(tokens.frames), 1)


def library(model: RetrievalModel, items: RetrievalSet, *, device: str, most: int | None = None) -> VideoTokens:
    """Tokens of the first `most` videos of a split (None: of all), on the CPU."""
    cast(nn.Module, model).to(device)
    rows = torch.split(torch.arange(len(items))[:most], VIDEOS)
    found = encode_videos(model, (items.videos.take(some) for some in rows), device=device)
    parts = [VideoTokens(*(x.cpu() for x in part)) for part in found]
    return VideoTokens(*(torch.cat(column) for column in zip(*parts, strict=True)))


def query_costs(
    model: RetrievalModel, queries: QueryBatch, tokens: VideoTokens, sizes: Sequence[int], *, device: str
) -> list[QueryCost]:
    """Median time of single queries, (Q) in `queries`, against the first of V videos, for each size <= V."""
    weights = _bytes(list(cast(nn.Module, model).to(device).parameters()))
    tokens = VideoTokens(*(x.to(device) for x in tokens))
    found = []
    for size in sizes:
        score, memory = _scorer(model, VideoTokens(*(x[:size] for x in tokens)))
        times = [_one_query(model, queries, row, score, device) for row in range(min(len(queries), 4 * _RUNS))]
        found.append(
            QueryCost(num_videos=size, time_ms=1000 * statistics.median(times), memory_mb=(weights + memory) / _MB)
        )
    return found


def _scorer(model: RetrievalModel, tokens: VideoTokens) -> tuple[Callable[[Tensor], Tensor], int]:
    """What makes the scores (V,) of one query (1, D), with all that can be done before it comes; bytes that it keeps.

    A branch without weight is not kept.
    """
    weight = model.clip_weight
    branches = ((tokens.frames, tokens.frame_valid, 1 - weight), (tokens.clips, tokens.clip_valid, weight))
    kept = [(normalize(x, dim=-1), valid) if share else (x[:, :0], valid[:, :0]) for x, valid, share in branches]
    num_bytes = _bytes([x for x, _ in kept])
    if isinstance(model, QueryAtVideo):
        return lambda query: guided_scores(model, query, tokens).fused(weight)[0], num_bytes

    def score(query: Tensor) -> Tensor:
        unit = normalize(query, dim=-1)
        return BranchScores(*(highest_products(unit, x, valid) for x, valid in kept)).fused(weight)[0]

    return score, num_bytes


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(x.numel() * x.element_size() for x in tensors)


@torch.inference_mode()
def _one_query(
    model: RetrievalModel, queries: QueryBatch, row: int, score: Callable[[Tensor], Tensor], device: str
) -> float:
    words = int(queries.valid[row].sum())
    one = QueryBatch(
        words=queries.words[row : row + 1, :words],
        valid=queries.valid[row : row + 1, :words],
        sentence=queries.sentence[row : row + 1],
    ).to(device)
    began = time.perf_counter()
    score(model.encode_queries(one)).cpu()
    return time.perf_counter() - began


def _counted(run: Callable[[], object]) -> int:
    """Multiply-accumulates of what `run` does, as the formulas have it: kernels take short cuts."""
    # with gradients: without, the counter stumbles over modules that are given a parameter to read
    with without_kernels(), FlopCounterMode(display=False) as counter, torch.enable_grad():
        run()
    return int(counter.get_total_flops()) // 2
