"""A library of 100,000 hours on paper: from measured rates to machines, hours and bytes, with a simulated queue.

    python -m benchmarks.scale_sim --table      # what docs/scale.md shows
    python -m benchmarks.scale_sim --tail       # what one file of ten hours does to the end, and what parts of it would
    python -m benchmarks.scale_sim --check      # two workers here, beside what the simulation says of them
    python -m benchmarks.scale_sim --measure    # the rates of decoding and encoding of this machine
    python -m benchmarks.scale_sim --lengths activitynet_captions/*.json    # the lengths of files that are simulated

Rates are of one thread, in seconds of the processor, so that other work on the machine changes them little.
"""

from __future__ import annotations

import argparse
import heapq
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import numpy as np
import torch

from benchmarks.decode import make
from benchmarks.encode import random_clip
from prvr.core.types import Encoder
from prvr.encoders.loading import load_encoder
from prvr.video.decode import sample_frames

HOURS = 100_000
MACHINES = (1, 10, 1_000)

PLACES = (*(share / 20 for share in range(20)), 0.99, 0.999, 1.0)
LENGTHS_S = (
    *(1.6, 18.0, 29.9, 39.6, 51.1, 61.1, 70.3, 80.6, 91.5, 102.9, 114.7),
    *(125.5, 136.8, 149.0, 161.1, 173.5, 185.3, 197.7, 211.1, 224.5, 236.9, 300.8, 755.1),
)
"""Seconds that these shares of the 14,926 YouTube videos of ActivityNet Captions are shorter than (--lengths)."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What was measured, and where that is written down; one thread, a frame a second."""

    decode: float = 7.0  # x realtime, H.264 of 1920 x 1080, 25 frames/s: --measure
    encode_s: float = 0.225  # a frame of that size, preparing it and ViT-B/32: --measure
    file_s: float = 0.05  # a file besides its frames: --check
    frame_bytes: int = 512 * 4  # of features, as the store keeps them
    video_bytes: int = 160 * 384 * (2 + 1)  # of a collection, fp16 and int8 (`--quantise int8`)
    memory_bytes: int = 160 * 384  # of that in memory
    scan_s: float = 16.4e-3 / 5_000 * 160 / 32  # a video and query: qdrant-edge took 16.4 ms for 32 vectors of 5,000


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What was assumed, not measured. Change it by hand, and the table follows."""

    cores: int = 32
    memory_bytes: float = 128e9
    network: float = 1.25e9  # bytes/s into one machine: 10 Gbit/s
    storage: float = 10e9  # bytes/s that what holds the videos sends, to all machines together
    video: float = 0.5e6  # bytes a second of video: 4 Mbit/s
    gpu: float = 0.3 * 312e12  # FLOP/s of a GPU in 16 bits that an encoder reaches
    frame_flop: float = 8.8e9  # of ViT-B/32


def lengths(hours: float, *, seed: int = 0) -> np.ndarray:
    """Lengths in seconds of files that are so many hours together, drawn from `LENGTHS_S`."""
    mean = float(np.trapezoid(LENGTHS_S, PLACES))
    drawn = np.random.default_rng(seed).random(round(hours * 3600 / mean))
    return np.interp(drawn, PLACES, LENGTHS_S)


def makespan(work_s: Iterable[float], workers: int) -> float:
    """Seconds until the last of so many workers is done, each taking the next file in line when it is free."""
    free = [0.0] * workers
    for seconds in work_s:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def work(files: np.ndarray, rates: Rates) -> np.ndarray:
    """Core seconds that reading each of these files takes, decoding and encoding on a processor."""
    return rates.file_s + files * (1 / rates.decode + rates.encode_s)


def table(rates: Rates, machine: Machine) -> list[list[str]]:
    """What 100,000 hours take on each number of machines, with what ends last marked."""
    seconds, files = HOURS * 3600.0, len(lengths(HOURS))
    decode, encode = seconds / rates.decode + files * rates.file_s, seconds * rates.encode_s
    gpu = seconds * machine.frame_flop / machine.gpu
    rows = [["", *(f"{count:,} machine{'s' if count > 1 else ''}" for count in MACHINES)]]

    def add(name: str, values: Sequence[str]) -> None:
        rows.append([name, *values])

    sent = [seconds * machine.video / min(count * machine.network, machine.storage) for count in MACHINES]
    decoded = [decode / (count * machine.cores) for count in MACHINES]
    encoded = [encode / (count * machine.cores) for count in MACHINES]
    on_gpu = [gpu / count for count in MACHINES]
    add("videos to the machines", [_time(one) for one in sent])
    add("decode, every core", [_time(one) for one in decoded])
    add("encode ViT-B/32, every core", [_time(one) for one in encoded])
    add("encode, one GPU a machine (assumed)", [_time(one) for one in on_gpu])
    for how, encoding in (("without GPUs", encoded), ("with GPUs", on_gpu)):
        # On processors decoding and encoding share the cores; a GPU and the network work beside them.
        parts = [
            {"network and storage": a, "processors": b + c} if how == "without GPUs" else
            {"network and storage": a, "decoding": b, "GPU": c}
            for a, b, c in zip(sent, decoded, encoding, strict=True)
        ]  # fmt: skip
        add(f"in all, {how}", [_time(max(one.values())) for one in parts])
        add(f"first bottleneck, {how}", [max(one, key=lambda name: one[name]) for one in parts])
    features, bank, memory = seconds * rates.frame_bytes, files * rates.video_bytes, files * rates.memory_bytes
    for name, number in (
        ("disk a machine: features", features),
        ("disk a machine: vectors, 2 replicas", 2 * bank),
        ("memory a machine: vectors, 2 replicas", 2 * memory),
    ):
        add(name, [_bytes(number / count) for count in MACHINES])
    add(
        "a query, one replica's every core",
        [_time(files * rates.scan_s / (count * machine.cores)) for count in MACHINES],
    )
    return rows


def totals(rates: Rates, machine: Machine) -> list[list[str]]:
    """What the library is and takes, however many machines there are."""
    seconds, files = HOURS * 3600.0, len(lengths(HOURS))
    return [
        ["100,000 hours", ""],
        ["files (mean length)", f"{files:,} ({seconds / files:.0f} s)"],
        ["frames, one a second", f"{seconds / 1e6:,.0f} million"],
        ["decoding", f"{(seconds / rates.decode + files * rates.file_s) / 3600:,.0f} core-hours"],
        ["encoding, ViT-B/32 on processors", f"{seconds * rates.encode_s / 3600:,.0f} core-hours"],
        ["encoding on GPUs (assumed)", f"{seconds * machine.frame_flop / machine.gpu / 3600:,.0f} GPU-hours"],
        ["videos, at 4 Mbit/s", _bytes(seconds * machine.video)],
        ["features", _bytes(seconds * rates.frame_bytes)],
        ["vectors on disk, a replica", _bytes(files * rates.video_bytes)],
        ["vectors in memory, a replica", _bytes(files * rates.memory_bytes)],
        ["a query, one core", f"{files * rates.scan_s:,.0f} s"],
    ]


TEN_HOURS_S = 36_000.0
PART_S = 600.0


def tail(rates: Rates, machine: Machine) -> list[list[str]]:
    """The simulated queue, with one file of ten hours in it at the worst place, at the best one, and in parts."""
    rows = [["", "as it is", "10 h file last", "10 h file first", "in parts of 10 min, last"]]
    files = work(lengths(HOURS), rates)
    long = float(work(np.array([TEN_HOURS_S]), rates)[0])
    parts = work(np.full(round(TEN_HOURS_S / PART_S), PART_S), rates)
    for count in MACHINES:
        workers = count * machine.cores
        queues = (files, [*files, long], [long, *files], [*files, *parts])
        rows.append(
            [f"{count:,} machine{'s' if count > 1 else ''}", *(_time(makespan(queue, workers)) for queue in queues)]
        )
    return rows


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """-> a table whose first row is its head."""
    head, *body = rows
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _time(seconds: float) -> str:
    for size, name in ((86_400.0, "days"), (3_600.0, "h"), (60.0, "min"), (1.0, "s")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {name}"
    return f"{1000 * seconds:,.1f} ms" if seconds < 2 else f"{seconds:,.1f} s"


def _bytes(number: float) -> str:
    for size, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if number >= size:
            return f"{number / size:,.1f} {name}"
    return f"{number / 1e3:,.1f} kB"


# What was measured


def read(path: Path, encoder: Encoder) -> float:
    """Frames of a file, decoded and encoded as extraction does it -> seconds of the processor."""
    began = time.process_time()
    with torch.no_grad():
        for batch in sample_frames(path, rate=1.0):
            encoder.encode_images(encoder.prepare(batch.frames))
    return time.process_time() - began


SECONDS = 10


def measure() -> None:
    """Print the rates of this machine."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for width, height in ((640, 360), (1920, 1080)):
            path = make(Path(folder) / f"{height}.mp4", seconds=SECONDS, width=width, height=height)
            took = []
            for _ in range(3):
                began = time.process_time()
                for _ in sample_frames(path, rate=1.0):
                    pass
                took.append(time.process_time() - began)
            print(f"decode {width} x {height}: {SECONDS / min(took):.0f} x realtime")
        random_clip(Path(folder) / "clip", "base")
        encoder = load_encoder(str(Path(folder) / "clip"), device="cpu")
        frames = torch.randint(0, 256, (8, 3, 1080, 1920), dtype=torch.uint8)
        took = []
        for _ in range(4):
            began = time.process_time()
            with torch.no_grad():
                encoder.encode_images(encoder.prepare(frames))
            took.append((time.process_time() - began) / len(frames))
        print(f"prepare and encode, ViT-B/32: {1e3 * min(took):.1f} ms a frame")


