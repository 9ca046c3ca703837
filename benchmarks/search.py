"""Time from a sentence to hits on an index, part by part, beside a loop over videos; ratios in one run.

.venv/bin/python benchmarks/search.py demo ["a red ball bounces"]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from prvr import SearchEngine
from prvr.index.exact import ExactIndex


def median_ms(work: Callable[[], object], times: int = 50) -> float:
    """The middle of many runs, milliseconds, after one that does not count."""
    work()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def main(root: Path, sentence: str) -> None:
    """Print a line a part."""
    engine = SearchEngine.open(root)
    index, every = engine.index, [video.bank for video in ExactIndex.open(root).videos()]
    query = engine.embed(sentence)
    weight = index.header.clip_weight

    def loop() -> list[float]:
        scores = []
        for bank in every:
            cosine = bank.tokens @ torch.nn.functional.normalize(query, dim=0)
            frame = cosine[: bank.num_frames].max()
            clip = cosine[bank.num_frames :].max() if weight else frame
            scores.append(float(weight * clip + (1 - weight) * frame))
        return scores

    tokens = sum(len(bank.tokens) for bank in every)
    print(f"{len(index)} videos, {tokens} vectors of {index.header.width}, {torch.get_num_threads()} threads")
    whole, embed = median_ms(lambda: engine.search(sentence)), median_ms(lambda: engine.embed(sentence))
    exact, slow = median_ms(lambda: index.search(query, k=5)), median_ms(loop)
    print(f"sentence to 5 hits with moments  {whole:8.2f} ms")
    print(f"  sentence to vector             {embed:8.2f} ms")
    print(f"  vector to candidates           {exact:8.2f} ms   a loop over videos {slow:.2f} ms, {slow / exact:.1f} x")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "a red ball bounces")
