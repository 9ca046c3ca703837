"""kill -9 at random moments of everything that writes: nothing that was committed may be lost, nothing may be half.

What is done is forked for each run, so that a run costs no start, and killed after a random time. After each kill what
lies there is read and judged, in a process of its own; when a run ends by itself, what it left must equal what an
undisturbed run leaves, and the next round begins.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch

from benchmarks.torture import writing
from prvr.core.errors import PrvrError
from prvr.core.weights import load_weights
from prvr.data.folder import DataFolder
from prvr.data.world import generate_world
from prvr.encoders import catalogue, hub
from prvr.encoders.world import load_world_encoder
from prvr.features.store import FeatureStore, holds_features
from prvr.index.embedded import EmbeddedIndex
from prvr.index.exact import ExactIndex
from prvr.methods.recipe import load_recipe
from prvr.ranker.ranker import open_run
from prvr.runs.train import train_run
from prvr.search.engine import SearchEngine, calibrate_folder
from prvr.search.indexing import build_index
from prvr.training.run_folder import LAST, read_standing
from prvr.video.clipping import save_clip

Known = dict[str, Any]  # what was there after the last kill


@dataclass(frozen=True, kw_only=True)
class Doing:
    """Something that is killed: `run` does it in a folder, `look` judges what lies there, `whole` what is left then.

    `look` is told what it said after the last kill, says what is there now, and raises AssertionError for what may not
    be; `whole` is compared with what it says of an undisturbed run.
    """

    name: str
    run: Callable[[Path], None]
    look: Callable[[Path, Known], Known]
    whole: Callable[[Path], object]


def forked(work: Callable[[], None]) -> int:
    """Do it in a process of its own; -> its number."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except PrvrError as error:
            print(error, file=sys.stderr)
        except BaseException:  # noqa: BLE001 - said here, for the parent sees a number only
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return pid


def said(work: Callable[[], object], place: Path) -> Any:
    """What work says that is done in a process of its own. Raises AssertionError where it fails."""
    pid = forked(lambda: void(place.write_text(json.dumps(work()))))
    assert os.waitpid(pid, 0)[1] == 0, "what lies there is not as it should be"
    return json.loads(place.read_text())


def compare(doing: Doing, found: Any, wanted: Any) -> None:
    """Raises AssertionError, with what differs, unless both are the same."""
    if found != wanted:
        pairs = zip(found, wanted, strict=False) if isinstance(found, list) else [(found, wanted)]
        odd = [f"{str(one)[:300]} instead of {str(other)[:300]}" for one, other in pairs if one != other]
        raise AssertionError(f"{doing.name}: not as an undisturbed run left it: {'; '.join(odd)}")


def void(_: object) -> None:
    """Nothing."""


def kill_often(doing: Doing, folder: Path, times: int, *, seed: int = 0) -> tuple[int, int]:
    """So often; -> kills, and runs that ended by themselves. Raises AssertionError for what may not happen."""
    chance = random.Random(seed)
    kills = ends = 0
    known: Known = {}
    work, notes = folder / "killed", folder / "said.json"
    began = time.monotonic()
    doing.run(folder / "undisturbed")
    longest = time.monotonic() - began
    wanted = json.loads(json.dumps(doing.whole(folder / "undisturbed")))
    while kills < times:
        pid = forked(partial(doing.run, work))
        began = time.monotonic()
        time.sleep(chance.uniform(0, longest))
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        ended = os.WIFEXITED(status)
        assert not ended or os.WEXITSTATUS(status) == 0, f"{doing.name}: a run that was not killed failed"
        known = said(partial(doing.look, work, known), notes)
        if ended:
            compare(doing, said(partial(doing.whole, work), notes), wanted)
            shutil.rmtree(work)
            known, ends = {}, ends + 1
            longest = max(0.01, min(longest, time.monotonic() - began))
        kills += not ended
        longest *= 0.8 if ended else 1.1
    pid = forked(partial(doing.run, work))
    assert os.waitpid(pid, 0)[1] == 0, f"{doing.name}: the last run failed"
    compare(doing, said(partial(doing.whole, work), notes), wanted)
    return kills, ends


