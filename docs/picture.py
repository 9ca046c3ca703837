"""Draw the README's picture: three sentences, the videos found for them, and the score over time (shaded: the moment
found; green: the moment that the sentence was written for)::

.venv/bin/python docs/picture.py demo docs/picture.png
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import matplotlib as mpl
import torch

from prvr import Query, SearchEngine
from prvr.data.annotations import read_queries
from prvr.search.moments import moments, relevance
from prvr.video.decode import sample_frames

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

FRAMES = 9


def main(root: Path, out: Path) -> None:
    """The demo's folder -> a picture: the first three held-out sentences whose own video comes first among all."""
    engine = SearchEngine.open(root)
    queries = read_queries(root / "annotations" / "test.jsonl")
    chosen = list(islice((query for query in queries if first(engine, query)), 3))
    figure, axes = plt.subplots(3, 1, figsize=(11, 6.6), layout="constrained")
    for axis, query in zip(axes, chosen, strict=True):
        draw(axis, engine, query)
    figure.savefig(out, dpi=100)


def first(engine: SearchEngine, query: Query) -> bool:
    """Whether the video that a sentence was written for is the best hit."""
    return engine.search(query.text, k=1)[0].video_id == query.video_id


def draw(axis: Axes, engine: SearchEngine, query: Query) -> None:
    """One sentence: frames of the first video along the top, its score over time below, the moment found shaded."""
    hit = engine.search(query.text, k=1)[0]
    assert hit.path is not None
    found = engine.index.candidate(engine.embed(query.text), hit.video_id)
    curve = relevance(found, clip_weight=engine.index.header.clip_weight, duration_s=hit.duration_s)
    axis.stairs(curve.values.numpy(), curve.edges.numpy(), color="#1f4e79", linewidth=1.8)
    low, high = float(curve.values.min()), float(curve.values.max())
    room = max(high - low, 1e-6)
    axis.set(xlim=(0, hit.duration_s), ylim=(low - 0.1 * room, high + 1.6 * room), yticks=[])
    start, end = moments(curve)[0]
    axis.axvspan(start, end, ymax=0.43, color="#f2b134", alpha=0.4, linewidth=0)
    for window in query.windows:
        axis.plot(window, [low - 0.05 * room] * 2, color="#2e7d32", linewidth=4, solid_capstyle="butt")
    batches = list(sample_frames(hit.path, rate=1.0))
    images = torch.cat([batch.frames for batch in batches])
    times = torch.cat([batch.times for batch in batches])
    width = hit.duration_s / FRAMES
    for i in range(FRAMES):
        nearest = int((times - (i + 0.5) * width).abs().argmin())
        extent = (i * width, (i + 0.97) * width, high + 0.25 * room, high + 1.55 * room)
        axis.imshow(images[nearest].permute(1, 2, 0).numpy(), extent=extent, aspect="auto")
    axis.set_title(f"“{query.text}”  →  {hit.video_id} at {start:.0f}-{end:.0f} s", loc="left", fontsize=11)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.set_xlabel("seconds", fontsize=9)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
