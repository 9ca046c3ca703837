"""A large library of small files: links of a few clips, read once, and read again when nothing has changed."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from prvr.data.world import generate_world
from prvr.encoders.world import load_world_encoder
from prvr.search.indexing import build_index


def many(folder: Path, files: int) -> Iterator[str]:
    """-> a row of the table for the first run, and one for the unchanged one."""
    generate_world(folder / "world", size="tiny", seed=0, workers=1)
    clips = sorted((folder / "world" / "videos").glob("*.webm"))
    videos = folder / "videos"
    for n in range(files):
        place = videos / f"{n // 1000:03}" / f"{n:06}.webm"
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(clips[n % len(clips)], place)
    encoder = load_world_encoder()
    for what in ("first run", "unchanged run"):
        wall, cpu = time.monotonic(), time.process_time()
        done = build_index([videos], folder / "index", encoder)
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        yield (
            f"| {files:,} files: {what} | {wall:.1f} s, {cpu:.1f} s of processor here, {files / wall:.0f} files/s | "
            f"{len(done.extraction.made)} read, {memory:.0f} MB at most |"
        )
