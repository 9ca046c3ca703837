"""One training step of MSC, forward and backward, beside the released form of it written by us as its slow twin.

python -m benchmarks.training_step                    # 32 videos, D = 96: seconds
python -m benchmarks.training_step --qvhighlights     # 128 videos, 425 queries, D = 384: the published size, minutes
python -m benchmarks.training_step --quick            # 8 videos, once

The released form (`tests.parts.slow`): eight separate blocks one after the other, their Gaussian tables built in every
forward, dropout by `torch.nn.Dropout`, (V, N, D, 8) copies of their outputs, all triples of queries in memory, and a
loop over videos that merges clips anew in every step. At the published size it needs 15 to 17 GB: with less at hand its
network runs on a quarter of the batch and counts four times, and the table says so. Each form has a process of its own,
so that its peak of memory is its own; CPU seconds are those of all threads; medians.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.types import Batch, Made, QueryBatch, VideoTokens
from prvr.kernels.switch import without_kernels
from prvr.methods.msc import loss as msc
from prvr.methods.msc.merging import segment_clips
from prvr.methods.msc.network import MSC, Aligned, MSCConfig
from prvr.methods.msc.official import OFFICIAL
from prvr.methods.msc.prepare import MSCVideos, PrepareConfig
from prvr.methods.msc.tcpl import tcpl_angle
from prvr.parts.objective import Objective
from tests.parts.slow import LoopNetwork, loop_cbva

# checkpoint: ours, activations made again in the backward pass; readable: ours without kernels
FORMS = ("released", "ours", "checkpoint", "readable")
ROOM = 18e9  # bytes that the released form should find free at the published size

S = TypeVar("S")
R = TypeVar("R")


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
    threads: int = 2
    repeats: int = 5
    form: str = "ours"
    share: int = 1  # the network reads one of so many videos and queries, and counts so many times


QVHIGHLIGHTS = Size(videos=128, queries=425, words=20, hidden=384, video_width=2816, text_width=512, repeats=3)
QUICK = Size(videos=8, queries=27, hidden=64, repeats=1)


class Cost(NamedTuple):
    """Medians over the repeats."""

    network: float  # CPU seconds, forward and backward
    losses: float  # CPU seconds, forward and backward, scores included
    wall: float  # seconds of both
    memory: float  # bytes at the peak, above what was there before the first step

    @property
    def step(self) -> float:
        """CPU seconds of all."""
        return self.network + self.losses

    def over(self, other: Cost) -> str:
        """How many times as much as another."""
        parts = {name: getattr(self, name) / getattr(other, name) for name in ("network", "losses", "step", "memory")}
        return ", ".join(f"{name} {ratio:.2f}" for name, ratio in parts.items())


def make_config(size: Size) -> MSCConfig:
    """The network's settings."""
    return MSCConfig(
        video_width=size.video_width,
        text_width=size.text_width,
        hidden=size.hidden,
        heads=size.heads,
        input_dropout=size.dropout,
        dropout=size.dropout,
    )


