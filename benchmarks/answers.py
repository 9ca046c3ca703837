"""What an answer costs, and the moments in it: all videos at once against one video after the other.

python -m benchmarks.answers INDEX [--hits 20] [--answers 150]

Both read the same rankings in turns, and must find the same.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from prvr.core.ranking import TokenScores, moments, per_second, relevance
from prvr.data.annotations import read_queries
from prvr.search.engine import SearchEngine
from tests.core import slow


def main() -> None:
    """Print CPU milliseconds an answer, of one thread."""
    parser = argparse.ArgumentParser()
    parser.add_argument("index", type=Path)
    parser.add_argument("--hits", type=int, default=20)
    parser.add_argument("--answers", type=int, default=150)
    args = parser.parse_args()
    torch.set_num_threads(1)
    engine = SearchEngine.open(args.index)
    weight = engine.index.header.clip_weight
    facts = {video_id: engine.index.facts(video_id) for video_id in engine.index.versions}
    files = sorted((args.index / "annotations").glob("*.jsonl"))
    texts = sorted({query.text for file in files for query in read_queries(file)})[: args.answers + 10]
    spent = dict.fromkeys(("ranked", "with moments", "moments, one by one", "moments, at once"), 0.0)
    for number, text in enumerate(texts):
        times = [time.thread_time()]
        (ranking,) = engine.rank_many([text], k=args.hits)
        times.append(time.thread_time())
        hits = engine.hits(ranking, facts=facts)
        times.append(time.thread_time())
        found = [row.candidate for row in ranking.rows]
        ends = [hit.duration_s for hit in hits]
        curves = [slow.relevance(one, clip_weight=weight, duration_s=end) for one, end in zip(found, ends, strict=True)]
        singly = [(slow.moments(curve), slow.per_second(curve)) for curve in curves]
        times.append(time.thread_time())
        together = relevance(TokenScores.of(found), clip_weight=weight, durations_s=ends)
        at_once = list(zip(moments(together).each(), per_second(together), strict=True))
        times.append(time.thread_time())
        assert [spans for spans, _ in singly] == [spans for spans, _ in at_once]
        if number >= 10:  # the first ones warm up
            for name, before, after in zip(spent, times, times[1:], strict=False):
                spent[name] += 1e3 * (after - before) / (len(texts) - 10)
    for name, value in spent.items():
        print(f"{name:20} {value:6.2f} ms")
    print(f"{spent['moments, one by one'] / spent['moments, at once']:.1f} x")


if __name__ == "__main__":
    main()
