"""How well the moments of an index fit the annotated windows: best moment of the right video, per height of the rule.

.venv/bin/python benchmarks/moments.py demo val
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from prvr import Query, SearchEngine
from prvr.core.ranking import Curves, TokenScores, moments, relevance
from prvr.core.types import Span
from prvr.data.annotations import read_queries


def overlap(one: Span, other: Span) -> float:
    """Intersection over union of two spans."""
    shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared / (one[1] - one[0] + other[1] - other[0] - shared)


def curves_of(engine: SearchEngine, queries: list[Query]) -> Curves:
    """The score over time of each query's own video."""
    found = []
    for query in queries:
        candidates = engine.index.search(engine.embed(query.text), k=len(engine.index))
        found.append(next(one for one in candidates if one.video_id == query.video_id))
    durations_s = [engine.index.facts(query.video_id).duration_s for query in queries]
    return relevance(TokenScores.of(found), clip_weight=engine.index.header.clip_weight, durations_s=durations_s)


def overlaps(spans: list[Span], queries: list[Query]) -> Tensor:
    """(Q,) the overlap of each span with the best window of its query."""
    pairs = zip(spans, queries, strict=True)
    return torch.tensor([max(overlap(span, window) for window in query.windows) for span, query in pairs])


def main(root: Path, split: str) -> None:
    """A line a height: mean IoU, R1@IoU 0.5 and 0.7 in percent, mean length of the moment in seconds."""
    engine = SearchEngine.open(root)
    queries = [query for query in read_queries(root / "annotations" / f"{split}.jsonl") if query.windows]
    curves = curves_of(engine, queries)
    whole = overlaps([(0.0, float(end)) for end in curves.ends[curves.first + curves.sizes - 1]], queries).mean()
    print(f"{len(queries)} queries of {split}; the whole video as the answer has mean IoU {whole:.3f}")
    for height in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        best = [found[0] for found in moments(curves, height=height).each()]
        iou = overlaps(best, queries)
        length = torch.tensor([end - start for start, end in best]).mean()
        at = [100 * float((iou >= level).float().mean()) for level in (0.5, 0.7)]
        print(
            f"height {height}: mean IoU {iou.mean():.3f}  R1@0.5 {at[0]:.1f}  R1@0.7 {at[1]:.1f}  {length:.1f} s long"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
