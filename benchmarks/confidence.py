"""How often an answer that says it is sure is right: the absent-target protocol, by the length of the query.

.venv/bin/python benchmarks/confidence.py --size demo --seeds 4 [--videos 40] [--run RUN] [--root DIR]
.venv/bin/python benchmarks/confidence.py --pack DIR --run RUN      # simulated features, and a run trained on them

Part of the test videos is the library; the queries of the others have no target (those that one of the library's
events answers truly are left out). Short and middle queries of the world say some attributes of an event, and whether
the library shows them is known; those of a pack are pieces of its captions. Foreign queries are everyday phrases and
strings of letters, of which the banks hold none. The home bank are captions of train videos. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from random import Random
from statistics import mean
from typing import NamedTuple

import torch
from torch import Tensor

from prvr.core.facts import Facts
from prvr.core.types import Bank, EncoderSpec, Query, TextFeatures, VideoFeatures
from prvr.core.vectors import unit_queries
from prvr.data.folder import DataFolder
from prvr.data.simulate import TextEncoder, hashed_words
from prvr.data.world import generate_features, true_similarity, world_queries
from prvr.data.world.acts import Script
from prvr.data.world.script import check_size, split_of, world_script
from prvr.data.world.vocabulary import ACTIONS, COLOUR_WORDS, TEXTURE_WORDS
from prvr.encoders.world import load_world_encoder
from prvr.evaluation.absent import separation
from prvr.index.base import ZERO_SHOT, IndexHeader
from prvr.index.exact import ExactIndex
from prvr.ranker.ranker import Ranker, open_run, zero_shot
from prvr.search.background import letters
from prvr.search.calibration import calibrate
from prvr.search.judge import Judge
from prvr.search.words import SIZES, cut, kind_of, size_of

WHO = ("my sister", "a dog", "two old men", "the teacher", "a girl in boots", "a neighbour", "our cat", "a waiter")
DOES = ("opens a present", "climbs over the fence", "sings in the kitchen", "waits for the bus", "paints the door")
WHEN = ("on a rainy day", "before breakfast", "at the party", "in the old garden", "after school")
LOOKS = tuple(word for table in (COLOUR_WORDS, TEXTURE_WORDS) for words in table.values() for word in words)
THINGS = ("umbrella", "sofa", "bicycle", "wedding cake", "guitar", "suitcase", "kitten", "fire engine")
SCENES = ("in the desert", "at night", "in the woods", "at sea", "downtown", "in the mountains")


class Row(NamedTuple):
    """What is measured of queries of one size, percent but for AUROC and numbers of queries."""

    absent: float  # number of queries without a target
    confident_5: float  # of those without a target, called confident at nominal 5 %
    confident_1: float
    everyday_5: float  # everyday phrases whose topic is accepted
    everyday_1: float
    in_common_5: float  # the same of such that share a word with the library: a pink umbrella
    in_common_1: float
    letters_5: float
    letters_1: float
    present: float  # number of queries with a target
    answered: float  # of those with a target, not `nothing found`
    found_5: float  # right video first and called confident
    auroc: float  # present over absent, by p_instance
    r1: float  # a right video first


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
    videos = args.videos or len(protocol.video_ids) // 2
    print(f"{videos} of {len(protocol.video_ids)} test videos, {args.seeds} draws\n")
    print("| words | " + " | ".join(Row._fields) + " |", "|" + " --- |" * (len(Row._fields) + 1), sep="\n")
    draws = [protocol.measure(seed, videos) for seed in range(args.seeds)]
    for size, (fewest, most) in enumerate(SIZES):
        means = [mean(column) for column in zip(*(rows[size] for rows in draws), strict=True)]
        pairs = zip(Row._fields, means, strict=True)
        cells = [f"{value:.3f}" if name == "auroc" else f"{value:.1f}" for name, value in pairs]
        print(f"| {fewest} to {most} | " + " | ".join(cells) + " |", flush=True)


class Asked(NamedTuple):
    """A query, and which videos show what it says."""

    text: str
    shown_in: frozenset[str]


class Material(NamedTuple):
    """What the protocol is played with."""

    trained: Ranker
    spec: EncoderSpec
    encode: Callable[[list[str]], TextFeatures]
    unknown_words: Callable[[str], Sequence[str]]
    queries: list[Asked]
    home: list[str]  # sentences of the domain that no video of the library shows
    video_ids: list[str]
    read: Callable[[str], VideoFeatures]


def of_world(root: Path, size: str, run: Path | None) -> Material:
    """A generated world and the bundled encoder."""
    encoder = load_world_encoder()
    queries = world_queries(size, 0, "test")
    scripts = [world_script(size, 0, index) for index in range(check_size(size)) if split_of(index) == "test"]
    return Material(
        trained=open_run(run) if run else zero_shot(encoder.spec),
        spec=encoder.spec,
        encode=encoder.encode_texts,
        unknown_words=encoder.unknown_words,
        queries=[*captions(queries, true_similarity(queries) > 0.999), *attributes(scripts)],
        home=[query.text for query in world_queries(size, 0, "train")][:3000:2][:600],
        video_ids=list(dict.fromkeys(query.video_id for query in queries)),
        read=generate_features(root, encoder, size=size).read,
    )


def captions(queries: Sequence[Query], same: Tensor) -> list[Asked]:
    """Whole sentences. same (Q, Q): one event answers the other's query."""
    owners = [query.video_id for query in queries]
    rows = [frozenset(owners[i] for i in row.nonzero().flatten().tolist()) for row in same]
    return [Asked(query.text, row) for query, row in zip(queries, rows, strict=True)]


