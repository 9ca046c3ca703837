"""The pictures of docs/explanation/how-search-works.md, made of a small generated library and what a search says of it.

python -m benchmarks.pictures [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from itertools import islice
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot
from matplotlib.figure import Figure

from prvr import Hit, Query, SearchEngine
from prvr.core.facts import Facts
from prvr.core.types import Bank
from prvr.data.world.generate import WorldVideo, iter_world, script_queries
from prvr.data.world.script import world_script
from prvr.encoders.world import load_world_encoder
from prvr.index.base import ZERO_SHOT, IndexHeader
from prvr.index.opening import make_index
from prvr.parts.sampling import frame_spans
from prvr.search.background import background

FOLDER = Path(__file__).parents[1] / "docs" / "explanation"
VIDEOS, SHOWN, SIZE = 60, 8, 2  # videos of the library, frames in the picture, of the background: six words and more
INK, BLUE, ORANGE, GREY = "#37474f", "#3f6fd8", "#e07b39", "#9aa5ab"


def main(folder: Path = FOLDER) -> None:
    """Write both pictures; the same again gives the same bytes."""
    matplotlib.rcParams.update(
        {"svg.hashsalt": "prvr", "font.size": 11, "axes.spines.top": False, "axes.spines.right": False}
    )
    matplotlib.rcParams.update({"text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK})
    videos = list(islice(iter_world("demo", 0), VIDEOS))
    with tempfile.TemporaryDirectory() as temporary:
        engine = library(videos, Path(temporary))
        queries = [query for i in range(VIDEOS) for query in script_queries(world_script("demo", 0, i))]
        sentence, hit = first_that_is_right(engine, queries)
        (video,) = [one for one in videos if one.video_id == hit.video_id]
        save(score_over_time(video, sentence, hit), folder / "score-over-time.svg")
        others = [rows[0].score for rows in engine.search_many(background(SIZE), k=1, words=False)]
        save(chance(others, sentence, hit), folder / "background.svg")


def library(videos: list[WorldVideo], root: Path) -> SearchEngine:
    """An index of what the world's own encoder sees in the videos; no file is written but the index."""
    encoder = load_world_encoder()
    header = IndexHeader(encoder=encoder.spec, model=ZERO_SHOT, width=encoder.spec.width, clip_weight=0.0)
    with make_index(root, header) as index:
        for video in videos:
            tokens = torch.nn.functional.normalize(encoder.encode_images(encoder.prepare(video.frames)), dim=1)
            bank = Bank(tokens, frame_spans(video.times, video.duration_s).float(), len(tokens))
            index.add(video.video_id, bank, facts=Facts(duration_s=video.duration_s))
        index.save(root)
    return SearchEngine.open(root)


def first_that_is_right(engine: SearchEngine, queries: list[Query]) -> tuple[str, Hit]:
    """A sentence of six words and more whose own video is the first answer, with one short moment in it."""
    asked = [query for query in queries if len(query.text.split()) > 5]
    for query, (hit,) in zip(asked, engine.search_many([one.text for one in asked], k=1, words=False), strict=True):
        short = hit.end - hit.start < hit.duration_s / 4
        if hit.video_id == query.video_id and len(hit.moments) == 1 and short:
            return query.text, hit
    raise SystemExit("no sentence finds its own video first: take more videos")


def score_over_time(video: WorldVideo, sentence: str, hit: Hit) -> Figure:
    """Frames of a video above its score, second by second."""
    figure: Figure = pyplot.figure(figsize=(9, 3.6), layout="constrained")
    strip, curve = figure.subplots(2, 1, height_ratios=[1, 2.2])
    at = np.linspace(0, len(video.frames) - 1, SHOWN).round().astype(int)
    frames = [video.frames[i].permute(1, 2, 0).numpy() for i in at]  # (h, w, 3) each
    strip.imshow(np.concatenate([np.pad(f, ((0, 0), (1, 1), (0, 0)), constant_values=255) for f in frames], 1))
    strip.set_axis_off()
    strip.set_title(f"“{sentence.rstrip('.')}”", fontsize=12, pad=8)
    seconds = np.arange(len(hit.relevance)) + 0.5
    curve.axvspan(hit.start, hit.end, color=ORANGE, alpha=0.25, lw=0)
    curve.plot(seconds, hit.relevance, color=BLUE, lw=2)
    top = max(hit.relevance)
    curve.annotate("the moment", (hit.end, top), xytext=(8, -4), textcoords="offset points", color=ORANGE)
    curve.set(xlim=(0, hit.duration_s), xlabel="seconds of the video", ylabel="score")
    return figure


def chance(others: list[float], sentence: str, hit: Hit) -> Figure:
    """Best scores of sentences about other things, and that of one that the library shows."""
    figure: Figure = pyplot.figure(figsize=(9, 2.8), layout="constrained")
    axes = figure.subplots()
    axes.hist(others, bins=24, color=GREY)
    axes.axvline(hit.score, color=ORANGE, lw=2)
    low, high = min(others), max(*others, hit.score)
    axes.annotate(
        f"“{sentence.rstrip('.')}”", (hit.score, 0.93), xycoords=("data", "axes fraction"), color=ORANGE,
        xytext=(-8, 0), textcoords="offset points", ha="right",
    )  # fmt: skip
    axes.set(xlim=(low - 0.02, high + 0.02), xlabel="best score in the library", ylabel="sentences")
    axes.set_ylim(0, 1.25 * axes.get_ylim()[1])  # room for the words
    axes.set_title(f"{len(others)} sentences about other things", fontsize=12, color=INK, loc="left")
    return figure


def save(figure: Figure, path: Path) -> None:
    """As SVG, on white, which reads in light and dark alike."""
    figure.savefig(path, metadata={"Date": None, "Creator": None}, facecolor="white")
    pyplot.close(figure)
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
