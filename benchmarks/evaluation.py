"""What evaluation computes beside the scores, against a loop form of it written by us, side by side in one run.

python -m benchmarks.evaluation          # 400 videos, 2,000 queries: seconds
python -m benchmarks.evaluation --tvr    # 2,179 videos of 128 tokens, 10,895 queries, D = 384: TVR's size, minutes

One evaluation of MSC ranks by three scores (fused, frame, clip), takes the similarity of two kinds of queries (the
model's and the encoder's) and of two kinds of tokens (the frame branch's, and 32 raw clips of D = 768, as TVR has); the
last line of the pairs adds them up so. The loop form goes through queries, videos and pairs as they are defined: the
right video of a query is looked up in a list, its rank in a sorted one, similarities are taken of all pairs, tokens 400
by 400. Its total over the tokens' chunks is measured on `--share` of them, evenly spread, and extrapolated, hence the
difference of the two results; ranks differ where scores are equal. Each measurement has a process of its own.
CPU seconds are without making the inputs; peak memory is above that of the imports, inputs included.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from prvr.evaluation.collapse import Similarity, TokenStatistics, query_sums, similarity
from prvr.evaluation.correlation import cosine_matrix, rank_correlation
from prvr.evaluation.curves import BranchTokens, end_to_end, windows_of
from prvr.evaluation.intervals import bootstrap, compare
from prvr.evaluation.metrics import ranks

CHUNK, FIRST, BATCH = 400, 32, 64


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is measured."""

    queries: int = 2000
    videos: int = 400
    tokens: int = 128
    width: int = 384
    threads: int = 1
    share: float = 0.125  # of the loop over pairs of chunks

    @property
    def raw(self) -> Size:
        """The same with tokens as the raw clips of TVR are."""
        return replace(self, tokens=32, width=768)


class Cost(NamedTuple):
    """Of one part."""

    cpu: float  # seconds
    peak: float  # bytes
    found: list[float]  # a few numbers of the result, to compare


Part = Callable[["Clock", Size], list[float]]


class Clock:
    """CPU seconds between `with` and its end, summed."""

    def __init__(self) -> None:
        self.seconds, self._began = 0.0, 0.0

    def __enter__(self) -> None:
        self._began = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.process_time() - self._began


def queries_of(size: Size) -> tuple[Tensor, Tensor]:
    """Queries (Q, D) that are like others of their video, and the video of each (Q,)."""
    draw = torch.Generator().manual_seed(0)
    video = torch.randint(0, size.videos, (size.queries,), generator=draw)
    topic = torch.randn(size.videos, size.width, generator=draw)
    return torch.randn(size.queries, size.width, generator=draw).add_(topic[video]), video


def scores_of(size: Size) -> Tensor:
    """(Q, V)."""
    return torch.rand(size.queries, size.videos, generator=torch.Generator().manual_seed(1))


def tokens_of(size: Size) -> Iterator[Tensor]:
    """Tokens (V, N, D) of the videos, a batch at a time."""
    for at in range(0, size.videos, BATCH):
        draw = torch.Generator().manual_seed(at + 2)
        shape = (min(BATCH, size.videos - at), size.tokens, size.width)
        yield torch.randn(shape, generator=draw).add_(torch.randn(shape[0], 1, shape[2], generator=draw))


def truth(clock: Clock, size: Size) -> list[float]:
    """Ground truth and ranks: a dictionary, then counting."""
    scores, names, wanted = scores_of(size), *names_of(size)
    with clock:
        place = {name: v for v, name in enumerate(names)}
        found = ranks(scores, torch.tensor([place[name] for name in wanted]))
    return [float(found.double().mean()), float(found.max())]


def truth_loop(clock: Clock, size: Size) -> list[float]:
    """Look every video up in the list, sort every row, look for the right video in it."""
    scores, names, wanted = scores_of(size).numpy(), *names_of(size)
    with clock:
        found = []
        for row, name in zip(scores, wanted, strict=True):
            right = [v for v, other in enumerate(names) if other == name]
            order = np.argsort(-row)
            found.append(min(list(order).index(v) + 1 for v in right))
    return [float(np.mean(found)), float(np.max(found))]


def names_of(size: Size) -> tuple[list[str], list[str]]:
    """The names of the videos, and that of each query's video."""
    names = [f"series_s{v // 100:02}e{v % 100:02}_clip_{v}" for v in range(size.videos)]
    return names, [names[v] for v in queries_of(size)[1].tolist()]


def texts(clock: Clock, size: Size) -> list[float]:
    """Similarity of queries from sums."""
    queries, video = queries_of(size)
    with clock:
        found = similarity(query_sums(queries, video, size.videos))
    return both(found)


def texts_loop(clock: Clock, size: Size) -> list[float]:
    """All pairs of queries, then those of each video."""
    queries, video = queries_of(size)
    with clock:
        cosine = cosine_matrix(queries)
        off = ~torch.eye(len(queries), dtype=torch.bool)
        total = float(cosine[off].mean())
        within = []
        for v in range(size.videos):
            rows = [q for q, other in enumerate(video.tolist()) if other == v]
            if len(rows) > 1:
                own = cosine[rows][:, rows]
                within.append(float(own[~torch.eye(len(rows), dtype=torch.bool)].mean()))
    return [float(np.mean(within)), total]


def tokens(clock: Clock, size: Size) -> list[float]:
    """Similarity of tokens, exact and as published, from sums, a batch of videos at a time."""
    statistics = TokenStatistics()
    for batch in tokens_of(size):
        with clock:
            statistics.add(batch)
    with clock:
        statistics.exact()
        return both(statistics.released())


