"""Both towers over a library and every query against every video, beside the released form written by us.

python -m benchmarks.encode_score            # a quarter of QVHighlights' validation, 118 videos x 387 queries: a minute
python -m benchmarks.encode_score --full     # 474 videos x 1,550 queries at the published size: two or three minutes
python -m benchmarks.encode_score --quick    # 16 videos x 50 queries

The released form encodes as `tests.parts.slow` does, and normalises all tokens anew for each batch of 50 queries. Each
form has a process of its own; CPU seconds of all threads; memory is the peak above what was there before.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.training_step import QVHIGHLIGHTS, Size, apart, forget_peak, make_batch, make_config, make_network, peak
from prvr.core.types import BranchScores, QueryBatch, VideoTokens
from prvr.evaluation.scoring import encode_queries, encode_videos, score_tokens
from prvr.methods.msc.prepare import MSCVideos
from tests.parts.slow import LoopNetwork

FULL = replace(QVHIGHLIGHTS, videos=474, queries=1550)
VIDEOS, QUERIES = 64, 50  # at a time


class Cost(NamedTuple):
    """Of one form."""

    encode: float  # CPU seconds
    score: float  # CPU seconds
    memory: float  # bytes
    scores: Tensor  # (Q, V) fused


def released_scores(queries: Tensor, tokens: Tensor) -> Tensor:
    """The best cosine of every video: (Q, D), (V, N, D) -> (Q, V)."""
    found = []
    for query in torch.split(queries, QUERIES):
        alike = torch.matmul(F.normalize(tokens, dim=-1), F.normalize(query, dim=-1).T)  # (V, N, q)
        found.append(alike.permute(2, 1, 0).amax(1))
    return torch.cat(found)


def parts(size: Size) -> tuple[list[MSCVideos], list[QueryBatch]]:
    """Videos and queries in batches."""
    whole = make_batch(size, make_config(size))
    videos = [whole.videos.take(rows) for rows in torch.split(torch.arange(size.videos), VIDEOS)]
    names = ("words", "valid", "sentence")
    columns = [torch.split(getattr(whole.queries, name), QUERIES) for name in names]
    return videos, [QueryBatch(**dict(zip(names, one, strict=True))) for one in zip(*columns, strict=True)]


@torch.no_grad()
def measure(size: Size) -> Cost:
    """Once, in one process."""
    torch.set_num_threads(size.threads)
    torch.manual_seed(0)
    model = make_network(size.form, make_config(size)).eval()
    torch.manual_seed(1)
    videos, queries = parts(size)
    before, start = forget_peak(), time.process_time()
    if isinstance(model, LoopNetwork):
        encoded = [model.encode_videos(batch) for batch in videos]
        query = torch.cat([model.encode_queries(batch) for batch in queries])
        middle = time.process_time()
        tokens = VideoTokens(*map(torch.cat, zip(*encoded, strict=True)))
        scores = BranchScores(released_scores(query, tokens.frames), released_scores(query, tokens.clips))
    else:
        encoded = list(encode_videos(model, videos))
        query = encode_queries(model, queries)
        middle = time.process_time()
        scores = score_tokens(query, encoded)
    return Cost(middle - start, time.process_time() - middle, peak() - before, scores.fused(0.4))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--full", action="store_true", help="all of QVHighlights' validation split")
    parser.add_argument("--quick", action="store_true", help="small")
    given = parser.parse_args()
    size = replace(FULL, videos=FULL.videos // 4, queries=FULL.queries // 4)
    size = FULL if given.full else replace(FULL, videos=16, queries=50) if given.quick else size
    print(f"{size.videos} videos x {size.queries} queries, D = {size.hidden}, {given.threads} threads; CPU seconds")
    print("     form    encode     score      both   peak MB")
    costs = {}
    for form in ("released", "ours"):
        cost = costs[form] = apart(measure, replace(size, form=form, threads=given.threads))
        both = cost.encode + cost.score
        print(f"{form:>9} {cost.encode:9.3f} {cost.score:9.3f} {both:9.3f} {cost.memory / 1e6:9.0f}", flush=True)
    slow, fast = costs["released"], costs["ours"]
    ratios = slow.encode / fast.encode, slow.score / fast.score, sum(slow[:2]) / sum(fast[:2])
    print(f"released / ours: encode {ratios[0]:.2f}, score {ratios[1]:.2f}, both {ratios[2]:.2f}; ", end="")
    print(f"scores at most {float((slow.scores - fast.scores).abs().max()):.0e} apart")


if __name__ == "__main__":
    main()
