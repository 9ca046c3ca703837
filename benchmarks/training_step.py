"""One training step of MSC, forward and backward: the network and the losses, and the same with a loop over blocks.

python -m benchmarks.training_step                    # 32 videos, D = 96, one thread: seconds
python -m benchmarks.training_step --grid             # D = 64, 96, 128, with 2 and 4 heads, one and two threads
python -m benchmarks.training_step --qvhighlights     # 128 videos, 425 queries, D = 384: the published size, minutes

Each measurement has a process of its own, so that its peak of memory is its own; CPU time is that of all its threads.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from statistics import median
from typing import NamedTuple

import torch
import torch.nn.functional as F
from tests.nn.slow import LoopMixture
from torch import Tensor

from prvr.core.types import Batch, Outputs, QueryBatch, VideoBatch, VideoTokens
from prvr.models.msc import MSC, MSCConfig
from prvr.models.msc_official import to_official
from prvr.nn.scoring import cosine_scores, dot_scores
from prvr.recipes import msc


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is measured."""

    videos: int = 32
    queries: int = 128
    words: int = 12
    hidden: int = 96
    heads: int = 4
    video_width: int = 128
    text_width: int = 128
    dropout: float = 0.2
    threads: int = 1
    repeats: int = 5
    loop: bool = False  # the mixture blocks as a loop over eight blocks


class Cost(NamedTuple):
    """Medians over the repeats."""

    network: float  # CPU seconds, forward and backward
    losses: float  # CPU seconds, forward and backward
    wall: float  # seconds of both
    memory: float  # bytes at the peak, above what was there before the first step


def make_batch(size: Size, config: MSCConfig) -> Batch:
    """Random features; segments of four clips."""
    v, t, c = size.videos, config.frames, config.clips
    words = F.normalize(torch.randn(size.queries, size.words, size.text_width), dim=-1)
    return Batch(
        videos=VideoBatch(
            frames=F.normalize(torch.randn(v, t, size.video_width), dim=-1),
            frame_valid=torch.ones(v, t, dtype=torch.bool),
            clips=F.normalize(torch.randn(v, c, size.video_width), dim=-1),
            clip_size=torch.full((v, c), t / c),
            slot=(torch.arange(t) * c // t).repeat(v, 1),
            segment=(torch.arange(c) // 4).repeat(v, 1),
            frame_spans=torch.zeros(v, t, 2),
        ),
        queries=QueryBatch(words=words, valid=torch.ones(words.shape[:2], dtype=torch.bool), sentence=words[:, -1]),
        video_of_query=torch.arange(size.queries) % v,
    )


def make_model(size: Size) -> MSC:
    """The network, with its mixture blocks exchanged for loops where asked."""
    config = MSCConfig(
        video_width=size.video_width,
        text_width=size.text_width,
        hidden=size.hidden,
        heads=size.heads,
        input_dropout=size.dropout,
        dropout=size.dropout,
    )
    model = MSC(config)
    if size.loop:
        weights = to_official(model.state_dict())
        for name, prefix, length in (
            ("frame_mixture", "frame_encoder_1.", config.frames),
            ("clip_mixture", "clip_encoder.", config.clips),
        ):
            tables = list(model.get_submodule(name).get_buffer("tables"))
            twin = LoopMixture(size.hidden, size.heads, length, tables, config.sft_factor, size.dropout)
            twin.load_state_dict({k.removeprefix(prefix): w for k, w in weights.items() if k.startswith(prefix)})
            model.set_submodule(name, twin)
    return model


def losses(outputs: Outputs, batch: Batch) -> Tensor:
    """All terms with hard negatives, weighted as published."""
    model = MSCConfig(video_width=batch.videos.frames.shape[2], text_width=batch.queries.words.shape[2])
    settings = msc.MSCSettings(model=model)
    total, _ = msc.objective(settings)(outputs, batch, settings.loss.hard_from_epoch)
    return total


def step(model: MSC, batch: Batch) -> tuple[float, float]:
    """One step -> CPU seconds of the network and of scores and losses."""
    model.zero_grad()
    start = time.process_time()
    query, video = model.encode_queries(batch.queries), model.encode_videos(batch.videos)
    encoded = [query, video.frames, video.clips, model.alignment(video.frames), model.alignment(video.clips)]
    leaves = [x.detach().requires_grad_() for x in encoded]
    forward = time.process_time() - start
    start = time.process_time()
    tokens = VideoTokens(leaves[1], video.frame_valid, leaves[2], video.clip_valid)
    scores = cosine_scores(leaves[0], tokens), dot_scores(leaves[0], tokens)
    torch.autograd.backward(losses(Outputs(leaves[0], tokens, *scores, leaves[3], leaves[4]), batch))
    middle = time.process_time() - start
    start = time.process_time()
    torch.autograd.backward(encoded, [leaf.grad for leaf in leaves])
    return forward + time.process_time() - start, middle


def measure(size: Size) -> Cost:
    """Medians of one process; the first step is a warm-up."""
    torch.set_num_threads(size.threads)
    torch.manual_seed(0)
    model = make_model(size).train()
    batch = make_batch(size, model.config)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step(model, batch)
    parts, walls = [], []
    for _ in range(size.repeats):
        start = time.perf_counter()
        parts.append(step(model, batch))
        walls.append(time.perf_counter() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return Cost(median(a for a, _ in parts), median(b for _, b in parts), median(walls), memory * 1024.0)


def apart(function: Callable[[Size], Cost], size: Size) -> Cost:
    """The same in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, size).result()


def report(size: Size, cost: Cost) -> str:
    """One line of the table."""
    per_video = [1e3 * seconds / size.videos for seconds in (cost.network, cost.losses, cost.wall)]
    return (
        f"{size.hidden:4} {size.heads:6} {size.threads:8} {'loop' if size.loop else 'stacked':>8} "
        f"{per_video[0]:12.2f} {per_video[1]:11.2f} {per_video[2]:10.2f} {cost.memory / 1e6:10.0f}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("videos", "queries", "words", "hidden", "heads", "video_width", "text_width", "threads", "repeats"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(Size(), name))
    parser.add_argument("--dropout", type=float, default=Size().dropout)
    parser.add_argument("--grid", action="store_true", help="all of D = 64, 96, 128 x 2, 4 heads x 1, 2 threads")
    parser.add_argument("--qvhighlights", action="store_true", help="the published size on QVHighlights")
    given = vars(parser.parse_args())
    grid, published = given.pop("grid"), given.pop("qvhighlights")
    base = Size(**given)
    if published:
        base = replace(base, videos=128, queries=425, words=20, hidden=384, video_width=2816, text_width=512)
    print(f"{base.videos} videos, {base.queries} queries, dropout {base.dropout}; milliseconds per video")
    print("   D  heads  threads     form  network CPU  losses CPU  both wall   peak MB")
    sizes = [base]
    if grid:
        options = product((64, 96, 128), (2, 4), (1, 2))
        sizes = [replace(base, hidden=d, heads=heads, threads=threads) for d, heads, threads in options]
    for size in sizes:
        stacked = apart(measure, size)
        print(report(size, stacked))
        if not grid:
            loop = apart(measure, replace(size, loop=True))
            print(report(replace(size, loop=True), loop))
            ratios = loop.network / stacked.network, loop.memory / stacked.memory
            print(f"loop / stacked: network CPU {ratios[0]:.2f}, memory {ratios[1]:.2f}")


if __name__ == "__main__":
    main()