def tokens_loop(clock: Clock, size: Size) -> list[float]:
    """All pairs of tokens within each video, then 400 by 400 over all; the latter extrapolated."""
    whole = torch.cat(list(tokens_of(size)))
    with clock:
        unit = functional.normalize(whole, dim=-1)
        off = ~torch.eye(size.tokens, dtype=torch.bool)
        within = [float((video @ video.T)[off].mean()) for video in unit]
    pieces = torch.split(unit[:, :FIRST].flatten(0, 1), CHUNK)
    step = max(1, round(1 / size.share))
    sums, pairs, part = [0.0, 0.0], 0, Clock()
    with part:
        for i in range(step // 2, len(pieces), step):
            for right in pieces[:i] + pieces[i + 1 :]:
                cosine = pieces[i] @ right.T
                sums = [sums[0] + float(cosine.sum()), sums[1] + float(cosine.abs().sum())]
                pairs += cosine.numel()
    clock.seconds += part.seconds * len(pieces) / len(range(step // 2, len(pieces), step)) / 2  # each pair once
    return [float(np.mean(within)), sums[0] / max(pairs, 1)]


def correlation(clock: Clock, size: Size) -> list[float]:
    """Table 9: rank correlation over all pairs of queries."""
    queries, _ = queries_of(size)
    other = queries + torch.randn(queries.shape, generator=torch.Generator().manual_seed(3))
    with clock:
        return [rank_correlation(queries, other) or 0.0]


def draws(clock: Clock, size: Size) -> list[float]:
    """Intervals over queries and over videos, and a paired comparison of two runs."""
    video = queries_of(size)[1]
    one, other = (torch.randint(1, size.videos, (size.queries,)) for _ in range(2))
    with clock:
        found = bootstrap(one), bootstrap(one, video_of_query=video), compare(one, other, video_of_query=video)
    return [found[0].of["SumR"].low]


def windows(clock: Clock, size: Size) -> list[float]:
    """Moments of every query in its own video, 128 frames and 32 clips."""
    edge = torch.linspace(0, 60, 129)
    frames = torch.stack([edge[:-1], edge[1:]], 1).expand(size.queries, 128, 2)
    clips = torch.stack([edge[:-1:4], edge[4::4]], 1).expand(size.queries, 32, 2)
    every = torch.ones(size.queries, 160, dtype=torch.bool)
    scores = torch.rand(size.queries, 160)
    with clock:
        branches = (
            BranchTokens(scores[:, :128], frames, every[:, :128]),
            BranchTokens(scores[:, 128:], clips, every[:, 128:]),
        )
        found = windows_of(end_to_end(*branches), torch.full((size.queries,), 60.0), clip_weight=0.4)
    return [float(found.scores[:, 0].mean())]


def both(found: Similarity | None) -> list[float]:
    """Intra and total."""
    return [] if found is None else [found.intra, found.total]


def memory(name: str) -> float:
    """VmRSS or VmHWM of this process, bytes (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def measure(part: Part, size: Size) -> Cost:
    """One part in this process."""
    torch.set_num_threads(size.threads)
    torch.manual_seed(0)
    torch.ones(8, 8) @ torch.ones(8, 8)  # what the first product loads is not ours
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    before, clock = memory("VmRSS"), Clock()
    found = part(clock, size)
    return Cost(clock.seconds, memory("VmHWM") - before, found)


def apart(part: Part, size: Size) -> Cost:
    """The same in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, part, size).result()


def line(title: str, ours: Cost, loop: Cost | None = None) -> str:
    """One line of the table."""
    text = f"{title:<34} {ours.cpu:9.3f} {ours.peak / 1e6:8.0f}"
    if loop is None:
        return text
    apart_by = max((abs(a - b) for a, b in zip(ours.found, loop.found, strict=True)), default=0.0)
    return f"{text} {loop.cpu:10.2f} {loop.peak / 1e6:8.0f} {loop.cpu / ours.cpu:8.0f} x {apart_by:10.1e}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tvr", action="store_true", help="10,895 queries and 2,179 videos")
    for name in ("queries", "videos", "tokens", "width", "threads"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Size(), name))
    parser.add_argument("--share", type=float, default=Size().share, help="of the loop over chunks that is run")
    given = vars(parser.parse_args())
    if given.pop("tvr"):
        given |= {"queries": 10_895, "videos": 2_179}
    size = Size(**given)
    print(f"{size.queries} queries, {size.videos} videos of {size.tokens} tokens, D = {size.width}", end="")
    print(f", {size.threads} thread(s); loop over chunks: {size.share:.1%} run, extrapolated")
    print(f"{'':<34} {'ours s':>9} {'peak MB':>8} {'loop s':>10} {'peak MB':>8} {'ratio':>10} {'apart':>10}")
    parts: list[tuple[str, Part, Part, Size, int]] = [
        ("ground truth and ranks", truth, truth_loop, size, 3),
        ("similarity of queries", texts, texts_loop, size, 2),
        ("similarity of frame tokens", tokens, tokens_loop, size, 1),
        ("similarity of raw clips", tokens, tokens_loop, size.raw, 1),
    ]
    total = [Cost(0.0, 0.0, []), Cost(0.0, 0.0, [])]
    for title, fast, slow, of, times in parts:
        pair = [apart(fast, of), apart(slow, of)]
        total = [Cost(a.cpu + times * b.cpu, max(a.peak, b.peak), []) for a, b in zip(total, pair, strict=True)]
        print(line(f"{title} ({times} x)", *pair), flush=True)
    print(line("all of one evaluation", *total))
    for title, part in (("rank correlation", correlation), ("intervals, one comparison", draws), ("moments", windows)):
        print(line(title, apart(part, size)), flush=True)


if __name__ == "__main__":
    main()
