"""How often an answer that says it is sure is right: the absent-target protocol on a generated world.

.venv/bin/python benchmarks/confidence.py --size demo --seeds 4 [--videos 40] [--run RUN] [--root DIR]
.venv/bin/python benchmarks/confidence.py --pack DIR --run RUN      # simulated features, and a run trained on them

Half of the test videos are the library; the queries of the others have no target (those that one of the library's
events answers truly are left out). Foreign queries are everyday sentences and strings of letters, of which the banks
hold none. Prints a Markdown table: the captions of train videos are the home bank `log`, sentences of a world that
nobody uses the one called `shipped`; other rows are `log` without one part or with more of it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.separation import separation
from prvr.core.facts import Facts
from prvr.core.types import Bank, EncoderSpec, Query, TextFeatures, VideoFeatures
from prvr.core.vectors import unit_queries
from prvr.data.folder import DataFolder
from prvr.data.simulate import TextEncoder, hashed_words
from prvr.data.world import generate_features, true_similarity, world_queries
from prvr.encoders.world import load_world_encoder
from prvr.index.base import ZERO_SHOT, IndexHeader
from prvr.index.exact import ExactIndex
from prvr.ranker.ranker import Ranker, open_run, zero_shot
from prvr.search import confidence
from prvr.search.background import letters
from prvr.search.calibration import calibrate
from prvr.search.judge import Judge

WHO = ("my sister", "a dog", "two old men", "the teacher", "a girl in boots", "a neighbour", "our cat", "a waiter")
DOES = ("opens a present", "climbs over the fence", "sings in the kitchen", "waits for the bus", "paints the door")
WHEN = ("on a rainy day", "before breakfast", "at the party", "in the old garden", "after school")


class Row(NamedTuple):
    """What is measured, percent but for AUROC."""

    removed_5: float  # queries without a target that are called confident, at nominal 5 %
    removed_1: float
    everyday_5: float  # foreign queries whose topic is accepted
    everyday_1: float
    letters_5: float
    found_5: float  # right video first and called confident
    found_true_5: float  # the same where the threshold gives exactly 5 % of the removed
    raw_true_5: float  # the same for the bare cosine
    auroc: float  # present over removed
    raw_auroc: float
    topic: float  # queries with a target whose topic is accepted
    r1: float
    raw_r1: float
    r10: float
    raw_r10: float


class Case(NamedTuple):
    """One way to calibrate."""

    name: str
    shipped: bool = False  # home bank: sentences of another world instead of captions of train videos
    strength: float | None = None  # of the bias; None: the default
    t_norm: bool = False


CASES = (
    Case("home bank `log`"),
    Case("home bank `shipped`", shipped=True),
    Case("no bias", strength=0.0),
    Case("bias 0.75", strength=0.75),
    Case("t-norm", t_norm=True),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--size", default="demo")
    parser.add_argument("--seeds", type=int, default=4, help="draws of the library")
    parser.add_argument("--videos", type=int, help="in the library; default: half of the test videos")
    parser.add_argument("--run", type=Path, help="a trained run instead of the bare encoder")
    parser.add_argument("--pack", type=Path, help="a folder of simulated features, with --run trained on it")
    parser.add_argument("--root", type=Path, help="where the features are kept; default: nowhere")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if args.pack:
            protocol = Protocol(of_pack(args.pack, args.run))
        else:
            protocol = Protocol(of_world(args.root or Path(temporary), args.size, args.run))
        head = "| | " + " | ".join(Row._fields) + " |"
        videos = args.videos or len(protocol.video_ids) // 2
        print(
            f"{videos} of {len(protocol.video_ids)} test videos, {len(protocol.queries)} queries, {args.seeds} draws\n"
        )
        print(head, "|" + " --- |" * (len(Row._fields) + 1), sep="\n")
        # sentences of a home that is shipped are of the generated world
        for case in [case for case in CASES if not (args.pack and case.shipped)]:
            rows = [protocol.measure(seed, case, args.videos) for seed in range(args.seeds)]
            means = [mean(column) for column in zip(*rows, strict=True)]
            pairs = zip(Row._fields, means, strict=True)
            cells = [f"{value:.3f}" if "auroc" in name else f"{value:.1f}" for name, value in pairs]
            print(f"| {case.name} | " + " | ".join(cells) + " |", flush=True)


class Material(NamedTuple):
    """What the protocol is played with."""

    trained: Ranker
    spec: EncoderSpec
    encode: Callable[[list[str]], TextFeatures]
    queries: list[Query]
    home: list[str]  # sentences of the domain that no video of the library shows
    read: Callable[[str], VideoFeatures]
    same: Tensor  # (Q, Q) one event answers the other's query


def of_world(root: Path, size: str, run: Path | None) -> Material:
    """A generated world and the bundled encoder."""
    encoder = load_world_encoder()
    queries = world_queries(size, 0, "test")
    return Material(
        trained=open_run(run) if run else zero_shot(encoder.spec),
        spec=encoder.spec,
        encode=encoder.encode_texts,
        queries=queries,
        home=[query.text for query in world_queries(size, 0, "train")][:3000:2][:600],
        read=generate_features(root, encoder, size=size).read,
        same=true_similarity(queries) > 0.999,
    )


def of_pack(folder: Path, run: Path) -> Material:
    """SIMULATED features over real annotations, and a run that was trained on them; sentences are hashed words."""
    data, words = DataFolder(folder), hashed_words(DataFolder(folder).spec.text_width)
    queries = data.queries(data.reported)
    spec = EncoderSpec(
        name=words.name, revision="0" * 12, width=words.width, image_size=(1, 1), mean=(0, 0, 0), std=(1, 1, 1),
        crop=False, token_limit=77,
    )  # fmt: skip
    texts = [query.text.lower() for query in queries]
    return Material(
        trained=open_run(run),
        spec=spec,
        encode=hashed_rows(words),
        queries=queries,
        home=[query.text for query in data.queries("train")][:3000:2][:600],
        read=data.source.read,
        same=torch.tensor([[one == other for other in texts] for one in texts]),
    )


def hashed_rows(words: TextEncoder) -> Callable[[list[str]], TextFeatures]:
    """Sentences as a simulated pack holds them: the words, then the sentence as the last row."""

    def encode(texts: list[str]) -> TextFeatures:
        rows = words.rows(texts)
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        valid = torch.arange(padded.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
        return TextFeatures(padded, valid, torch.stack([row[-1] for row in rows]))

    return encode


class Protocol:
    """One library's worth of videos and queries, its vectors made once."""

    def __init__(self, material: Material) -> None:
        self.trained, self.spec, self.encode, self.queries, self.home, read, self.same = material
        self.video_ids = list(dict.fromkeys(query.video_id for query in self.queries))
        videos = [read(video_id) for video_id in self.video_ids]
        chunks = [self.trained.banks(videos[at : at + 64]) for at in range(0, len(videos), 64)]
        self.banks: list[Bank] = [bank for chunk in chunks for bank in chunk]
        self.durations = [video.duration_s for video in videos]
        self.vectors = self.embed([query.text for query in self.queries])
        self.own = torch.tensor([self.video_ids.index(query.video_id) for query in self.queries])
        self.everyday = self.embed([" ".join(parts) for parts in product(WHO, DOES, WHEN)])
        self.letters = self.embed(letters(300, seed="benchmark"))

    def embed(self, texts: list[str]) -> Tensor:
        """Q sentences -> (Q, D)."""
        parts = [texts[at : at + 512] for at in range(0, len(texts), 512)]
        with torch.inference_mode():
            return torch.cat([self.trained.model.encode_queries(unit_queries(self.encode(part))) for part in parts])

    def measure(self, seed: int, case: Case, size: int | None) -> Row:
        """One library drawn, calibrated and asked."""
        order = torch.randperm(len(self.video_ids), generator=torch.Generator().manual_seed(seed))
        chosen = order[: size or len(order) // 2].sort().values
        header = IndexHeader(
            encoder=self.spec,
            model=self.trained.fingerprint or ZERO_SHOT,
            width=self.trained.width,
            clip_weight=self.trained.model.clip_weight,
        )
        index = ExactIndex(header)
        for v in chosen.tolist():
            index.add(self.video_ids[v], self.banks[v], facts=Facts(duration_s=self.durations[v]))
        default = confidence.STRENGTH
        confidence.STRENGTH = default if case.strength is None else case.strength
        calibrate(index, self.embed, encoder=self.spec, home=() if case.shipped else self.home, t_norm=case.t_norm)
        confidence.STRENGTH = default
        judge = Judge.of(index)
        assert judge is not None, "the library is too small to be calibrated"
        present = torch.isin(self.own, chosen)
        twin = (self.same & present[None]).any(1)
        return self._row(index, judge, present, ~present & ~twin)

    def _row(self, index: ExactIndex, judge: Judge, present: Tensor, absent: Tensor) -> Row:
        ids, raw = index.score_all(self.vectors)
        less = raw - judge.bias(ids)
        column = torch.tensor(
            [ids.index(query.video_id) if query.video_id in index.versions else 0 for query in self.queries]
        )
        rank, raw_rank = (ranks(scores[present], column[present]) for scores in (less, raw))
        best, raw_best = less.amax(1), raw.amax(1)
        topic, instance = self._chances(judge, self.vectors, best)
        foreign = [
            self._chances(judge, queries, (index.score_all(queries)[1] - judge.bias(ids)).amax(1))[0]
            for queries in (self.everyday, self.letters)
        ]
        first, raw_first = rank == 1, raw_rank == 1
        return Row(
            removed_5=share(instance[absent] <= 0.05),
            removed_1=share(instance[absent] <= 0.01),
            everyday_5=share(foreign[0] <= 0.05),
            everyday_1=share(foreign[0] <= 0.01),
            letters_5=share(foreign[1] <= 0.05),
            found_5=share((instance[present] <= 0.05) & first),
            found_true_5=share((-instance[present] > torch.quantile(-instance[absent], 0.95)) & first),
            raw_true_5=share((raw_best[present] > torch.quantile(raw_best[absent], 0.95)) & raw_first),
            auroc=separation(-instance[present], -instance[absent]),
            raw_auroc=separation(raw_best[present], raw_best[absent]),
            topic=share(topic[present] <= 0.05),
            r1=share(first),
            raw_r1=share(raw_first),
            r10=share(rank <= 10),
            raw_r10=share(raw_rank <= 10),
        )

    def _chances(self, judge: Judge, queries: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
        topic, instance = judge.chances(queries, best[:, None])
        assert topic is not None
        assert instance is not None
        return topic[:, 0], instance[:, 0]


def ranks(scores: Tensor, own: Tensor) -> Tensor:
    """scores (Q, V), own (Q,) -> (Q,) the rank of each query's own video, ties counting against it."""
    return (scores >= scores.gather(1, own[:, None])).sum(1)


def share(true: Tensor) -> float:
    """Percent."""
    return 100 * float(true.double().mean())


if __name__ == "__main__":
    main()
