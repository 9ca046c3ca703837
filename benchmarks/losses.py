"""The two dear loss terms of MSC, value and gradient, beside the released form of each written by us.

python -m benchmarks.losses             # 425 queries, 128 videos: QVHighlights; a minute or less
python -m benchmarks.losses --large     # angles of 640 queries in the released form too: it takes 9 GB
python -m benchmarks.losses --quick     # 100 queries, 8 videos

Angles: all triples in memory against inner products, some vertices at a time. CBVA: a loop over videos, in which ω, the
level and the merging of clips are worked out from frozen features anew in every step, against what is worked out once
for a video and stored with it. Each form has a process of its own; CPU seconds of all threads, medians; memory is the
peak above what was there before the first call.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.training_step import QVHIGHLIGHTS, apart, forget_peak, make_batch, make_config, peak
from prvr.kernels.switch import without_kernels
from prvr.methods.msc.cbva import cbva
from prvr.methods.msc.prepare import PrepareConfig
from prvr.methods.msc.tcpl import tcpl_angle
from tests.parts.slow import loop_cbva


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is measured."""

    term: str  # angle or cbva
    count: int  # of queries, or of videos
    released: bool
    threads: int = 2
    repeats: int = 5


class Cost(NamedTuple):
    """Of one form."""

    cpu: float  # seconds, value and gradient
    memory: float  # bytes
    value: float  # of the loss
    gradient: float  # its length


def angle(case: Case) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """Queries of D = 384 against a teacher of 512."""
    student, teacher = torch.randn(case.count, 384), torch.randn(case.count, 512)
    if case.released:
        return lambda x: _in_full(x, teacher), [student]
    return lambda x: tcpl_angle(x, teacher).mean(), [student]


def _in_full(student: Tensor, teacher: Tensor) -> Tensor:
    """All triples in memory, as released."""
    with without_kernels():
        return tcpl_angle(student, teacher).mean()


def alignment(case: Case) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """Frames and clips of D = 384 over features of 2816."""
    size = replace(QVHIGHLIGHTS, videos=case.count, queries=case.count)
    videos, plan = make_batch(size, make_config(size)).videos, PrepareConfig()
    tokens = [0.2 * torch.randn(*x.shape[:2], 384) for x in (videos.frames, videos.clips)]
    if case.released:
        return lambda f, c: loop_cbva(f, c, videos, plan.similarity_threshold, plan.levels).mean(), tokens
    kept = {name: getattr(videos, name) for name in ("slot", "segment", "clip_size", "frame_valid")}
    return lambda f, c: cbva(f, c, **kept).mean(), tokens


def measure(case: Case) -> Cost:
    """Medians of one process; the first call is a warm-up."""
    torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    loss, inputs = (angle if case.term == "angle" else alignment)(case)
    leaves = [x.requires_grad_() for x in inputs]
    before, seconds = forget_peak(), []
    for _ in range(case.repeats + 1):
        start = time.process_time()
        value = loss(*leaves)
        gradients = torch.autograd.grad(value, leaves)
        seconds.append(time.process_time() - start)
    length = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    return Cost(median(seconds[1:]), peak() - before, float(value.detach()), float(length))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=Case.threads, help="default: %(default)s")
    parser.add_argument("--large", action="store_true", help="the released form of 640 queries as well")
    parser.add_argument("--quick", action="store_true", help="small")
    given = parser.parse_args()
    cases = [("angle", 100), ("cbva", 8)] if given.quick else [("angle", 425), ("angle", 640), ("cbva", 128)]
    print(f"{given.threads} threads; value and gradient")
    print(" term count      form    CPU s   peak MB        value   |gradient|")
    for term, count in cases:
        costs = []
        for released in (True, False):
            if released and (term, count) == ("angle", 640) and not given.large:
                continue
            repeats = 1 if released and count > 425 else Case.repeats
            case = Case(term=term, count=count, released=released, threads=given.threads, repeats=repeats)
            cost = apart(measure, case)
            costs.append(cost)
            form = "released" if released else "ours"
            figures = f"{cost.cpu:8.3f} {cost.memory / 1e6:9.0f} {cost.value:12.7f} {cost.gradient:12.8f}"
            print(f"{term:>5} {count:5} {form:>9} {figures}", flush=True)
        if len(costs) == 2:
            slow, fast = costs
            print(f"released / ours: CPU {slow.cpu / fast.cpu:.1f}, memory {slow.memory / max(fast.memory, 1e6):.0f}")


if __name__ == "__main__":
    main()
