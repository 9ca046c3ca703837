"""What preparing videos costs: in every epoch, as released, once, and from then on only the read.

python -m benchmarks.prepare             # 256 videos of 75 frames of 2816 (QVHighlights): a minute
python -m benchmarks.prepare --quick     # 16 videos

The released form, written by us: frames averaged to 128 positions, pairs of neighbours merged to 32 one by one, both
normalised, for every video whenever it is asked for. Ours does that once, and ω, levels and segments besides, which the
released form leaves to its loss; what comes out is kept in files that map, and a step reads its rows. Frozen features
lie in memory for both; the files are in the system's cache. CPU milliseconds a video, medians over batches of 128.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from prvr.core.types import VideoFeatures
from prvr.core.vectors import unit_rows
from prvr.data.prepared import prepared_videos
from prvr.methods.msc.network import METHOD
from prvr.methods.msc.prepare import PrepareConfig, prepare_videos
from tests.parts.slow import loop_average, loop_merge

BATCH = 128


def released(video: VideoFeatures, plan: PrepareConfig) -> tuple[Tensor, Tensor]:
    """Frames and clips of one video."""
    positions = loop_average(video.features, plan.frames)
    clips, size = positions, torch.ones(len(positions))
    for target in plan.schedule:
        clips, size, _ = loop_merge(clips, size, len(clips) - target)
    return unit_rows(positions), unit_rows(clips)


def per_video(work: Callable[[], object], count: int) -> float:
    """CPU milliseconds of each of `count` videos."""
    start = time.process_time()
    work()
    return 1e3 * (time.process_time() - start) / count


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=256, help="default: %(default)s")
    parser.add_argument("--frames", type=int, default=75, help="of a video; default: %(default)s")
    parser.add_argument("--width", type=int, default=2816, help="of the features; default: %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="16 videos")
    given = parser.parse_args()
    count = 16 if given.quick else given.videos
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    plan, times = PrepareConfig(), torch.arange(given.frames) * 2.0
    videos = [VideoFeatures(torch.randn(given.frames, given.width), times, 2.0 * given.frames) for _ in range(count)]
    names = [str(i) for i in range(count)]

    def read(name: str) -> VideoFeatures:
        return videos[int(name)]

    frames, clips = released(videos[0], plan)
    ours, prepared = prepare_videos(videos[:1], plan), METHOD.prepared(plan)
    apart = max(float((ours.frames[0] - frames).abs().max()), float((ours.clips[0] - clips).abs().max()))
    slow = [per_video(partial(released, video, plan), 1) for video in videos[: min(count, 64)]]
    with tempfile.TemporaryDirectory() as folder:
        once = per_video(lambda: prepared_videos(Path(folder) / "videos", names, read, prepared), count)
        mapped = prepared_videos(Path(folder) / "videos", names, read, prepared)
        batches = torch.split(torch.randperm(count), min(BATCH, count)) * 3
        reads = [per_video(partial(mapped.take, rows), len(rows)) for rows in batches]
    each = median(slow)
    print(f"{count} videos of {given.frames} frames of {given.width}, {given.threads} threads; CPU ms a video")
    print(f"released, every epoch  {each:8.3f}")
    print(f"ours, once             {once:8.3f}  with ω, level, segments, and the files written")
    print(f"ours, every epoch      {median(reads):8.3f}  the read; results {apart:.0e} apart")
    print(f"released / read        {each / median(reads):8.1f} x")
    print(f"100 epochs             {100 * each / (once + 100 * median(reads)):8.1f} x")


if __name__ == "__main__":
    main()
