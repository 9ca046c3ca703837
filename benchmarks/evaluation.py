"""Ranks by counting against sorting, and similarity statistics from sums against all pairs, side by side in one run.

python benchmarks/evaluation.py          # seconds
python benchmarks/evaluation.py --tvr    # 10,895 queries, 2,179 videos: the size of TVR's evaluation split
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from prvr.core.types import VideoTokens
from prvr.evaluation.collapse import (
    Similarity,
    cosine_matrix,
    query_sums,
    released_video_similarity,
    similarity,
    spearman,
    token_sums,
)
from prvr.evaluation.metrics import ranks
from prvr.evaluation.scoring import score_tokens

T = TypeVar("T")


def sorted_ranks(scores: Tensor, truth: Tensor) -> Tensor:
    """Sort every row, then look for the right video."""
    return (scores.argsort(1, descending=True) == truth[:, None]).nonzero()[:, 1] + 1


def paired_queries(queries: Tensor, video: Tensor) -> Similarity:
    """All (Q, Q) cosines at once, then masks."""
    cosine = cosine_matrix(queries)
    off = ~torch.eye(len(queries), dtype=torch.bool)
    same = (video[:, None] == video[None, :]) & off
    number = same.sum(1)
    by_query = torch.where(same, cosine, 0.0).sum(1)[number > 0] / number[number > 0]
    size = (number[number > 0] + 1).double()  # every query of a video with n weighs 1 / n, so that videos count alike
    return Similarity(intra=float((by_query / size).sum() / size.reciprocal().sum()), total=float(cosine[off].mean()))


def paired_tokens(tokens: Tensor) -> Similarity:
    """All pairs of tokens as the published code goes through them: 400 by 400, and each video with itself."""
    unit = functional.normalize(tokens, dim=-1)
    number = tokens.shape[1]
    within = torch.stack([video @ video.T for video in unit])
    intra = (float(within.double().sum()) - len(unit) * number) / (len(unit) * number * (number - 1))
    pieces = unit[:, :32].flatten(0, 1).split(400)  # type: ignore[no-untyped-call]
    total, pairs = 0.0, 0
    for i, left in enumerate(pieces):
        for right in pieces[i + 1 :]:
            total += float((left @ right.T).sum())
            pairs += len(left) * len(right)
    return Similarity(intra=intra, total=total / pairs)


def timed(work: Callable[[], T], *, repeat: int) -> tuple[T, float]:
    """The result and the best of `repeat` times, in seconds."""
    best = float("inf")
    for _ in range(repeat):
        began = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - began)
    return result, best


def show(name: str, fast: float, slow: float, apart: float) -> None:
    """One line of the table."""
    print(
        f"{name:<34} {fast * 1e3:10.1f} ms {slow * 1e3:10.1f} ms {slow / fast:8.1f} x   largest difference {apart:.1e}"
    )


def apart(one: Similarity | None, other: Similarity) -> float:
    """The larger of both differences."""
    assert one is not None
    return max(abs(one.intra - other.intra), abs(one.total - other.total))


def main() -> None:
    """Everything, once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tvr", action="store_true", help="10,895 queries and 2,179 videos")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--videos", type=int, default=400)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    if given.tvr:
        given.queries, given.videos = 10_895, 2_179
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    print(f"{given.queries} queries, {given.videos} videos, width {given.width}, {given.threads} thread(s)")
    print(f"{'':<34} {'ours':>13} {'twin':>13}")
    queries = torch.randn(given.queries, given.width)
    video = torch.randint(0, given.videos, (given.queries,))
    tokens = torch.randn(given.videos, 128, given.width) + torch.randn(given.videos, 1, given.width)
    against_twins(queries, video, tokens, repeat=given.repeat)
    alone(queries, tokens, repeat=given.repeat)


def against_twins(queries: Tensor, video: Tensor, tokens: Tensor, *, repeat: int) -> None:
    """queries (Q, D), video (Q,), tokens (V, N, D): what has a twin that goes through all pairs."""
    scores = torch.randn(len(queries), len(tokens))
    fast, seconds = timed(lambda: ranks(scores, video), repeat=repeat)
    slow, slow_seconds = timed(lambda: sorted_ranks(scores, video), repeat=repeat)
    show("ranks: counting | sorting", seconds, slow_seconds, float((fast - slow).abs().max()))
    found, seconds = timed(lambda: similarity(query_sums(queries, video, len(tokens))), repeat=repeat)
    want, slow_seconds = timed(lambda: paired_queries(queries, video), repeat=1)
    show("similarity of queries", seconds, slow_seconds, apart(found, want))
    found, seconds = timed(lambda: released_video_similarity(tokens), repeat=repeat)
    want, slow_seconds = timed(lambda: paired_tokens(tokens), repeat=1)
    show("similarity of tokens, as published", seconds, slow_seconds, apart(found, want))


def alone(queries: Tensor, tokens: Tensor, *, repeat: int) -> None:
    """queries (Q, D), tokens (V, N, D): what has none."""
    _, seconds = timed(lambda: similarity(token_sums(tokens)), repeat=repeat)
    print(f"{'similarity of tokens, all pairs':<34} {seconds * 1e3:10.1f} ms")
    few = queries[:4000]
    _, seconds = timed(lambda: spearman(cosine_matrix(few), cosine_matrix(few + torch.randn_like(few))), repeat=1)
    print(f"{f'rank correlation, {len(few)} queries':<34} {seconds * 1e3:10.1f} ms")
    valid = torch.ones(tokens.shape[:2], dtype=torch.bool)
    library = VideoTokens(tokens, valid, tokens[:, :32], valid[:, :32])
    _, seconds = timed(lambda: score_tokens(queries[:500], [library]), repeat=1)
    print(f"{f'scoring, {len(queries[:500])} queries':<34} {seconds * 1e3:10.1f} ms")


if __name__ == "__main__":
    main()