def make_batch(size: Size, config: MSCConfig) -> Batch[MSCVideos]:
    """Random features; clips so alike that the videos fall into all levels in turn."""
    v, t, c, plan = size.videos, config.frames, config.clips, PrepareConfig()
    level = torch.arange(v) % len(plan.levels)
    groups = torch.randn(v, c, size.video_width)
    for k in range(1, len(plan.levels)):  # one chain of alike clips, so long that ω lies between k/K and (k+1)/K
        chain = round(c * ((k + 0.5) / len(plan.levels)) ** 0.5)
        groups[level == k, :chain] = 0.2 * groups[level == k, :chain] + groups[level == k, :1]
    clips, clip_size = F.normalize(groups, dim=-1), torch.full((v, c), t / c)
    words = F.normalize(torch.randn(size.queries, size.words, size.text_width), dim=-1)
    return Batch(
        videos=MSCVideos(
            frames=F.normalize(torch.randn(v, t, size.video_width), dim=-1),
            frame_valid=torch.ones(v, t, dtype=torch.bool),
            clips=clips,
            clip_size=clip_size,
            slot=(torch.arange(t) * c // t).repeat(v, 1),
            segment=segment_clips(clips, clip_size, torch.tensor(plan.levels)[level], plan.levels),
            frame_spans=torch.zeros(v, t, 2),
        ),
        queries=QueryBatch(words=words, valid=torch.ones(words.shape[:2], dtype=torch.bool), sentence=words[:, -1]),
        video_of_query=torch.arange(size.queries) % v,
    )


def make_network(form: str, config: MSCConfig) -> MSC | LoopNetwork:
    """In training, with the weights of a new network."""
    model = MSC(config).train()
    if form == "released":
        return model_as_released(model)
    for mixture in (model.frame_mixture, model.clip_mixture):
        mixture.checkpoint = form == "checkpoint"
    return model


def model_as_released(model: MSC) -> LoopNetwork:
    """The slow twin with the same weights, in the same mode."""
    twin = LoopNetwork(model.config).train(model.training)
    twin.load_state_dict(OFFICIAL.write(model.state_dict()))
    return twin


def make_objective(form: str, config: MSCConfig) -> Objective[Made[Tensor, Aligned], msc.MSCSeen]:
    """All terms with hard negatives, weighted as published; two of them as released where that is asked for."""
    settings = msc.MSCSettings(model=config, prepare=PrepareConfig(), loss=msc.LossConfig())
    objective, plan = msc.objective(settings), settings.prepare
    if form != "released":
        return objective

    def angles(seen: msc.MSCSeen, batch: Batch[MSCVideos], _: int) -> Tensor:
        with without_kernels():
            return tcpl_angle(seen.query, batch.queries.sentence).mean()

    def cbva(seen: msc.MSCSeen, batch: Batch[MSCVideos], _: int) -> Tensor:
        frames, clips = seen.video.frames, seen.video.clips
        return loop_cbva(frames, clips, batch.videos, plan.similarity_threshold, plan.levels).mean()

    return replace(objective, terms={**objective.terms, "tcpl_angle": angles, "cbva": cbva})


def losses(
    objective: Objective[Made[Tensor, Aligned], msc.MSCSeen], leaves: list[Tensor], batch: Batch[MSCVideos]
) -> None:
    """Scores and all terms, and their gradients in the leaves."""
    query, frames, clips, *aligned = leaves
    tokens = VideoTokens(frames, batch.videos.frame_valid, clips, batch.videos.clip_size > 0)
    torch.autograd.backward(objective(Made(query, Aligned(tokens, *aligned)), batch, 99).total)


def step(
    model: MSC | LoopNetwork,
    objective: Objective[Made[Tensor, Aligned], msc.MSCSeen],
    part: Batch[MSCVideos],
    batch: Batch[MSCVideos],
) -> Cost:
    """One step: the network reads a part of the batch, the losses are those of the whole."""
    model.zero_grad()
    begin, wall = time.process_time(), time.perf_counter()
    query, video = model.embed(part)
    encoded = [query, video.tokens.frames, video.tokens.clips, video.frames, video.clips]
    middle = time.process_time()
    counts = [len(batch.queries), *[len(batch.videos)] * 4]
    leaves = [x.detach().requires_grad_() for x in encoded]
    if part is not batch:
        leaves = [torch.randn(n, *x.shape[1:]).requires_grad_() for x, n in zip(encoded, counts, strict=True)]
    memory = peak()
    losses(objective, leaves, batch)
    after = time.process_time()
    torch.autograd.backward(encoded, [gradient_of(leaf)[: len(x)] for x, leaf in zip(encoded, leaves, strict=True)])
    network = middle - begin + time.process_time() - after
    return Cost(network, after - middle, time.perf_counter() - wall, peak() if part is batch else memory)


def measure(size: Size) -> Cost:
    """Medians of one process; the first step is a warm-up."""
    torch.set_num_threads(size.threads)
    torch.manual_seed(0)
    config, share = make_config(size), size.share
    model, objective = make_network(size.form, config), make_objective(size.form, config)
    batch = part = make_batch(size, config)
    if share > 1:
        part = make_batch(replace(size, videos=size.videos // share, queries=size.queries // share), config)
    before = forget_peak()
    with without_kernels() if size.form == "readable" else nullcontext():
        steps = [step(model, objective, part, batch) for _ in range(size.repeats + 1)]
    found = Cost(*map(median, zip(*steps[1:], strict=True)))
    wall = found.wall if share == 1 else float("nan")
    return Cost(share * found.network, found.losses, wall, share * (found.memory - before))


def gradient_of(leaf: Tensor) -> Tensor:
    """Its gradient, which is there."""
    assert leaf.grad is not None
    return leaf.grad


def forget_peak() -> float:
    """From here on `peak` counts anew -> bytes in use now. Linux."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("self/status", "VmRSS")


def peak() -> float:
    """Bytes that this process has had at most."""
    return _memory("self/status", "VmHWM")


def apart(function: Callable[[S], R], argument: S) -> R:
    """The same in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, argument).result()


def free_memory() -> float:
    """Bytes that a new process can have."""
    return _memory("meminfo", "MemAvailable")


def _memory(file: str, name: str) -> float:
    """A line of /proc in bytes."""
    lines = dict(line.split(":", 1) for line in (Path("/proc") / file).read_text().splitlines())
    return 1024.0 * float(lines[name].split()[0])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qvhighlights", action="store_true", help="the published size on QVHighlights")
    parser.add_argument("--quick", action="store_true", help="8 videos, one step")
    parser.add_argument("--threads", type=int, default=Size().threads, help="default: %(default)s")
    parser.add_argument("--videos", type=int, help="of the batch; queries in proportion")
    parser.add_argument("--extrapolate", action="store_true", help="the released form on a quarter, whatever is free")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS, help="default: all")
    given = parser.parse_args()
    size = replace(QVHIGHLIGHTS if given.qvhighlights else QUICK if given.quick else Size(), threads=given.threads)
    if given.videos:
        size = replace(size, videos=given.videos, queries=size.queries * given.videos // size.videos)
    print(f"{size.videos} videos, {size.queries} queries, D = {size.hidden}, {size.threads} threads; CPU seconds")
    print("      form   network    losses      both    wall s   peak MB")
    costs: dict[str, Cost] = {}
    for form in given.forms:
        short = given.extrapolate or (given.qvhighlights and free_memory() < ROOM)
        share = 4 if form == "released" and short else 1
        cost = costs[form] = apart(measure, replace(size, form=form, share=share))
        columns = " ".join(f"{seconds:9.3f}" for seconds in (cost.network, cost.losses, cost.step, cost.wall))
        note = f"  network and memory: {share} x those of 1/{share} of the batch" * (share > 1)
        print(f"{form:>10} {columns} {cost.memory / 1e6:9.0f}{note}", flush=True)
    released = costs.pop("released", None)
    if released:
        for form, cost in costs.items():
            print(f"released / {form}: {released.over(cost)}")


if __name__ == "__main__":
    main()