def attributes(scripts: Sequence[Script]) -> list[Asked]:
    """Queries of one to five words that say some attributes of somebody, and all videos in which somebody has them."""
    shown: dict[str, set[str]] = {}
    for script in scripts:
        for act in (*script.events, *script.extras):
            done = verb(act.action) if act in script.events and len(act.actors) == 1 else ""
            for shape, colour, texture in ((one.shape, one.colour, one.texture) for one in act.actors):
                texts = [shape, f"{colour} {shape}", f"{texture} {shape}", f"a {colour} {shape}"]
                texts += [f"{texture} {colour} {shape}", f"a {texture} {colour} {shape}"]
                texts += [
                    f"{shape} {done}",
                    f"a {shape} {done}",
                    f"{colour} {shape} {done}",
                    f"a {colour} {shape} {done}",
                ]
                for text in texts if done else texts[:6]:
                    shown.setdefault(text, set()).add(script.video_id)
    return [Asked(text, frozenset(videos)) for text, videos in shown.items()]


def verb(action: str) -> str:
    """Its plainest form, without whom it is done to."""
    return ACTIONS[action][0].third.replace(" {}", "").split()[0]


def of_pack(folder: Path, run: Path) -> Material:
    """SIMULATED features over real annotations, and a run that was trained on them; sentences are hashed words."""
    data, words = DataFolder(folder), hashed_words(DataFolder(folder).spec.text_width)
    queries = data.queries(data.reported)
    spec = EncoderSpec(
        name=words.name, revision="0" * 12, width=words.width, image_size=(1, 1), mean=(0, 0, 0), std=(1, 1, 1),
        crop=False, token_limit=77,
    )  # fmt: skip
    shown: dict[str, set[str]] = {}
    for query in queries:
        for text in (query.text.lower(), *(cut(query.text.lower(), size) for size in range(len(SIZES) - 1))):
            shown.setdefault(text, set()).add(query.video_id)
    return Material(
        trained=open_run(run),
        spec=spec,
        encode=hashed_rows(words),
        unknown_words=lambda _: (),
        queries=[Asked(text, frozenset(videos)) for text, videos in shown.items() if text],
        home=[query.text for query in data.queries("train")][:3000:2][:600],
        video_ids=list(dict.fromkeys(query.video_id for query in queries)),
        read=data.source.read,
    )