def _worker(line: SimpleQueue[tuple[str, float] | None], said: SimpleQueue[tuple[int, float, float]], at: int) -> None:
    """Reads files until there are no more; says (who, seconds of video, of the processor)."""
    torch.set_num_threads(1)
    encoder = load_encoder("world", device="cpu")
    said.put((at, 0.0, 0.0))
    while (job := line.get()) is not None:
        said.put((at, job[1], read(Path(job[0]), encoder)))


def run(files: Sequence[tuple[str, float]], workers: int) -> tuple[list[tuple[int, float, float]], float]:
    """What each file took, and seconds of the clock for all; the workers are there before it starts."""
    fresh = multiprocessing.get_context("spawn")
    line, said = fresh.SimpleQueue(), fresh.SimpleQueue()
    hired = [fresh.Process(target=_worker, args=(line, said, at), daemon=True) for at in range(workers)]
    for one in hired:
        one.start()
    for _ in hired:
        said.get()
    began = time.perf_counter()
    for job in (*files, *[None] * workers):
        line.put(job)
    found = [said.get() for _ in files]
    took = time.perf_counter() - began
    for one in hired:
        one.join()
    return found, took


def _film(folder: str, name: str, seconds: int) -> str:
    return str(make(Path(folder) / f"{name}.mp4", seconds=seconds, width=320, height=180))


