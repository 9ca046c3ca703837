"""What order, negatives and words bring, measured on a generated world with the bare encoder.

.venv/bin/python benchmarks/grammar.py [--size demo] [--root DIR]

Order: two events of one video as `A then B` and as `B then A`, and as one sentence that says so.
Negatives: `a red ball -"in the desert"`: videos with a red ball elsewhere against those with one in the desert only.
Words: subtitles that say a made-up word in some videos; queries that name it, and the plain captions, which must not
suffer from subtitles that speak of other things.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import combinations, product
from pathlib import Path
from random import Random
from statistics import mean

import numpy as np
import torch
from torch import Tensor

from prvr.core.facts import Cue, Facts
from prvr.core.types import Query
from prvr.data.world import generate_features, world_queries
from prvr.data.world.grammar import vocabulary
from prvr.data.world.vocabulary import COLOURS, SCENE_WORDS, SHAPE_WORDS
from prvr.encoders.world import load_world_encoder
from prvr.evaluation.absent import separation
from prvr.index.base import ZERO_SHOT, IndexHeader
from prvr.index.exact import ExactIndex
from prvr.ranker.ranker import zero_shot
from prvr.search import ranking
from prvr.search.engine import SearchEngine
from prvr.search.ranking import by_instants

EVERY = 10_000  # hits: the whole library


def engine_of(root: Path, size: str, cues: Mapping[str, tuple[Cue, ...]] | None = None) -> SearchEngine:
    """All videos of a world with the bare encoder, in memory."""
    encoder = load_world_encoder()
    trained, store = zero_shot(encoder.spec), generate_features(root, encoder, size=size)
    header = IndexHeader(encoder=encoder.spec, model=ZERO_SHOT, width=trained.width, clip_weight=0.0)
    index = ExactIndex(header)
    for entry in store.entries():
        (bank,) = trained.banks([store.read(entry.video_id)])
        said = (cues or {}).get(entry.video_id, ())
        index.add(entry.video_id, bank, facts=Facts(duration_s=entry.duration_s), cues=said)
    return SearchEngine(index, root, encoder, trained)


def order(engine: SearchEngine, videos: Mapping[str, list[Query]], *, pairs: int) -> None:
    """Print how often the right order beats the wrong one, and where the video stands in the answer."""
    chosen = [(a, b) for events in videos.values() for a, b in combinations(events, 2)]
    chosen = Random("order").sample(chosen, min(pairs, len(chosen)))
    right, first = Counter[str](), Counter[str]()
    limit = engine.encoder.spec.token_limit - 1
    for a, b in chosen:
        steps = engine.embed_many([a.text, b.text])
        joined = [" ".join(f"{x.text[:-1]} then {y.text}".split()[:limit]) for x, y in ((a, b), (b, a))]
        ways = {
            "`A then B`": [scores_of(engine, steps), scores_of(engine, steps.flip(0))],
            "one sentence": [scores_of(engine, one[None]) for one in engine.embed_many(joined)],
        }
        for name, (forth, back) in ways.items():
            own = a.video_id
            right[name] += 2 * (forth[own] > back[own]) + (forth[own] == back[own])
            first[name] += max(forth, key=forth.__getitem__) == own
        ids, scores = engine.index.score_all(steps)
        first["both, in any order"] += ids[int(scores.mean(0).argmax())] == a.video_id
    print(f"\n{len(chosen)} pairs of events\n\n| query | order told right | R@1 |\n| --- | --- | --- |")
    for name, hits in first.items():
        told = f"{50 * right[name] / len(chosen):.1f} %" if name in right else "-"
        print(f"| {name} | {told} | {100 * hits / len(chosen):.1f} % |", flush=True)


def scores_of(engine: SearchEngine, steps: Tensor, negatives: Tensor | None = None) -> dict[str, float]:
    """steps (S, D) in order of time -> the score of every video, best first."""
    none = steps[:0] if negatives is None else negatives
    within: list[float | None] = [None] * (len(steps) - 1)
    rows = by_instants(engine.index, steps, none, within_s=within, k=EVERY, where=None)
    return {row.candidate.video_id: row.score for row in rows}


def negatives(engine: SearchEngine, videos: Mapping[str, list[Query]]) -> None:
    """Print how well each strength keeps the unwanted down, and what it costs the wanted."""
    default = ranking.STRENGTH
    print("\n| strength of a negative | wanted above unwanted (AUROC) | mAP of the wanted |\n| --- | --- | --- |")
    for strength in (0.0, 0.25, 0.5, 1.0, 2.0):
        ranking.STRENGTH = strength
        apart, precision = [], []
        for (shape, colour), scene in product(product(SHAPE_WORDS, COLOURS), SCENE_WORDS):
            scenes = {video_id: scenes_of(events, shape, colour) for video_id, events in videos.items()}
            wanted = {video_id for video_id, found in scenes.items() if found and scene not in found}
            unwanted = {video_id for video_id, found in scenes.items() if found == {scene}}
            if len(wanted) < 2 or not unwanted:
                continue
            vectors = engine.embed_many([f"a {colour} {shape}", SCENE_WORDS[scene][0]])
            scores = scores_of(engine, vectors[:1], vectors[1:])
            ours, theirs = (np.array([scores[video_id] for video_id in group]) for group in (wanted, unwanted))
            apart.append(separation(ours, theirs))
            found = torch.tensor([video_id in wanted for video_id in scores]).double()
            precision.append(float((found * found.cumsum(0) / torch.arange(1, len(found) + 1)).sum() / len(wanted)))
        rows = [sum(values) / len(values) for values in (apart, precision)]
        print(f"| {strength:g}{' (default)' * (strength == default)} | {rows[0]:.3f} | {rows[1]:.3f} |", flush=True)
    ranking.STRENGTH = default


def scenes_of(events: list[Query], shape: str, colour: str) -> set[str]:
    """In front of what something is seen in a video."""
    meanings = [event.attributes or {} for event in events]
    return {m["scene"] for m in meanings if (m["shape"], m["colour"]) == (shape, colour)}


def words(root: Path, size: str, videos: Mapping[str, list[Query]]) -> None:
    """Print R@1 with and without words, of queries that name what is said and of queries that do not.

    Every video says one made-up word, and lines of common words, or of random words of the captions' own vocabulary.
    """
    rng = Random("words")
    names = ["".join(chr(97 + int(rng.random() * 26)) for _ in range(7)) for _ in videos]
    captions = [(event.text, video_id) for video_id, events in videos.items() for event in events][::9]
    named = [(name, events[0]) for name, events in zip(names, videos.values(), strict=True)][:150]
    rows = {
        "the word alone": [(name, event.video_id) for name, event in named],
        "the word and a caption": [(f"{name} {event.text}", event.video_id) for name, event in named],
        "a caption alone": captions,
    }
    default, shares = ranking.SAID, (0.1, 0.3, 0.5, 0.7)  # of the text that must be said
    common = "so now let us have a look at what the red ball and the blue star do here today"
    for chatter in (common.split(), list(vocabulary())):
        cues = {}
        for name, (video_id, events) in zip(names, videos.items(), strict=True):
            start = (events[0].windows or ((0.0, 0.0),))[0][0]
            said = Cue(start, start + 2.0, f"and this is {name} speaking")
            lines = [" ".join(rng.choices(chatter, k=6)) for _ in events]
            cues[video_id] = (said, *(Cue(3.0 * i, 3.0 * i + 2.5, text) for i, text in enumerate(lines)))
        engine = engine_of(root, size, cues)
        heads = ["off", *(f"{share:g}{' (default)' * (share == default)}" for share in shares)]
        print(f"\n{len(set(chatter))} words of chatter: R@1 where so much must be said, or a word that names\n")
        print(f"| | {' | '.join(heads)} |\n|{' --- |' * (len(heads) + 1)}")
        for title, queries in rows.items():
            texts, own = zip(*queries, strict=True)
            cells = []
            for share in (None, *shares):
                ranking.SAID = share or default
                answers = engine.search_many(texts, k=1, words=share is not None)
                right = (hits[0].video_id == video_id for hits, video_id in zip(answers, own, strict=True))
                cells.append(100 * mean(right))
            print(f"| {title} | {' | '.join(f'{cell:.1f} %' for cell in cells)} |", flush=True)
    ranking.SAID = default


def main() -> None:
    """Print three Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--size", default="demo")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--root", type=Path, help="where the features are kept; default: nowhere")
    args = parser.parse_args()
    torch.set_num_threads(1)
    videos: defaultdict[str, list[Query]] = defaultdict(list)
    for split in ("train", "val", "test"):
        for query in world_queries(args.size, 0, split):
            videos[query.video_id].append(query)
    with tempfile.TemporaryDirectory() as temporary:
        root = args.root or Path(temporary)
        engine = engine_of(root, args.size)
        order(engine, videos, pairs=args.pairs)
        negatives(engine, videos)
        words(root, args.size, videos)


if __name__ == "__main__":
    main()
