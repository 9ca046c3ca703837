"""Does who draws dropout decide whether training leaves the plateau it begins on? Ours against torch's, seed by seed.

python -m benchmarks.plateau FOLDER                  # 12 pairs of runs: ten minutes of one core; goes on where it was
python -m benchmarks.plateau FOLDER --seeds 2        # fewer
python -m benchmarks.plateau FOLDER --table          # of what is there, without training

FOLDER gets the data (720 videos of the generated world `large`, features alone) and a run a seed and a form. What is
asked, what is called a plateau and by which tests it is judged were written down before the first run, in
docs/results/plateau.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from scipy.stats import binomtest

from prvr.core.method import Draws
from prvr.core.types import VideoFeatures
from prvr.data.annotations import write_queries
from prvr.data.folder import DataFolder
from prvr.data.world import iter_world, world_script
from prvr.data.world.generate import script_queries
from prvr.encoders.world import load_world_encoder
from prvr.features.store import FeatureStore, StoreHeader
from prvr.methods.msc.runs import world_baseline
from prvr.methods.recipe import Recipe
from prvr.runs.train import train_run

LEARNED, MEASURED = 480, 240  # videos
CHANCE = 100 * (1 + 5 + 10 + 100) / MEASURED  # SumR of a ranking drawn at random: 48.3
NEAR = 2 * CHANCE  # a run that ends below is said to have stayed on the plateau
DRAWS: tuple[Draws, Draws] = ("bytes", "torch")
SETTINGS = (
    *("model.hidden=48", "model.dropout=0.1", "model.input_dropout=0.1", "optim.lr=2.5e-4"),
    *("train.epochs=5", "optim.schedule_epochs=6"),
    *("model.frames=32", "model.clips=8", "prepare.frames=32", "prepare.schedule=20,12,8", "prepare.levels=8,5,3,2"),
)


class Pair(NamedTuple):
    """One seed: SumR on the measured videos after the last epoch, by who drew dropout."""

    seed: int
    ours: float
    torchs: float


def make_data(root: Path) -> DataFolder:
    """The first videos of the world `large`, the former to learn from and the latter to measure on; kept once made."""
    encoder = load_world_encoder()
    store = FeatureStore.create(root / "features", StoreHeader(encoder=encoder.spec, rate=1.0))
    scripts = [world_script("large", 0, index) for index in range(LEARNED + MEASURED)]
    missing = any(script.video_id not in store for script in scripts)
    with store.writing():
        for script, video in zip(scripts, iter_world("large", 0) if missing else (), strict=False):
            if script.video_id not in store:
                features = encoder.encode_images(encoder.prepare(video.frames))
                made = VideoFeatures(features, video.times, video.duration_s)
                store.write(script.video_id, made, source=root, size=0, mtime_ns=0)
    for split, part in (("train", scripts[:LEARNED]), ("val", scripts[LEARNED:])):
        write_queries(root / "annotations" / f"{split}.jsonl", [q for script in part for q in script_queries(script)])
    return DataFolder(root)


def recipe(seed: int, draws: Draws) -> Recipe:
    """MSC's network with the retrieval loss alone, from its first weights."""
    return world_baseline().with_settings([*SETTINGS, f"train.seed={seed}", f"train.dropout={draws}"])


def last_sum_r(folder: Path) -> float:
    """SumR after the last epoch of a run, which is not always its best."""
    last = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    return float(json.loads(last)["validation"]["SumR"])


def folder_of(root: Path, seed: int, draws: Draws) -> Path:
    """Where a run lies."""
    return root / "runs" / f"{draws}-{seed}"


def pairs(root: Path, seeds: Sequence[int]) -> list[Pair]:
    """Of the seeds whose two runs are whole."""
    wanted = recipe(0, "bytes").settings.train.epochs
    found = []
    for seed in seeds:
        logs = [folder_of(root, seed, draws) / "metrics.jsonl" for draws in DRAWS]
        if all(log.exists() and len(log.read_text(encoding="utf-8").splitlines()) == wanted for log in logs):
            found.append(Pair(seed, *(last_sum_r(log.parent) for log in logs)))
    return found


def sign_test(first: int, second: int) -> float:
    """Two-sided exact p of so many differences one way and so many the other; ties are left out. Of the pairs in which
    one run alone is near chance this is McNemar's exact test.
    """
    return float(binomtest(first, first + second).pvalue) if first + second else 1.0


def verdict(found: Sequence[Pair]) -> str:
    """The table of the pairs and both tests, as Markdown."""
    rows = [f"| {one.seed} | {one.ours:.1f} | {one.torchs:.1f} | {one.ours - one.torchs:+.1f} |" for one in found]
    near = [(one.ours < NEAR, one.torchs < NEAR) for one in found]
    only = (sum(a and not b for a, b in near), sum(b and not a for a, b in near))
    higher = (sum(one.ours > one.torchs for one in found), sum(one.ours < one.torchs for one in found))
    spread = [statistics.stdev(values) for values in zip(*((one.ours, one.torchs) for one in found), strict=True)]
    return "\n".join(
        [
            "| seed | SumR, ours | SumR, torch's | difference |\n| ---: | ---: | ---: | ---: |",
            *rows,
            f"\nNear chance (below {NEAR:.1f}): ours {sum(a for a, _ in near)} of {len(near)}, torch's "
            f"{sum(b for _, b in near)}; McNemar's exact test, two-sided: p = {sign_test(*only):.3f}.",
            f"Ours higher in {higher[0]} pairs, torch's in {higher[1]}; sign test, two-sided: p = "
            f"{sign_test(*higher):.3f}. Means {statistics.fmean(one.ours for one in found):.1f} ± {spread[0]:.1f} and "
            f"{statistics.fmean(one.torchs for one in found):.1f} ± {spread[1]:.1f}.",
        ]
    )


def main(say: Callable[[str], None] = print) -> None:
    """Train what is missing, seed by seed, and print what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(args.first, args.first + args.seeds)
    if not args.table:
        data = make_data(args.folder)
        for seed in seeds:
            for draws in DRAWS:
                began = time.process_time()
                train_run(recipe(seed, draws), data, folder_of(args.folder, seed, draws), device="cpu")
                ended = last_sum_r(folder_of(args.folder, seed, draws))
                say(f"seed {seed}, {draws}: SumR {ended:.1f}, {time.process_time() - began:.0f} CPU s")
    found = pairs(args.folder, seeds)
    say(verdict(found) if len(found) > 1 else f"{len(found)} pairs are whole; two at least make a table")


if __name__ == "__main__":
    main()
