"""Evaluation of the compared systems at TVR's size, encode + score + ranks, and the memory that it takes.

python -m benchmarks.library                           # MS-SL, BGM-Net, DL-DKD, AMDNet: some ten minutes
python -m benchmarks.library --only mssl --queries 2000
python -m benchmarks.library --videos 200 --queries 1000 --whole    # beside all tokens and all products at once

2,179 videos and 10,895 queries, recipes of TVR on CLIP-L/14 with new weights. Features are random and made a batch at a
time while videos and queries pass by, 64 and 256 of them as in a run's evaluation; making and preparing them is not in
the CPU seconds, and no more than one batch is ever in memory. Each system has a process of its own: `growth` is its
peak of memory above that of the imports and the weights, `in all` the peak itself, Python and torch included.
`--whole` scores a second time with all tokens in memory and all products made at once, and prints how far apart the
scores are; at TVR's size the products of MS-SL alone would take 50 GB.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar, cast
from unittest.mock import patch

import torch
from torch import Tensor, nn

from benchmarks.training_step import apart, forget_peak, peak
from prvr.core.types import BranchScores, QueryBatch, RetrievalModel, VideoFeatures, Videos, VideoTokens
from prvr.evaluation.metrics import ranks
from prvr.evaluation.scoring import encode_queries, encode_videos, score_tokens
from prvr.methods.recipe import Recipe, load_recipe
from prvr.parts import proposals
from prvr.runs.measure import QUERIES, VIDEOS

SYSTEMS = (
    "mssl",
    "bgmnet",
    "dldkd",
    "amdnet",
    "gmmformer",
    "gmmformer_v2",
    "curvspec",
    "protoprvr_style",
    "arl_style",
    "msc",
)
EVERYTHING = 1 << 40  # products at a time

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is measured."""

    system: str = "mssl"
    videos: int = 2179
    queries: int = 10_895
    words: int = 24  # of every query
    frames: int = 128  # of every video's features
    threads: int = 1
    whole: bool = False


class Cost(NamedTuple):
    """Of one system."""

    encode: float  # CPU seconds, both towers
    score: float  # CPU seconds, ranks included
    growth: float  # bytes at the peak, above those before
    peak: float  # bytes
    apart: float  # the largest difference of two scores; nan: not compared


class Stopwatch:
    """CPU seconds between one item of an iterable and the next that its own making takes."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def watch(self, items: Iterable[T]) -> Iterator[T]:
        """The same items."""
        began, source = time.process_time(), iter(items)
        while True:
            item = next(source, None)
            self.seconds += time.process_time() - began
            if item is None:
                return
            yield item
            began = time.process_time()


def videos_of(recipe: Recipe, size: Size) -> Iterator[Videos]:
    """Random features as the recipe prepares them, a batch at a time, the same each time."""
    width, times = recipe.settings.model.video_width, torch.arange(size.frames) / 3
    for at in range(0, size.videos, VIDEOS):
        draw = torch.Generator().manual_seed(at)
        some = torch.randn(min(VIDEOS, size.videos - at), size.frames, width, generator=draw)
        yield recipe.prepared.make([VideoFeatures(x, times, size.frames / 3) for x in some])


def queries_of(recipe: Recipe, size: Size) -> Iterator[QueryBatch]:
    """Random words, a batch at a time."""
    for at in range(0, size.queries, QUERIES):
        draw = torch.Generator().manual_seed(-1 - at)
        number = min(QUERIES, size.queries - at)
        words = torch.randn(number, size.words, recipe.settings.model.text_width, generator=draw)
        words = nn.functional.normalize(words, dim=-1)
        valid = torch.ones(number, size.words, dtype=torch.bool)
        yield QueryBatch(words=words, valid=valid, sentence=words[:, 0])


def joined(videos: Iterable[VideoTokens]) -> VideoTokens:
    """All tokens at once."""
    return VideoTokens(*(torch.cat(parts) for parts in zip(*videos, strict=True)))


def everything(model: RetrievalModel, queries: Tensor, videos: Iterable[VideoTokens]) -> BranchScores:
    """All products of all queries with all tokens at once."""
    with patch.object(proposals, "_AT_A_TIME", EVERYTHING):
        return score_tokens(queries, [joined(videos)], model=model, products=EVERYTHING)


@torch.no_grad()
def measure(size: Size) -> Cost:
    """One system in this process."""
    torch.set_num_threads(size.threads)
    recipe = load_recipe(f"prvr.methods.{size.system}.runs:tvr")
    model = recipe.build().eval()
    fits = cast(RetrievalModel, model)
    for parameter in model.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    torch.ones(8, 8) @ torch.ones(8, 8)  # what the first product loads is not ours
    truth = torch.randint(0, size.videos, (size.queries,))
    made, encoded = Stopwatch(), Stopwatch()
    before, began = forget_peak(), time.process_time()
    queries = encode_queries(fits, made.watch(queries_of(recipe, size)))
    encoding = time.process_time() - began - made.seconds
    preparing = made.seconds
    videos = encoded.watch(encode_videos(fits, made.watch(videos_of(recipe, size))))
    scores = score_tokens(queries, videos, model=fits)
    found = ranks(scores.fused(fits.clip_weight), truth)
    spent, most = time.process_time() - began - made.seconds, peak()
    assert bool((found >= 1).all())
    encoding += encoded.seconds - (made.seconds - preparing)
    difference = float("nan")
    if size.whole:
        other = everything(fits, queries, encode_videos(fits, videos_of(recipe, size)))
        weight = fits.clip_weight
        difference = float((scores.fused(weight) - other.fused(weight)).abs().max())
    return Cost(encoding, spent - encoding, most - before, most, difference)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=SYSTEMS[:4], help="default: the first four")
    for name in ("videos", "queries", "words", "threads"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Size, name), help="default: %(default)s")
    parser.add_argument("--whole", action="store_true", help="score a second time, all at once; for small sizes")
    given = vars(parser.parse_args())
    systems = given.pop("only")
    run: Callable[[Size], Cost] = measure
    print(f"{given['videos']} videos, {given['queries']} queries, {given['threads']} thread(s)")
    print(f"{'':<16} {'encode CPU s':>13} {'score CPU s':>12} {'growth MB':>10} {'in all MB':>10} {'apart':>8}")
    for system in systems:
        cost = apart(run, Size(system=system, **given))
        memory = f"{cost.growth / 1e6:10.0f} {cost.peak / 1e6:10.0f}"
        print(f"{system:<16} {cost.encode:13.1f} {cost.score:12.1f} {memory} {cost.apart:8.0e}", flush=True)


if __name__ == "__main__":
    main()
