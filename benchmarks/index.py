"""The index by its figures: latency warm and cold, recall, build time, bytes.

.venv/bin/python benchmarks/index.py --videos 1000 5000 [--folder DIR] [--queries 200]
.venv/bin/python benchmarks/index.py --loss 5000        what int8 and merged frames cost
.venv/bin/python benchmarks/index.py --crossover        exact scan against neighbours on small libraries

Vectors are synthetic: 1,000 topics of uneven size, each video 3 to 8 segments, 128 frames and 32 clips of 384 numbers
with an effective dimension near 40; queries are text-like: near a segment, with an offset and noise of their own.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from prvr.core.facts import Facts
from prvr.core.types import Bank, EncoderSpec
from prvr.index import view
from prvr.index.base import IndexHeader
from prvr.index.embedded import EmbeddedIndex
from prvr.index.segments import VectorForm

WIDTH, FRAMES, CLIPS = 384, 128, 32
TOPICS, CHUNK = 1000, 100
NOISE = 2.2  # of a query beside its segment; makes R@1 of 50,000 videos about a quarter
SECONDS = 180.0  # a video
SPEC = EncoderSpec(
    name="made",
    revision="0" * 12,
    width=WIDTH,
    image_size=(8, 8),
    mean=(0, 0, 0),
    std=(1, 1, 1),
    crop=False,
    token_limit=77,
)


def header(width: int = WIDTH) -> IndexHeader:
    """Of the score that the index is made for."""
    return IndexHeader(encoder=SPEC, model="made", width=width, clip_weight=0.4)


Times = list[tuple[float, float]]


class World(NamedTuple):
    """What all videos have in common."""

    spectrum: Tensor  # (D,) how much each direction varies
    turn: Tensor  # (D, D) so that no axis is special
    topics: Tensor  # (TOPICS, D)
    offset: Tensor  # (2, D) of pictures and of texts


def world() -> World:
    """Always the same one."""
    torch.manual_seed(0)
    spectrum = torch.arange(1, WIDTH + 1).float().pow(-0.55)
    turn = torch.linalg.qr(torch.randn(WIDTH, WIDTH))[0]
    return World(spectrum / spectrum.norm(), turn, torch.randn(TOPICS, WIDTH), torch.randn(2, WIDTH) / WIDTH**0.5)


def chunk_of(made: World, number: int) -> tuple[Tensor, Tensor]:
    """CHUNK videos -> tokens (CHUNK, 160, D) and queries (CHUNK, D), one for a segment of each."""
    torch.manual_seed(number + 1)
    rank = (torch.rand(CHUNK) * np.log(TOPICS)).exp().long().clamp(max=TOPICS - 1)  # as 1/rank: few topics hold many
    videos = made.topics[rank] + 0.8 * torch.randn(CHUNK, WIDTH)
    segments = videos[:, None] + 0.8 * torch.randn(CHUNK, 8, WIDTH)
    count = torch.randint(3, 9, (CHUNK, 1))
    own = (torch.arange(FRAMES) * count // FRAMES)[..., None].expand(
        -1, -1, WIDTH
    )  # (CHUNK, 128, D) segment of a frame
    frames = segments.gather(1, own) + 0.7 * torch.randn(CHUNK, FRAMES, WIDTH)
    clips = frames.view(CHUNK, CLIPS, FRAMES // CLIPS, WIDTH).mean(2)
    tokens = _placed(made, torch.cat([frames, clips], 1), 0)
    asked = segments[torch.arange(CHUNK), torch.randint(0, 3, (CHUNK,))]
    return tokens, _placed(made, asked + NOISE * torch.randn(CHUNK, WIDTH), 1)


def _placed(made: World, values: Tensor, side: int) -> Tensor:
    return torch.nn.functional.normalize((values * made.spectrum) @ made.turn + 1.2 * made.offset[side], dim=-1)


def banks(made: World, count: int) -> Iterator[tuple[str, Bank]]:
    """The first so many videos."""
    times = torch.linspace(0, SECONDS, FRAMES + 1)
    spans = torch.stack([times[:-1], times[1:]], 1)
    spans = torch.cat([spans, spans.view(CLIPS, -1, 2)[:, [0, -1], [0, 1]]])
    for number in range(-(-count // CHUNK)):
        tokens, _ = chunk_of(made, number)
        for v in range(min(CHUNK, count - number * CHUNK)):
            yield f"{number * CHUNK + v:07}", Bank(tokens[v], spans, FRAMES)


def queries(made: World, count: int, videos: int) -> tuple[Tensor, list[str]]:
    """(Q, D), and the video each is about, spread over the library."""
    picked = np.linspace(0, videos - 1, count).astype(int)
    asked = [chunk_of(made, int(v) // CHUNK)[1][int(v) % CHUNK] for v in picked]
    return torch.stack(asked), [f"{v:07}" for v in picked]


def build(folder: Path, made: World, count: int, *, form: VectorForm | None = None) -> tuple[EmbeddedIndex, str]:
    """An index of so many videos; -> it, and what building took beside making the vectors."""
    index = EmbeddedIndex.create(folder, header(), form=form)
    known, adding, processor = index.versions, 0.0, 0.0
    for video_id, bank in banks(made, count):
        if video_id not in known:
            wall, cpu = time.perf_counter(), time.process_time()
            index.add(video_id, bank, facts=Facts(path=f"{video_id}.mp4", duration_s=SECONDS))
            adding, processor = adding + time.perf_counter() - wall, processor + time.process_time() - cpu
    wall, cpu = time.perf_counter(), time.process_time()
    index.save(folder)
    saving = f"saved in {time.perf_counter() - wall:.1f} s ({time.process_time() - cpu:.1f} s of processor)"
    return index, f"added in {adding:.1f} s ({processor:.1f}), {saving}"


def bandwidth() -> float:
    """Bytes a second that this process reads from memory now."""
    buffer = torch.ones(1 << 28, dtype=torch.float16)
    vector = torch.ones(1 << 10, dtype=torch.float16)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        torch.mv(buffer.view(-1, 1 << 10), vector)
        times.append(time.perf_counter() - began)
    return buffer.nbytes / min(times)


def drop_cache(index: EmbeddedIndex) -> None:
    """As after a restart: no vector of the index is in memory. What searches need of the catalogue stays."""
    index._segments._maps.clear()
    index._look().touched[:] = -np.inf
    gc.collect()
    for path in (index.folder / "segments").iterdir():
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def timed(index: EmbeddedIndex, asked: Tensor, *, cold: bool = False) -> tuple[Times, list[list[str]]]:
    """Milliseconds of each search for ten videos, by the clock and of processors, and what was found."""
    times, found = [], []
    for query in asked[: 1 if cold else 20]:
        index.search(query, k=10)
    for query in asked:
        if cold:
            drop_cache(index)
        wall, cpu = time.perf_counter(), time.process_time()
        hits = index.search(query, k=10)
        times.append(((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000))
        found.append([hit.video_id for hit in hits])
    return times, found


def overlap(found: Sequence[Sequence[str]], truth: Sequence[Sequence[str]]) -> float:
    """recall@10 of final rankings against exact ones."""
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, truth, strict=True)]))


def ranks(index: EmbeddedIndex, asked: Tensor, targets: Sequence[str]) -> tuple[list[list[str]], str]:
    """The exact ten best of each query, and how well the targets are found."""
    ids, scores = index.score_all(asked)
    best = [[ids[v] for v in row] for row in scores.topk(10).indices.tolist()]
    own = torch.tensor([ids.index(target) for target in targets])
    rank = (scores >= scores.gather(1, own[:, None])).sum(1)
    recall = [100 * float((rank <= k).float().mean()) for k in (1, 5, 10, 100)]
    return best, "R@1/5/10/100 " + "/".join(f"{one:.1f}" for one in recall) + f", SumR {sum(recall):.1f}"


def line(name: str, times: Times, bound: float, recall: float) -> None:
    """One row of figures."""
    (middle, cpu), (high, _) = np.percentile(times, [50, 95], axis=0)
    rest = f"processor {cpu:8.2f}  bound {bound:7.2f} ms  recall@10 {recall:.4f}"
    print(f"  {name:<24} p50 {middle:8.2f}  p95 {high:8.2f}  {rest}")


def measure(folder: Path, made: World, count: int, asked: int) -> None:
    """All figures of a library of one size."""
    index, took = build(folder, made, count)
    directions, targets = queries(made, asked, count)
    truth, quality = ranks(index, directions, targets)
    speed = bandwidth()
    row = 2 * WIDTH
    scan = count * (FRAMES + CLIPS) * row / speed * 1000
    codes = (
        (count * CLIPS * WIDTH / 4 + min(view.SHORTLIST[0] + count // 500, view.SHORTLIST[1]) * (FRAMES + CLIPS) * row)
        / speed
        * 1000
    )
    print(f"{count:,} videos, {torch.get_num_threads()} threads, memory is read at {speed / 1e9:.1f} GB/s")
    hours = count * SECONDS / 3600
    print(f"  {took}")
    print(f"  {index.num_bytes / count:,.0f} bytes a video, {index.num_bytes / hours / 1e6:.2f} MB an hour of video")
    print(f"  {quality}")
    near, everything = view.EXACT, count + 1
    if count > near:
        warm = _pair(index, directions, truth, codes)
        line("neighbours, warm", *warm)
        extrapolate(index, count, speed, float(np.median(warm[0], axis=0)[0]))
        line("neighbours, cold vectors", *_pair(index, directions[:40], truth, codes, cold=True))
    view.EXACT = everything
    index._view = None
    line("every vector, warm", *_pair(index, directions[:40], truth, scan))
    view.EXACT = near
    index.close()
    began = time.perf_counter()
    with EmbeddedIndex.open(folder) as again:
        opened = time.perf_counter()
        again.search(directions[0], k=10)
        print(
            f"  opens in {(opened - began) * 1000:.1f} ms; its first search takes {time.perf_counter() - opened:.3f} s"
        )


def extrapolate(index: EmbeddedIndex, count: int, speed: float, near_ms: float) -> None:
    """What a million videos would take, from the bytes of one and the speed of memory."""
    many, codes = 1_000_000, CLIPS * WIDTH / 4
    every = many * (FRAMES + CLIPS) * 2 * WIDTH
    print(
        f"  1,000,000 videos, EXTRAPOLATED, not measured: {many * index.num_bytes / count / 1e9:.0f} GB on disk, "
        f"{many * CLIPS * (WIDTH / 4 + 8) / 1e9:.1f} GB of neighbours in memory; a quarter of their lists read in "
        f"{many * codes / 4 / speed * 1000:.0f} ms + the rest of a search in {near_ms:.0f} ms or less; every vector in "
        f"{every / speed:.0f} s if it lay in memory"
    )


def _pair(
    index: EmbeddedIndex, asked: Tensor, truth: Sequence[Sequence[str]], bound: float, *, cold: bool = False
) -> tuple[Times, float, float]:
    times, found = timed(index, asked, cold=cold)
    return times, bound, overlap(found, truth[: len(found)])


def loss(folder: Path, made: World, count: int, asked: int) -> None:
    """What keeping vectors in fewer bytes costs."""
    directions, targets = queries(made, asked, count)
    truth: list[list[str]] = []
    forms = {"fp32": VectorForm(tokens="fp32"), "fp16": VectorForm(), "int8": VectorForm(tokens="int8")}
    forms |= {f"fp16, alike {alike}": VectorForm(alike=alike) for alike in (0.9, 0.8, 0.7)}
    for name, form in forms.items():
        index, _ = build(folder / name, made, count, form=form)
        best, quality = ranks(index, directions, targets)
        truth = truth or best
        recall = f"recall@10 {overlap(best, truth):.4f}"
        print(f"  {name:<16} {index.num_bytes / count:9,.0f} bytes a video  {recall}  {quality}")
        index.close()
        shutil.rmtree(folder / name)


def crossover(folder: Path, made: World) -> None:
    """From which size on neighbours are faster than comparing with every vector."""
    view.EXACT = 50
    for count in (100, 200, 300, 400, 500, 700, 1000, 2000):
        view.EXACT = 50
        index, _ = build(folder, made, count)
        directions, _ = queries(made, 50, count)
        near, _ = timed(index, directions)
        view.EXACT, index._view = count, None
        every, _ = timed(index, directions)
        near_ms, every_ms = (np.median(times, axis=0)[1] for times in (near, every))
        print(f"{count:6} videos: neighbours {near_ms:6.2f} ms of processor, every vector {every_ms:6.2f} ms")
        index.close()


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, nargs="*", default=[])
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where the index of each size is kept for the next run")
    parser.add_argument("--threads", type=int, default=0, help="0: as torch chooses")
    parser.add_argument("--loss", type=int, metavar="VIDEOS")
    parser.add_argument("--crossover", action="store_true")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        made = world()
        for count in args.videos:
            measure(folder / str(count), made, count, min(args.queries, count))
        if args.loss:
            loss(folder, made, args.loss, args.queries)
        if args.crossover:
            crossover(folder / "crossover", made)


if __name__ == "__main__":
    main()