def check(number: int = 12, turns: int = 7) -> float:
    """Print how long two workers of this machine take for some files, beside the simulation; -> measured / simulated.

    The simulation knows two numbers: the processor's seconds that a file takes and those that a second of video takes,
    fitted to what one worker takes for other files. Compared is when the last worker is done, in its processor's time.
    Of several turns the median counts: a processor that is shared with others changes its pace within seconds.
    """
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        seconds = [max(4, round(one / 4)) for one in lengths(1, seed=1)[:number]]
        films = [(_film(folder, f"{i}", long), float(long)) for i, long in enumerate(seconds)]
        known = [(_film(folder, f"known {long}", long), float(long)) for long in (4, 12, 24, 40)]
        for _ in range(turns):
            alone, _ = run(known * 2, 1)
            slope, file_s = np.polyfit([one[1] for one in alone], [one[2] for one in alone], 1)
            simulated = makespan([file_s + slope * s for _, s in films], 2)
            found, clock = run(films, 2)
            busy = max(sum(one[2] for one in found if one[0] == at) for at in range(2))
            ratios.append(busy / simulated)
            print(
                f"a file {1e3 * file_s:.1f} ms, {1 / slope:.0f} x realtime; two workers: {busy:.2f} s of the "
                f"processor, {clock:.2f} s of the clock; simulated {simulated:.2f} s; ratio {ratios[-1]:.2f}"
            )
    middle = float(np.median(ratios))
    print(f"{len(films)} files, {sum(seconds):.0f} s of video; measured / simulated {middle:.3f}")
    return middle


def quantiles(files: Sequence[Path]) -> None:
    """Print the lengths of annotated videos as `LENGTHS_S` has them."""
    found = {name: one["duration"] for file in files for name, one in json.loads(file.read_bytes()).items()}
    print(len(found), "videos:", np.quantile(list(found.values()), PLACES).round(1).tolist())


def main() -> None:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("table", "tail", "check", "measure"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--lengths", nargs="+", type=Path, metavar="FILE")
    args = parser.parse_args()
    rates, machine = Rates(), Machine()
    if args.table:
        print(f"{markdown(totals(rates, machine))}\n\n{markdown(table(rates, machine))}")
    if args.tail:
        print(markdown(tail(rates, machine)))
    if args.check:
        check()
    if args.measure:
        measure()
    if args.lengths:
        quantiles(args.lengths)


if __name__ == "__main__":
    main()