def hashed_rows(words: TextEncoder) -> Callable[[list[str]], TextFeatures]:
    """Sentences as a simulated pack holds them: the words, then the sentence as the last row."""

    def encode(texts: list[str]) -> TextFeatures:
        rows = words.rows(texts)
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        valid = torch.arange(padded.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
        return TextFeatures(padded, valid, torch.stack([row[-1] for row in rows]))

    return encode


def everyday(size: int) -> list[str]:
    """Phrases of a size about daily life."""
    pieces = (" ".join(parts) for parts in product(WHO, DOES, WHEN))
    nouns = (*WHO, *THINGS)
    found = [*nouns, *(f"{a} and {b}" for a, b in product(nouns, nouns)), *pieces]
    found += [*(f"{a} {b}" for a, b in product(WHO, DOES)), *(f"{a} {b}" for a, b in product(WHO, WHEN))]
    return _drawn(found, size)


def in_common(size: int) -> list[str]:
    """Phrases of a size about things of daily life that look, or are where, things of the library are."""
    frames = ("{look} {thing}", "a {look} {thing}", "the {thing} {scene}", "my {look} {thing} {scene}")
    parts = product((*frames, "there is a {look} {thing} {scene} today"), LOOKS, THINGS, SCENES)
    return _drawn([frame.format(look=look, thing=thing, scene=scene) for frame, look, thing, scene in parts], size)


def _drawn(texts: Iterable[str], size: int) -> list[str]:
    fitting = [text for text in dict.fromkeys(texts) if size_of(text) == size]
    return Random("drawn").sample(fitting, min(300, len(fitting)))


class Chances(NamedTuple):
    """What is known of the best hit of each of some queries."""

    topic: Tensor  # (Q,)
    instance: Tensor  # (Q,)

    def share(self, nominal: int, *, confident: bool = False) -> float:
        """Percent that are accepted at a nominal percentage."""
        level = nominal / 100
        return share((self.topic <= level) & (self.instance <= level) if confident else self.topic <= level)


class Protocol:
    """One library's worth of videos and queries, its vectors made once."""

    def __init__(self, material: Material) -> None:
        self.material, self.trained = material, material.trained
        self.video_ids = material.video_ids
        videos = [material.read(video_id) for video_id in self.video_ids]
        chunks = [self.trained.banks(videos[at : at + 64]) for at in range(0, len(videos), 64)]
        self.banks: list[Bank] = [bank for chunk in chunks for bank in chunk]
        self.durations = [video.duration_s for video in videos]
        self.vectors: Mapping[str, Tensor] = {}
        self.foreign = [
            (everyday(size), in_common(size), letters(300, size=size, seed="benchmark")) for size in range(len(SIZES))
        ]
        texts = [one.text for one in material.queries]
        texts += [text for kinds in self.foreign for some in kinds for text in some]
        self.vectors = dict(zip(texts, self.embed(texts), strict=True))

    def embed(self, texts: list[str]) -> Tensor:
        """Q sentences -> (Q, D)."""
        parts = [texts[at : at + 512] for at in range(0, len(texts), 512)]
        encode, model = self.material.encode, self.trained.model
        with torch.inference_mode():
            return torch.cat([model.encode_queries(unit_queries(encode(part))) for part in parts])

    def measure(self, seed: int, videos: int) -> list[Row]:
        """One library drawn, calibrated and asked -> a row a size of query."""
        order = torch.randperm(len(self.video_ids), generator=torch.Generator().manual_seed(seed))
        header = IndexHeader(
            encoder=self.material.spec,
            model=self.trained.fingerprint or ZERO_SHOT,
            width=self.trained.width,
            clip_weight=self.trained.model.clip_weight,
        )
        index = ExactIndex(header)
        for v in order[:videos].sort().values.tolist():
            index.add(self.video_ids[v], self.banks[v], facts=Facts(duration_s=self.durations[v]))
        spec, unknown, home = self.material.spec, self.material.unknown_words, self.material.home
        calibrate(index, self.embed, encoder=spec, unknown_words=unknown, home=home)
        judge = Judge.of(index)
        assert judge is not None, "the library is too small to be calibrated"
        return [self._row(index, judge, size) for size in range(len(SIZES))]

    def _row(self, index: ExactIndex, judge: Judge, size: int) -> Row:
        library = index.versions.keys()
        queries = [one for one in self.material.queries if size_of(one.text) == size]
        present, absent = ([one for one in queries if bool(one.shown_in & library) == there] for there in (True, False))
        ids, scores = index.score_all(torch.stack([self.vectors[one.text] for one in present]))
        first = torch.tensor(
            [ids[v] in one.shown_in for v, one in zip(scores.argmax(1).tolist(), present, strict=True)]
        )
        there, missing = (self._chances(index, judge, [one.text for one in part]) for part in (present, absent))
        daily, common, strings = (self._chances(index, judge, texts) for texts in self.foreign[size])
        return Row(
            absent=len(absent),
            confident_5=missing.share(5, confident=True),
            confident_1=missing.share(1, confident=True),
            everyday_5=daily.share(5),
            everyday_1=daily.share(1),
            in_common_5=common.share(5),
            in_common_1=common.share(1),
            letters_5=strings.share(5),
            letters_1=strings.share(1),
            present=len(present),
            answered=share(there.topic <= 0.05),
            found_5=share((there.topic <= 0.05) & (there.instance <= 0.05) & first),
            auroc=separation(-there.instance.numpy(), -missing.instance.numpy()),
            r1=share(first),
        )

    def _chances(self, index: ExactIndex, judge: Judge, texts: Sequence[str]) -> Chances:
        best = index.score_all(torch.stack([self.vectors[text] for text in texts]))[1].amax(1)
        kinds = [kind_of(text, self.material.unknown_words) for text in texts]
        found = [judge.judge([kind], score[None, None])[0] for kind, score in zip(kinds, best, strict=True)]
        pairs = [(one.p_topic, 1.0 if one.p_instance is None else one.p_instance) for one in found]
        topic, instance = torch.tensor(pairs, dtype=torch.float64).T
        return Chances(topic, instance)


def share(true: Tensor) -> float:
    """Percent."""
    return 100 * float(true.double().mean())


if __name__ == "__main__":
    main()
