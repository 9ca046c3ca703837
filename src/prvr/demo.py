"""The whole way, once: videos are made, read, indexed and searched; then learned from and measured."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prvr.core.errors import ConfigError
from prvr.core.files import write_whole
from prvr.core.types import Query
from prvr.data.annotations import read_queries
from prvr.data.folder import DataFolder
from prvr.data.world import generate_world
from prvr.encoders.devices import pick_device
from prvr.encoders.loading import load_encoder
from prvr.evaluation.report import Report, summary, table
from prvr.features.extract import extract
from prvr.methods.recipe import Recipe, load_recipe
from prvr.ranker.ranker import open_run, zero_shot
from prvr.runs.measure import evaluate_run
from prvr.runs.train import train_run
from prvr.search.engine import SearchEngine
from prvr.search.examples import kept_examples
from prvr.search.indexing import build_index
from prvr.search.listing import answer

ROWS = ("world_baseline", "world_tcpl", "world")
SIZES = ("tiny", "demo")
TABLE = "table.md"


@dataclass(frozen=True, kw_only=True)
class Screen:
    """How the demo speaks; the command line hands it in."""

    command: str  # what the user types to call this program
    say: Callable[[str], None]  # a line for people
    show: Callable[[str], None]  # a result
    counting: Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
    reading: Callable[[], AbstractContextManager[Callable[[Any], None]]]
    training: Callable[[str], AbstractContextManager[Callable[[Any], None]]]


def open_library(root: Path, screen: Screen, *, size: str, seed: int, device: str) -> None:
    """A library below `root` that answers: videos, features, an index, three questions. Does only what is missing."""
    if size not in SIZES:
        raise ConfigError(f"--size {size}: choose one of {', '.join(SIZES)}")
    where, why = pick_device(device)
    screen.say(f"Python {platform.python_version()} on {where} ({why}); nothing leaves this machine")
    _make(root, screen, size=size, seed=seed)
    queries = read_queries(root / "annotations" / "test.jsonl")
    _search(root, screen, queries, device=device)


def measure(root: Path, screen: Screen, *, seeds: int, device: str) -> None:
    """Train every row of the table on that library, and show what each finds. Stopped, it goes on the next time."""
    began = time.perf_counter()
    screen.say(f"Training {len(ROWS) * seeds} models for the table, some minutes. Ctrl-C stops it; the library stays")
    reports = _learn(root, screen, seeds=seeds, device=device)
    write_whole(root / TABLE, f"{table(reports)}\n".encode())
    screen.show("")
    screen.show(summary(reports))
    screen.show("")
    screen.say(f"Measured in {time.perf_counter() - began:.0f} s; every column is in {root / TABLE}")
    screen.say("Another experiment:")
    screen.say(f"  {screen.command} train prvr.methods.msc.runs:world --data {root} --set loss.cbva=0.2")


def _make(root: Path, screen: Screen, *, size: str, seed: int) -> None:
    began = time.perf_counter()
    with screen.counting("Drawing ") as on_progress:
        world = generate_world(root, size=size, seed=seed, progress=on_progress)
    took = time.perf_counter() - began
    screen.say(f"World     {len(world.videos)} videos in {root}/videos, {world.made} made now ({took:.0f} s)")
    encoder = load_encoder("world", device="cpu")
    with screen.reading() as on_reading:
        done = extract([root / "videos"], encoder, root / "features", on_progress=on_reading)
    minutes = sum(entry.duration_s for entry in done.store.entries()) / 60
    speed = f"{done.video_s / done.wall_s:.0f} x realtime, {done.wall_s:.0f} s" if done.made else "already there"
    screen.say(f"Features  {minutes:.0f} min of video by encoder {encoder.spec.fingerprint} ({speed})")


def _learn(root: Path, screen: Screen, *, seeds: int, device: str) -> dict[str, list[Report]]:
    """Train every row of the table and measure it; -> reports by row."""
    data = DataFolder(root)
    bare = zero_shot(data.store.header.encoder)
    reports = {bare.title: [evaluate_run(bare, data, "test", device=device).report]}
    for name in ROWS:
        for seed in range(seeds):
            recipe: Recipe = load_recipe(f"prvr.methods.msc.runs:{name}").with_settings([f"train.seed={seed}"])
            run = root / "runs" / f"{name}-{seed}"
            began = time.perf_counter()
            with screen.training(recipe.title) as on_training:
                result = train_run(recipe, data, run, device=device, on_progress=on_training)
            screen.say(
                f"Training  {recipe.title}, seed {seed}: best of {result.epochs} epochs is {result.best_epoch}, "
                f"SumR {result.best:.1f} on val ({time.perf_counter() - began:.0f} s)"
            )
            reports.setdefault(recipe.title, []).append(evaluate_run(open_run(run), data, "test", device=device).report)
    return reports


def served(engine: SearchEngine, queries: list[Query], *, most: int = 3) -> list[Query]:
    """The questions that a library is shown with: those that it was seen to answer when it was indexed, if any."""
    captions = {query.text: query for query in queries}
    good = [captions[text] for text in kept_examples(engine.index) if text in captions]
    return good[:most] or [queries[i * len(queries) // most] for i in range(most)]


def _search(root: Path, screen: Screen, queries: list[Query], *, device: str) -> None:
    """Index with the bare encoder, which learned from none of these videos; say where the page is, answer questions."""
    done = build_index([root / "videos"], root, load_encoder("world", device=device), home=())
    engine = SearchEngine.open(root, device=device)
    engine.search(queries[0].text)  # the first answer also pays for starting up
    screen.say(f"Index     {done.num_videos} videos searchable, in {root}")
    questions = served(engine, queries)
    for query in questions:
        began = time.perf_counter()
        hits = engine.search(query.text, k=3)
        took = (time.perf_counter() - began) * 1000
        screen.show("")
        screen.show(f'"{query.text}"  ({took:.0f} ms; written for {query.video_id})')
        screen.show(answer(hits, everything=True))
    screen.show("")
    prvr = screen.command
    screen.say("Ready. Watch it, or ask it:")
    screen.say(f"  {prvr} serve --index {root}     the page, with a question asked already")
    screen.say(f'  {prvr} search "{questions[-1].text}" --index {root}')
    screen.say(f"  {prvr} index ~/Videos     your own videos, with the model that `{prvr} models` says")
