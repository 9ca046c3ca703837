"""Whether taking off what a video scores with background sentences ranks better, on `val` and `test` of the demo.

.venv/bin/python benchmarks/bias.py --root demo [--run demo/runs/world-0]

The background are captions of a world that nobody uses (home) or sentences about other things (foreign); what is taken
off is a share of a video's mean, or of the mean of its 32 highest scores. Prints a Markdown table, and how often the
first hit is a video that the run was trained on, where 70 % of all are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from prvr.core.facts import Facts
from prvr.data.world import world_queries
from prvr.encoders.world import load_world_encoder
from prvr.features.store import FeatureStore
from prvr.index.base import ZERO_SHOT, IndexHeader
from prvr.index.exact import ExactIndex
from prvr.ranker.ranker import Ranker, open_run, zero_shot
from prvr.search.background import background
from prvr.search.calibration import WORLD_SEED
from prvr.search.sentences import embed

HIGHEST = 32


def main() -> None:
    """Print the table of one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--root", type=Path, required=True, help="a folder that `prvr demo` made")
    parser.add_argument("--run", type=Path, help="a trained run instead of the bare encoder")
    args = parser.parse_args()
    encoder = load_world_encoder()
    trained = open_run(args.run) if args.run else zero_shot(encoder.spec)
    index = library(args.root, trained)
    texts = {
        "home": [query.text for query in world_queries("demo", WORLD_SEED, "train")[:600]],
        "foreign": list(background(2)),
    }
    scores = {name: index.score_all(embed(encoder, trained, some))[1] for name, some in texts.items()}
    learned = {query.video_id for query in world_queries("demo", 0, "train")}
    print("| taken off | R@1 val | R@5 | R@10 | R@1 test | R@5 | R@10 |\n|" + " --- |" * 7)
    asked = {}
    for split in ("val", "test"):
        queries = world_queries("demo", 0, split)
        ids, found = index.score_all(embed(encoder, trained, [query.text for query in queries]))
        asked[split] = found, torch.tensor([ids.index(query.video_id) for query in queries])
    ways = {"nothing": torch.zeros(len(ids))}
    for name, rows in scores.items():
        for share in (0.25, 0.5, 1.0):
            ways[f"{share:g} x mean, {name}"] = share * rows.mean(0)
            ways[f"{share:g} x mean of {HIGHEST} highest, {name}"] = share * rows.topk(HIGHEST, 0).values.mean(0)
    for name, less in ways.items():
        cells = [cell for found, own in asked.values() for cell in recalls(found - less, own)]
        print(f"| {name} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |", flush=True)
    first = [ids[v] in learned for v in asked["test"][0].argmax(1).tolist()]
    print(f"\nFirst hits of test queries that are videos of train: {100 * sum(first) / len(first):.0f} %")


def library(root: Path, trained: Ranker) -> ExactIndex:
    """All videos of a demo, in memory."""
    store = FeatureStore.open(root / "features")
    header = IndexHeader(
        encoder=store.header.encoder,
        model=trained.fingerprint or ZERO_SHOT,
        width=trained.width,
        clip_weight=trained.model.clip_weight,
    )
    index, entries = ExactIndex(header), store.entries()
    banks = trained.banks([store.read(entry.video_id) for entry in entries])
    for entry, bank in zip(entries, banks, strict=True):
        index.add(entry.video_id, bank, facts=Facts(duration_s=entry.duration_s))
    return index


def recalls(scores: Tensor, own: Tensor) -> list[float]:
    """scores (Q, V), own (Q,) -> R@1, R@5, R@10 in percent, ties counting against."""
    rank = (scores >= scores.gather(1, own[:, None])).sum(1)
    return [100 * float((rank <= k).double().mean()) for k in (1, 5, 10)]


if __name__ == "__main__":
    main()
