"""One epoch at the size of QVHighlights on the GPU at hand: 17 steps of MSC with all losses, optimiser and transfers.

python -m benchmarks.gpu_step                                # fp32, TF32 and bf16, each as it is and compiled
python -m benchmarks.gpu_step --precision bf16 --plain       # one of them

Target: at most 1.0 s an epoch on an H200-class card. Without a GPU one small step runs on the CPU, and nothing is
compared with the target.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from itertools import product
from statistics import median
from typing import get_args

import torch

from benchmarks.training_step import Size, make_batch
from prvr.core.method import Precision
from prvr.data.dataset import RetrievalSet
from prvr.data.sources import QueryTable
from prvr.methods.msc import runs as msc
from prvr.methods.msc.loss import MSCSettings, objective
from prvr.methods.msc.network import MSCConfig
from prvr.training.feeding import feed
from prvr.training.step import Step, make_step

TARGET_S = 1.0  # an epoch
QVHIGHLIGHTS = Size(videos=2176, queries=7225, words=20, hidden=384, video_width=2816, text_width=512)  # 17 batches
SMALL = Size(videos=8, queries=24, words=8, hidden=32, video_width=32, text_width=32)


@dataclass(frozen=True)
class Cost:
    """What an epoch takes."""

    seconds: float  # median over the epochs
    steps: int
    memory: float  # bytes on the device at the peak

    def line(self, precision: str, compiled: bool) -> str:
        """A row of the table."""
        each = 1e3 * self.seconds / self.steps
        how = "compiled" if compiled else "as it is"
        return f"{precision:>9} {how:>10} {each:10.1f} {self.seconds:10.2f} {self.memory / 2**30:10.2f}"


def make_set(size: Size, settings: MSCSettings) -> RetrievalSet:
    """Random features in host memory, as a training split holds them."""
    whole = make_batch(size, settings.model)
    return RetrievalSet(
        name="train",
        items=(),
        video_ids=tuple(map(str, range(size.videos))),
        videos=whole.videos,
        queries=QueryTable(
            words=whole.queries.words.flatten(0, 1),
            start=torch.arange(size.queries + 1) * size.words,
            sentence=whole.queries.sentence,
        ),
        video_of_query=whole.video_of_query,
        digest="random",
        content="",
    )


class Run:
    """A model under training."""

    def __init__(self, settings: MSCSettings, device: str, precision: Precision, compiled: bool) -> None:
        recipe = replace(msc.qvhighlights(), settings=settings)
        self.model = recipe.build().train().to(device)
        assert recipe.optimizer is not None
        self.optimizer = recipe.optimizer(settings, self.model, 17)
        self.step: Step = make_step(
            self.model, objective(settings), device=device, precision=precision, compiled=compiled
        )
        self.device = device

    def epoch(self, split: RetrievalSet, videos: int, number: int) -> int:
        """One pass, as the loop makes it -> how many steps."""
        steps = 0
        for steps, batch in enumerate(feed(split.batches(videos, seed=0, epoch=number), self.device), start=1):
            self.optimizer.zero_grad(set_to_none=True)
            self.step(batch, 20 + number, steps)  # with hard negatives
            self.optimizer.step()
        return steps


def on_gpu(split: RetrievalSet, settings: MSCSettings, precision: Precision, compiled: bool, epochs: int) -> Cost:
    """Medians over some epochs, after one that warms up and compiles."""
    run = Run(settings, "cuda", precision, compiled)
    steps = run.epoch(split, settings.batch_videos, 0)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for number in range(1, epochs + 1):
        start = time.perf_counter()
        run.epoch(split, settings.batch_videos, number)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return Cost(median(seconds), steps, torch.cuda.max_memory_allocated())


def on_cpu() -> None:
    """One small step in each precision, to show that everything runs."""
    model = MSCConfig(video_width=32, text_width=32, hidden=32, max_words=8)
    settings = replace(msc.qvhighlights().settings, model=model, batch_videos=SMALL.videos)
    split = make_set(SMALL, settings)
    print("No GPU at hand: nothing to compare with the target. One step of 8 videos on the CPU, in milliseconds:")
    for precision in get_args(Precision):
        run = Run(settings, "cpu", precision, compiled=False)
        start = time.process_time()
        run.epoch(split, settings.batch_videos, 0)
        print(f"{precision:>9} {1e3 * (time.process_time() - start):10.1f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=get_args(Precision), help="one alone")
    parser.add_argument("--plain", action="store_true", help="leave torch.compile out")
    parser.add_argument("--epochs", type=int, default=5, help="epochs that the median is of (default: %(default)s)")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        on_cpu()
        return
    settings = msc.qvhighlights().settings
    split = make_set(QVHIGHLIGHTS, settings)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; 2,176 videos, 7,225 queries in batches of 128")
    print("precision       form    ms/step    s/epoch   peak GiB")
    best = float("inf")
    for compiled, precision in product((False,) if given.plain else (False, True), get_args(Precision)):
        if given.precision in (None, precision):
            cost = on_gpu(split, settings, precision, compiled, given.epochs)
            best = min(best, cost.seconds)
            print(cost.line(precision, compiled), flush=True)
    verdict = "reached" if best <= TARGET_S else "missed"
    print(f"target: at most {TARGET_S:.1f} s an epoch on an H200-class card; the best is {best:.2f} s: {verdict}")


if __name__ == "__main__":
    main()