# ---------------------------------------------------------------- what is done


def indexing(world: Path) -> Doing:
    """Videos to features to an index, with commits on the way."""
    encoder = load_world_encoder()
    videos = world / "videos"

    def run(folder: Path) -> None:
        build_index([videos], folder, encoder, workers=1, home=())

    def look(folder: Path, known: Known) -> Known:
        found: Known = {"videos": {}, "features": []}
        if (folder / "index.db").exists():
            with EmbeddedIndex.open(folder) as index:
                assert index.verify() == [], index.verify()
                found["videos"] = dict(index.versions)
        if holds_features(folder / "features"):
            store = FeatureStore.open(folder / "features")
            assert store.damaged() == {}
            found["features"] = [entry.video_id for entry in store.entries()]
        assert known.get("videos", {}).items() <= found["videos"].items(), "a committed video is lost"
        assert set(known.get("features", [])) <= set(found["features"]), "finished features are lost"
        return found

    def whole(folder: Path) -> object:
        # who was alone in hand when two runs were ended from outside is set aside, said so, and read when asked for
        build_index([videos], folder, encoder, workers=1, home=(), retry=())
        index = ExactIndex.open(folder)
        scores = index.score_all(torch.eye(index.header.width)[:8])[1]
        store = FeatureStore.open(folder / "features")
        left = sorted(path.name for path in folder.rglob("*.tmp"))
        return [
            index.versions,
            scores.tolist(),
            [digest(store.path_of(entry.video_id)) for entry in store.entries()],
            left,
        ]

    return Doing(name="indexing", run=run, look=look, whole=whole)


def calibrating(world: Path) -> Doing:
    """The judgement of an index made anew."""
    encoder = load_world_encoder()
    made = world.parent / "to-calibrate"
    build_index([world / "videos"], made, encoder, workers=1)
    home = [f"a thing number {n}" for n in range(40)]

    def run(folder: Path) -> None:
        if not folder.exists():
            shutil.copytree(made, folder.with_name(f"{folder.name}.part"), dirs_exist_ok=True)
            folder.with_name(f"{folder.name}.part").rename(folder)
        calibrate_folder(folder, encoder, home=home)

    def look(folder: Path, known: Known) -> Known:
        if not folder.exists():
            return known
        with EmbeddedIndex.open(folder) as index:
            assert index.verify() == []
            assert dict(index.versions) == known.get("videos", dict(index.versions))
            return {"videos": dict(index.versions)}

    def whole(folder: Path) -> object:
        engine = SearchEngine.open(folder)
        hits = engine.search("a red circle", k=3)
        return [[hit.video_id, hit.score, hit.confidence] for hit in hits]

    return Doing(name="calibrating", run=run, look=look, whole=whole)


def training(world: Path) -> Doing:
    """Four epochs of a small MSC."""
    small = ["model.hidden=16", "model.heads=2", "batch_videos=4", "train.epochs=4", "loss.hard_from_epoch=1"]
    recipe = load_recipe("prvr.methods.msc.runs:world").with_settings(small)
    data = DataFolder(world)

    def run(folder: Path) -> None:
        train_run(recipe, data, folder, device="cpu")

    def look(folder: Path, known: Known) -> Known:
        epochs = 0
        if (folder / LAST).exists():
            epochs = read_standing(folder, {}).epochs
        if (folder / "model.safetensors").exists():
            open_run(folder)
        assert epochs >= known.get("epochs", 0), "a finished epoch is lost"
        return {"epochs": epochs}

    def whole(folder: Path) -> object:
        load_weights(folder / "model.safetensors")
        left = sorted(path.name for path in folder.rglob("*.tmp"))
        return [digest(folder / "model.safetensors"), (folder / "metrics.csv").read_text().count("\n"), left]

    return Doing(name="training", run=run, look=look, whole=whole)


