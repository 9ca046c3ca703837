"""Injuries of every kind of file that prvr writes: a flipped bit, a cut, an empty file, a file that is gone.

After each, what is read of the folder is compared with what was there before. The answer may be the same, or something
may be said (an error in one line, a problem beside the answer, a damage that `--verify` names); another answer
without a word is a fault. Then it is mended, where the source is there, and must equal what was there before.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.torture.kills import checkpoint, data_in, forked, void
from prvr.core.errors import PrvrError
from prvr.core.weights import digest
from prvr.data.folder import DataFolder
from prvr.data.world import generate_world
from prvr.encoders import catalogue
from prvr.encoders.loading import load_encoder
from prvr.encoders.world import load_world_encoder
from prvr.features.store import FeatureStore
from prvr.index.embedded import EmbeddedIndex
from prvr.methods.recipe import load_recipe
from prvr.ranker.ranker import open_run
from prvr.runs.measure import evaluate_run
from prvr.runs.train import train_run
from prvr.search.indexing import build_index, repair, verify
from prvr.training.checkpoint import load_state
from prvr.training.run_folder import LAST

Answer = tuple[Any, list[str]]  # what is answered, and what is said beside it
SEEDS = torch.randn(4, 128, generator=torch.Generator().manual_seed(1))


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Files of one kind: which they are below the folder, what is read of them, and how they are mended."""

    name: str
    files: str  # a pattern
    read: Callable[[Path], Answer]
    mend: Callable[[Path], None] | None = None


def injure(path: Path, chance: random.Random) -> str:
    """One of the four, at random; -> its name."""
    content = bytearray(path.read_bytes())
    how = chance.choice(["flip", "flip", "cut", "empty", "gone"])
    if how == "flip" and content:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
    elif how == "cut":
        path.write_bytes(content[: chance.randrange(len(content) or 1)])
    elif how == "gone":
        path.unlink()
    else:
        path.write_bytes(b"")
    return how


def injuries(folder: Path, times: int, names: list[str] | None = None) -> Iterator[str]:
    """So many of each kind; -> a row of the table each."""
    torch.set_num_threads(1)
    whole, kept = folder / "whole", folder / "kept"
    make(whole)
    for kind in KINDS:
        if names and kind.name not in names:
            continue
        began, chance = time.monotonic(), random.Random(kind.name)
        wanted = json.loads(json.dumps(kind.read(whole)[0]))
        if not kept.exists():
            whole.rename(kept)  # each injury is of a copy that lies where this lay, for features say where files were
        found: Counter[str] = Counter()
        for n in range(times):
            shutil.rmtree(whole, ignore_errors=True)
            shutil.copytree(kept, whole, symlinks=True)
            file = chance.choice(sorted(path for path in whole.glob(kind.files) if path.is_file()))
            how = injure(file, chance)
            outcome = judged(partial(kind.read, whole), wanted, folder / "said.json")
            found[outcome] += 1
            if outcome in ("SILENT", "DIED"):
                print(f"  {kind.name} {n}: {how} of {file.relative_to(whole)}: {outcome}", flush=True)
            if kind.mend:
                pid = forked(partial(kind.mend, whole))
                mended = os.waitpid(pid, 0)[1] == 0
                equal = mended and judged(partial(kind.read, whole), wanted, folder / "said.json") in (
                    "same",
                    "equal, said",
                )
                found["mended"] += equal
                if not equal:
                    print(f"  {kind.name} {n}: {how} of {file.relative_to(whole)}: not equal after mending", flush=True)
        shutil.rmtree(whole)
        shutil.copytree(kept, whole, symlinks=True)
        bad = found["SILENT"] + found["DIED"]
        words = ", ".join(f"{count} {what}" for what, count in sorted(found.items()) if what != "mended")
        after = f"{found['mended']} of {times} equal after mending" if kind.mend else "no source to mend from"
        spent = time.monotonic() - began
        yield f"| injuries: {kind.name} | {times} ({spent:.0f} s): {words} | {bad} wrong without a word; {after} |"


def judged(read: Callable[[], Answer], wanted: Any, place: Path) -> str:
    """What reading says, in a process of its own."""

    def work() -> None:
        try:
            answer, words = read()
        except PrvrError as error:
            answer, words = None, [str(error)]
        void(place.write_text(json.dumps([answer, words])))

    if os.waitpid(forked(work), 0)[1] != 0:
        return "DIED"
    answer, words = json.loads(place.read_text())
    if answer == wanted:
        return "equal, said" if words else "same"
    return "said" if words else "SILENT"


