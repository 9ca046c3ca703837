"""A large library of small files: links of a few clips, read once, read again when nothing has changed, and served."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.serve import Client, at
from benchmarks.torture.served import served
from prvr.data.world import generate_world
from prvr.encoders.world import load_world_encoder
from prvr.search.indexing import build_index
from prvr.video.cut import cut

CLIP_S = 2.0
ASKED = 50  # times, of each of the page's requests
PAGE = (
    "/v1/search?q=a+red+circle",
    "/v1/videos?limit=50",
    "/v1/videos?limit=50&path=0199",
    "/v1/folders",
    "/v1/libraries",
)


def many(folder: Path, files: int) -> Iterator[str]:
    """-> a row of the table for the first run, one for the unchanged one, and one for the page's requests."""
    generate_world(folder / "world", size="tiny", seed=0, workers=1)
    clips = []
    for n, film in enumerate(sorted((folder / "world" / "videos").glob("*.webm"))):
        clips.append(folder / f"{n}.mp4")
        cut(film, CLIP_S, 2 * CLIP_S, clips[-1])
    videos = folder / "videos"
    for n in range(files):
        place = videos / f"{n // 1000:03}" / f"{n:06}.mp4"
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
    with served(folder / "index") as (port, _):
        for path, took in asyncio.run(_asked(port)).items():
            yield f"| {files:,} files: `{path}` | p50 {at(took, 0.5):.0f} ms, at most {at(took, 1.0):.0f} | |"


async def _asked(port: int) -> dict[str, list[float]]:
    """What the page asks, one after the other -> seconds of every answer."""
    client, took = Client(port), dict[str, list[float]]()
    for path in PAGE:
        await client.ask(path)
        took[path] = []
        for _ in range(ASKED):
            began = time.perf_counter()
            status, _ = await client.ask(path)
            assert status == 200, (path, status)
            took[path].append(time.perf_counter() - began)
    client.close()
    return took