def exporting(world: Path) -> Doing:
    """Clips of videos, one file after the other."""
    videos = sorted((world / "videos").iterdir())[:6]

    def run(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for video in videos:
            if not (out := folder / f"{video.stem}.mp4").exists():
                save_clip(video, 0.5, 2.5, out)

    def look(folder: Path, known: Known) -> Known:
        found = {path.name: digest(path) for path in folder.glob("[!.]*")} if folder.exists() else {}
        assert known.items() <= found.items(), "a clip that was written is another, or gone"
        return found

    def whole(folder: Path) -> object:
        return {path.name: digest(path) for path in sorted(folder.glob("[!.]*"))}

    return Doing(name="exporting", run=run, look=look, whole=whole)


def importing(world: Path) -> Doing:
    """A checkpoint folder copied to the user's models."""
    source = checkpoint(world.parent / "checkpoint")

    def run(folder: Path) -> None:
        with data_in(folder):
            if catalogue.find("mine") is None:
                catalogue.import_folder(source, "mine")

    return Doing(name="importing", run=run, look=partial(_models, source, "mine"), whole=partial(_model, "mine"))


def downloading(world: Path) -> Doing:
    """A model from a hub on this machine, which is slow enough to be killed in the middle of a file."""
    source = checkpoint(world.parent / "checkpoint")
    answers = slow_hub(source)

    def run(folder: Path) -> None:
        from huggingface_hub import constants

        constants.ENDPOINT, constants.HF_HUB_OFFLINE = answers, False
        constants.HUGGINGFACE_CO_URL_TEMPLATE = answers + "/{repo_id}/resolve/{revision}/{filename}"
        with data_in(folder):
            catalogue.get("somebody/model")

    def look(folder: Path, known: Known) -> Known:
        found = _models(source, "model", folder, known)
        parts = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        assert parts >= known.get("bytes", 0) - SLACK, "bytes that came are lost"
        return {**found, "bytes": parts}

    return Doing(name="downloading", run=run, look=look, whole=partial(_model, "model"))


SLACK = 65_536  # bytes of notes, and of what was not yet written when it was killed


def writing_an_index(_: Path) -> Doing:
    """Additions, replacements, removals, joined segments: no video is read, so that it is killed while writing."""
    generation = 2  # is reached step by step

    def run(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for step in range(generation + 1):
            with (folder / "log").open("a", buffering=1) as log:
                print(step, "{}", file=log)
                writing.write(folder / "index", step, partial(print, step, file=log))

    def look(folder: Path, known: Known) -> Known:
        lines = (folder / "log").read_text().splitlines() if (folder / "log").exists() else []
        safe: dict[str, str] = {}  # of this run alone: it begins with the first generation again
        for line in lines:
            step, committed = line.split(" ", 1)
            goal = writing.wanted(int(step))
            safe = {name: version for name, version in safe.items() if goal.get(name) == version}
            safe |= json.loads(committed)
        if (folder / "index" / "index.db").exists():
            with EmbeddedIndex.open(folder / "index") as index:
                assert index.verify() == [], index.verify()
                assert index.problems == [], index.problems
                for found in (hit for query in writing.QUERIES[:2] for hit in index.search(query, k=5)):
                    bank = writing.bank_of(index.versions[found.video_id])
                    assert torch.equal(found.bank.tokens, bank.tokens), found.video_id
                    assert torch.equal(found.bank.spans, bank.spans), found.video_id
                lost = {name for name, version in safe.items() if index.versions.get(name) != version}
                assert not lost, f"{len(lost)} that were safe are not there: {sorted(lost)[:3]}"
        (folder / "log").unlink(missing_ok=True)
        return known

    def whole(folder: Path) -> object:
        index = ExactIndex.open(folder / "index")
        files = {path.name for path in (folder / "index" / "segments").iterdir()}
        with EmbeddedIndex.open(folder / "index") as one:
            assert files == {name for name, _ in one._catalogue.segments().values()}, "files of nothing were left"
        return [
            index.versions,
            index.score_all(writing.QUERIES)[1].tolist(),
            {name: asdict(index.facts(name)) for name in index.versions},
            [hit.video_id for hit in index.words("version 7", k=9)],
        ]

    return Doing(name="index", run=run, look=look, whole=whole)


DOINGS: dict[str, Callable[[Path], Doing]] = {
    "index": writing_an_index,
    "indexing": indexing,
    "training": training,
    "exporting": exporting,
    "importing": importing,
    "downloading": downloading,
    "calibrating": calibrating,
}


def kills(folder: Path, times: int, names: list[str] | None = None) -> Iterator[str]:
    """So many kills in all; -> a row of the table for each thing that was killed."""
    torch.set_num_threads(1)
    import faiss  # noqa: F401  (before the forks, or each of them would load it)

    chosen = names or list(DOINGS)
    world = folder / "world"
    if chosen != ["index"]:
        generate_world(world, size="tiny", seed=0, workers=1)
        build_index([world / "videos"], world, load_world_encoder(), workers=1)
    for at, name in enumerate(chosen):
        share = times * (at + 1) // len(chosen) - times * at // len(chosen)
        began = time.monotonic()
        done, ends = kill_often(DOINGS[name](world), Path(tempfile.mkdtemp(prefix=name, dir=folder)), share, seed=at)
        spent = time.monotonic() - began
        ran = f"{done} kills, {ends} runs that ended, {spent:.0f} s"
        yield f"| kills: {name} | {ran} | nothing lost, nothing half, equal |"


# ---------------------------------------------------------------- helpers


def digest(path: Path) -> str:
    """Of a file."""
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@contextmanager
def data_in(folder: Path) -> Iterator[None]:
    """Inside, a user's things lie in a folder."""
    before = os.environ.get("PRVR_DATA")
    os.environ["PRVR_DATA"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("PRVR_DATA")
        if before:
            os.environ["PRVR_DATA"] = before


def _models(source: Path, name: str, folder: Path, known: Known) -> Known:
    """A model is there as a whole or not at all."""
    with data_in(folder):
        there = catalogue.on_disk(name)
    if there is None:
        assert not known.get("there"), "a model that was there is gone"
        return {"there": False}
    for file in hub.needed([path.name for path in source.iterdir()]):
        assert digest(there / file) == digest(source / file), f"{file} is not what it was"
    return {"there": True}


def _model(name: str, folder: Path) -> object:
    with data_in(folder):
        there = catalogue.on_disk(name)
        assert there is not None
        left = sorted(path.name for path in there.parent.iterdir() if path.name.endswith((".part", ".tmp")))
    return [{path.name: digest(path) for path in sorted(there.iterdir()) if path.name != "hashes.json"}, left]


def checkpoint(folder: Path) -> Path:
    """A random CLIP of some megabytes."""
    from tests.encoders.make_models import make_clip

    if not folder.exists():
        folder.mkdir(parents=True)
        make_clip(folder)
        config = json.loads((folder / "config.json").read_text())
        from transformers import CLIPConfig, CLIPModel

        config["text_config"] |= {"intermediate_size": 20_000}
        CLIPModel(CLIPConfig(**config)).save_pretrained(folder)
    return folder


def slow_hub(source: Path) -> str:
    """A server that answers as the hub does, 40 MB a second; -> its address. It ends with the process."""
    from tests.encoders.hub import LocalHub

    listed = LocalHub({"somebody/model": source}).list("somebody/model")

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def handle(self) -> None:
            with suppress(ConnectionError):  # who asked was killed
                super().handle()

        def do_GET(self) -> None:
            if self.path.startswith("/api/models/"):
                return self._answer(200, json.dumps(listed).encode(), {})
            file = source / self.path.rpartition("/")[2]
            if not file.is_file():
                return self._answer(404, b"{}", {})
            content = file.read_bytes()
            asked = self.headers.get("Range", "")
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            head = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if asked else {}
            return self._answer(206 if asked else 200, content[start:], head)

        def _answer(self, status: int, content: bytes, head: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in {**head, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            with suppress(OSError):  # who asked was killed
                for at in range(0, len(content), 1 << 18):
                    self.wfile.write(content[at : at + (1 << 18)])
                    time.sleep((1 << 18) / 40e6)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