def make(root: Path) -> None:
    """A folder with a file of every kind."""
    world, run, models = root / "world", root / "run", root / "models"
    generate_world(world, size="tiny", seed=0, workers=1)
    for video in sorted((world / "videos").glob("*.webm"))[:4]:
        video.with_suffix(".srt").write_text(f"1\n00:00:00,000 --> 00:00:02,000\nsaid in {video.stem}\n")
    read_videos(world)
    small = ["model.hidden=16", "model.heads=2", "batch_videos=4", "train.epochs=1", "loss.hard_from_epoch=1"]
    train_run(load_recipe("prvr.methods.msc.runs:world").with_settings(small), DataFolder(world), run, device="cpu")
    evaluate_run(open_run(run), DataFolder(world), "val")
    with data_in(models):
        catalogue.import_folder(checkpoint(root / "checkpoint"), "mine")


def read_videos(world: Path) -> None:
    """Videos to an index beside them."""
    build_index([world / "videos"], world, load_world_encoder(), workers=1, tags=["shapes"], home=[])


def of_index(folder: Path) -> Answer:
    """Hits, facts, words and versions."""
    with EmbeddedIndex.open(folder / "world") as opened:
        hits = [[[hit.video_id, hit.bank.tokens.sum().item()] for hit in opened.search(q, k=5)] for q in SEEDS]
        facts = {key: [one.path, one.tags, one.duration_s] for key, one in opened.all_facts().items()}
        said = [hit.video_id for hit in opened.words("said w0001", k=9)]
        words = list(opened.problems)
        answer = [hits, facts, said, dict(opened.versions)]
    return answer, words or list(map(str, verify(folder / "world")))


def of_store(folder: Path) -> Answer:
    """Every video that can be read."""
    store = FeatureStore.open(folder / "world" / "features")
    entries = store.entries()
    rows, words = {}, []
    for entry in entries:
        try:
            rows[entry.video_id] = [store.read(entry.video_id).features.sum().item(), entry.duration_s, entry.size]
        except PrvrError as error:
            words.append(str(error))
    lost = [f"{path} is not readable" for path in (store.folder / "videos").glob("*.safetensors")][len(entries) :]
    gone = [f"{n} videos are not here" for n in [12 - len(rows)] if n > 0]
    return rows, [*words, *lost, *gone]


def of_run(folder: Path) -> Answer:
    """The model, and what training goes on from."""
    ranker = open_run(folder / "run")
    state = load_state(folder / "run" / LAST)
    return [ranker.fingerprint, ranker.title, sorted(state.weights), digest(state.weights), state.groups], []


def of_prepared(folder: Path) -> Answer:
    """What a run measures."""
    report = evaluate_run(open_run(folder / "run"), DataFolder(folder / "world"), "val").report
    return repr([report.fused.sum_r, report.moments]), []


def of_model(folder: Path) -> Answer:
    """A sentence in numbers."""
    with data_in(folder / "models"):
        loaded = load_encoder("mine", device="cpu")
        texts = loaded.encode_texts(["a red circle"])
    return [loaded.spec.revision, texts.sentence.sum().item()], []


def read_anew(folder: Path) -> None:
    """As a user who reads the videos again."""
    with suppress(PrvrError):
        repair(folder / "world")
    read_videos(folder / "world")


def mend_index(folder: Path) -> None:
    """As a user who repairs."""
    repair(folder / "world")


KINDS = [
    Kind(name="catalogue", files="world/index.db", read=of_index, mend=read_anew),
    Kind(name="vectors", files="world/segments/*.rows", read=of_index, mend=mend_index),
    Kind(name="features", files="world/features/videos/*.safetensors", read=of_store, mend=read_anew),
    Kind(name="header of features", files="world/features/store.json", read=of_store),
    Kind(name="prepared", files="world/prepared/**/*", read=of_prepared),
    Kind(name="weights of a run", files="run/*.safetensors", read=of_run),
    Kind(name="settings of a run", files="run/config.json", read=of_run),
    Kind(name="models", files="models/models/mine/*", read=of_model),
]
