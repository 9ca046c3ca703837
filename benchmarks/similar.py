"""How well copies of a film are told from other films, and from which distance on they are copies.

    python -m benchmarks.similar demo [--real FOLDER] [--model] [--films 48] [--kept DIR]

Some films of a demo (or all of a folder) are copied as people copy them: encoded again and coarsely, smaller, larger,
trimmed, cut down to their middle third. All lie in one library. Sentences about these films (moments of them for
`--real`) are asked; every pair of hits among the first twenty is a pair of copies or of different films, and its
distance is told over the usual one of the index. `--model` ranks with the demo's trained model.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import torch
from av.video.stream import VideoStream

from prvr.core.facts import Facts
from prvr.data.annotations import read_queries
from prvr.encoders.world import load_world_encoder
from prvr.features.extract import extract
from prvr.index.base import ZERO_SHOT, IndexHeader
from prvr.index.exact import ExactIndex
from prvr.ranker.ranker import open_run, zero_shot
from prvr.search import similar
from prvr.search.engine import SearchEngine
from prvr.search.ranking import Ranking

TOP, QUERIES, SPAN_S = 20, 60, 5.0
BOUNDS = (0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.1)
SUFFIXES = (".webm", ".mp4", ".mkv")


class Copying(NamedTuple):
    """How a copy is made."""

    size: float  # of each side, over that of the film
    crf: int
    head: float  # share that is cut off at the start
    tail: float


COPIES = {
    "coarse": Copying(1.0, 38, 0, 0),
    "smaller": Copying(0.5, 28, 0, 0),
    "larger": Copying(1.5, 23, 0, 0),
    "trimmed": Copying(1.0, 23, 0.08, 0.05),
    "middle": Copying(0.75, 30, 0.3, 0.35),
}


def copy_of(film: Path, path: Path, how: Copying) -> None:
    """Decode and encode again, as H.264."""
    with av.open(film) as source, av.open(path, "w", format="matroska") as target:
        stream = source.streams.video[0]
        duration = float((source.duration or 0) / av.time_base)
        start, end = how.head * duration, (1 - how.tail) * duration
        width, height = (int(side * how.size) // 2 * 2 for side in (stream.width, stream.height))
        rate = Fraction(stream.average_rate or 25).limit_denominator(1000)
        made: VideoStream = target.add_stream("libx264", rate=rate, options={"crf": f"{how.crf}", "preset": "veryfast"})
        made.width, made.height, made.pix_fmt, made.time_base = width, height, "yuv420p", Fraction(1, 1000)
        for frame in source.decode(stream):
            if frame.time is not None and start <= frame.time <= end:
                small = frame.reformat(width, height, "yuv420p")
                small.pts, small.time_base = round((frame.time - start) * 1000), Fraction(1, 1000)
                target.mux(made.encode(small))
        target.mux(made.encode())


def name_of(video_id: str) -> str:
    """The film that a video is, or is a copy of."""
    return Path(video_id).name.split(".")[0].split("--")[0]


def library(films: list[Path], chosen: list[Path], root: Path, model: Path | None) -> SearchEngine:
    """Films and copies of some of them, in memory."""
    (root / "copies").mkdir(parents=True, exist_ok=True)
    for film in chosen:
        for name, how in COPIES.items():
            path = root / "copies" / f"{film.stem}--{name}.mkv"
            if not path.exists():
                copy_of(film, path, how)
    encoder = load_world_encoder()
    trained = open_run(model) if model else zero_shot(encoder.spec)
    header = IndexHeader(
        encoder=encoder.spec, model=ZERO_SHOT, width=trained.width, clip_weight=trained.model.clip_weight
    )
    index, store = ExactIndex(header), extract([*films, root / "copies"], encoder, root / "features", workers=1).store
    for entry in store.entries():
        (bank,) = trained.banks([store.read(entry.video_id)])
        index.add(entry.video_id, bank, facts=Facts(duration_s=entry.duration_s))
    return SearchEngine(index, root, encoder, trained)


def asked(engine: SearchEngine, demo: Path, films: set[str], *, moments: bool) -> list[Ranking]:
    """Answers about the films that were copied."""
    dice = random.Random("similar")
    if moments:
        found = []
        for video_id in engine.index.versions:
            length = engine.index.facts(video_id).duration_s
            for _ in range(6 if "--" not in video_id else 0):
                span = min(SPAN_S, length / 2)
                start = dice.uniform(0, length - span)
                found.append(engine.rank_like(video_id, (start, start + span), k=TOP))
        return found
    texts = [
        query.text
        for split in ("train", "val", "test")
        for query in read_queries(demo / "annotations" / f"{split}.jsonl")
        if name_of(query.video_id) in films
    ]
    return engine.rank_many(dice.sample(texts, QUERIES), k=TOP, words=False, calibrated=False)


def measure(engine: SearchEngine, answers: list[Ranking]) -> None:
    """Print the distances of both kinds of pairs, and what an answer makes of them."""
    usual, folded, wrong, foldable = similar.usual_distance(engine.index), 0, 0, 0
    copies: list[float] = []
    others: list[float] = []
    for ranking in answers:
        hits = engine.hits(ranking)
        frames = similar._joined([row.candidate.bank for row in ranking.rows])
        pairs = torch.combinations(torch.arange(len(hits))).flip(1)  # (P, 2) later, earlier
        apart = similar._distance(frames, torch.tensor([hit.moments[0] for hit in hits]), pairs) / usual
        for (one, other), distance in zip(pairs.tolist(), apart.tolist(), strict=True):
            same = name_of(hits[one].video_id) == name_of(hits[other].video_id)
            (copies if same else others).append(distance)
        seen: set[str] = set()
        for hit in hits:
            foldable += name_of(hit.video_id) in seen
            if hit.same_as is not None:
                right = name_of(hit.video_id) == name_of(hit.same_as)
                folded, wrong = folded + right, wrong + (not right)
            seen.add(name_of(hit.video_id))
    shares = [f"{100 * sum(d <= b for d in copies) / len(copies):.1f} %" for b in BOUNDS]
    counts = [str(sum(d <= b for d in others)) for b in BOUNDS]
    print(f"usual distance {usual:.3f}; {len(copies):,} pairs of copies, {len(others):,} of different films")
    print("| distance over the usual one, at most | " + " | ".join(map(str, BOUNDS)) + " |")
    print("| copies | " + " | ".join(shares) + " |\n| different films | " + " | ".join(counts) + " |")
    share = 100 * folded / foldable
    print(f"of {foldable:,} hits whose film stands above, {share:.1f} % fold; {wrong} fold under another film")


def main() -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--model", action="store_true")
    parser.add_argument("--films", type=int, default=48)
    parser.add_argument("--kept", type=Path, help="keep the copies and their features here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    films = sorted(path for path in (args.real or args.demo / "videos").iterdir() if path.suffix in SUFFIXES)
    chosen = films if args.real else films[:: max(1, len(films) // args.films)][: args.films]
    model = args.demo / "runs" / "world-0" if args.model else None
    with tempfile.TemporaryDirectory() as folder:
        engine = library(films, chosen, args.kept or Path(folder), model)
        answers = asked(engine, args.demo, {film.stem for film in chosen}, moments=args.real is not None)
        measure(engine, answers)


if __name__ == "__main__":
    main()
