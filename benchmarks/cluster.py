"""How much faster two workers of a Ray cluster read videos than one, each with one thread, in turns.

    .venv/bin/python -m benchmarks.cluster [--videos 40] [--turns 3]

Counted is from the first finished video to the last, so that no start of a worker is. Also said is the rate of two
threads of one process, which is what one machine does without Ray. The last line is the median ratio; a busy machine,
or one with fewer than two cores to spare, gives less than what two workers can do.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.decode import make
from prvr.cluster.reading import RayWorkers
from prvr.encoders.world import load_world_encoder
from prvr.features.extract import Progress, extract
from prvr.features.hands import ReadingThreads, Workplace


class Stopwatch:
    """Videos a second, from the first that was finished to the last."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def __call__(self, now: Progress) -> None:
        """Note when more were done."""
        if now.done and (not self._seen or now.done > self._seen[-1][1]):
            self._seen.append((time.perf_counter(), now.done))

    @property
    def rate(self) -> float:
        """Of those after the first."""
        (began, before), *_, (ended, after) = self._seen
        return (after - before) / (ended - began)


def rate(videos: Path, place: Workplace) -> float:
    """Videos a second at a place."""
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        done = extract([videos], load_world_encoder(), Path(folder) / "store", place=place, on_progress=watch)
    assert not done.failed
    return watch.rate


def main() -> None:
    """A turn is one worker, two workers, and two threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=40)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder) / "videos"
        videos.mkdir()
        first = make(videos / "0.mp4", seconds=30)
        for number in range(1, args.videos):
            os.link(first, videos / f"{number}.mp4")
        for turn in range(args.turns):
            load = os.getloadavg()[0]
            one, two = (rate(videos, RayWorkers(on="ray", load=load_world_encoder, workers=n)) for n in (1, 2))
            threads = rate(videos, ReadingThreads(2))
            ratios.append(two / one)
            print(
                f"turn {turn + 1}: one worker {one:.2f}, two workers {two:.2f}, two threads {threads:.2f} videos/s; "
                f"two workers to one {two / one:.2f} (load before: {load:.1f})"
            )
    print(f"two workers to one: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
