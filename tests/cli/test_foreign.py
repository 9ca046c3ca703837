"""Folders from somebody else: every field that could do harm is hostile in kind and harmless in effect.

A module that notes when it is imported or called, a listener that counts who comes, a file outside that must be neither
opened nor changed. Python's own audit hook sees what is opened, imported, started and connected to.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prvr.cli import main
from prvr.core.config import to_dict
from prvr.core.errors import EncoderError, IndexFolderError
from prvr.core.facts import Cue
from prvr.core.types import EncoderSpec
from prvr.encoders.loading import load_encoder
from prvr.encoders.meaning import SentenceModel, load_sentence_model
from prvr.index.opening import NAMED
from prvr.search.folders import SourceFolder
from prvr.search.meaning import MeaningStore
from prvr.service.media import READING, mark_of
from prvr.service.taking_over import ASIDE
from tests.encoders.make_models import make_clip
from tests.ranker.make import change, write_run
from tests.serve.conftest import asking, config_of, of

CODE = "canary_of_tests"  # a module that somebody's folder names
ASKED = "a red circle"
KEY = "a key for a server of one's own"
FOREIGN = EncoderSpec(
    name="somebody/model",
    revision="0" * 12,
    width=64,
    image_size=(64, 64),
    mean=(0, 0, 0),
    std=(1, 1, 1),
    crop=False,
    token_limit=77,
    source="somebody/model",
)


class Traps:
    """What happened."""

    def __init__(self, folder: Path) -> None:
        self.happened: list[str] = []
        self.outside = folder / "outside.txt"
        self.outside.write_text("a file of the user, which is nobody's business")
        self.before = self.outside.read_bytes()
        self.armed = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(1)
                try:
                    said = connection.recv(1 << 16)
                except OSError:
                    said = b""
                self.happened.append(f"asked {said[:200]!r}")

    def see(self, event: str, given: tuple[Any, ...]) -> None:
        """Python tells what it does before it does it."""
        if not self.armed:
            return
        if event == "open" and str(given[0]).endswith(self.outside.name):
            self.happened.append(f"opened {given[0]}")
        elif event == "import" and CODE in str(given[0]):
            self.happened.append(f"imported {given[0]}")
        elif (event in ("os.remove", "os.rename", "os.truncate") and self.outside.name in str(given)) or (
            event in ("os.system", "subprocess.Popen", "os.exec") and CODE in str(given)
        ):
            self.happened.append(f"{event} {given}")


SEEN: list[Traps] = []  # an audit hook stays to the end of the process


def _hook(event: str, given: tuple[Any, ...]) -> None:
    for one in SEEN:
        one.see(event, given)


@pytest.fixture
def traps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traps]:
    from huggingface_hub import constants

    if not SEEN:
        sys.addaudithook(_hook)
    found = Traps(tmp_path)
    SEEN[:] = [found]
    code = tmp_path / "code"
    code.mkdir()
    note = (
        "import os\nwith open(os.environ['CANARY'], 'a') as f:\n    f.write('ran ')\n"
        "def METHOD(*a, **k):\n    raise SystemExit('called')\n"
    )
    (code / f"{CODE}.py").write_text(note)
    monkeypatch.syspath_prepend(str(code))
    monkeypatch.setenv("CANARY", str(tmp_path / "ran"))
    monkeypatch.setenv("PRVR_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    monkeypatch.delenv(NAMED, raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{found.port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    found.armed = True
    try:
        yield found
        found.armed = False
        assert found.happened == []
        assert not (tmp_path / "ran").exists(), "code ran"
        assert found.outside.read_bytes() == found.before
    finally:
        found.armed = False
        SEEN.clear()
        found.listener.close()


def said(capsys: pytest.CaptureFixture[str]) -> str:
    out = capsys.readouterr()
    return out.out + out.err


def put_meta(index: Path, name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    with closing(sqlite3.connect(index / "index.db")) as sql:
        (text,) = sql.execute("SELECT text FROM meta WHERE name = ?", (name,)).fetchone()
        sql.execute("UPDATE meta SET text = ? WHERE name = ?", (json.dumps(change(json.loads(text))), name))
        sql.commit()


def test_the_traps_work(traps: Traps, tmp_path: Path) -> None:
    """Or the others would prove nothing."""
    traps.outside.read_text()
    __import__(CODE)
    with pytest.raises(EncoderError):
        load_encoder("somebody/model")  # which the user names
    assert (tmp_path / "ran").read_text() == "ran "
    kinds = [one.split()[0] for one in traps.happened]
    assert {"opened", "imported", "asked"} <= set(kinds), kinds
    traps.happened.clear()
    (tmp_path / "ran").unlink()
    sys.modules.pop(CODE)


def test_a_run(traps: Traps, tmp_path: Path, world: Path, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "run")
    for name in (f"{CODE}:METHOD", f"{CODE}.inner:METHOD", "os:system", f"prvr.methods.../{CODE}:METHOD"):
        change(tmp_path / "run", method=name, recipe=f"{CODE}:METHOD", title="\x1b]0;owned\x07")
        assert main(["evaluate", str(tmp_path / "run"), "--data", str(world)]) == 1
        shutil.rmtree(own / "model", ignore_errors=True)
        shutil.copytree(tmp_path / "run", own / "model")
        put_meta(own, "header", lambda header: header | {"model": "0" * 12})
        assert main(["search", ASKED, "--index", str(own)]) == 1
        assert "\x1b" not in said(capsys)


def test_going_on_with_a_run(traps: Traps, tmp_path: Path, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it appends to and what it says are links and other code."""
    run = tmp_path / "run"
    small = ["model.hidden=16", "model.heads=2", "batch_videos=4", "train.epochs=1", "loss.hard_from_epoch=1"]
    command = ["train", "prvr.methods.msc.runs:world", "--data", str(world), "--out", str(run)]
    command += [word for one in small for word in ("--set", one)]
    assert main(command) == 0
    change(run, method=f"{CODE}:METHOD", recipe=f"{CODE}:METHOD")
    (run / "metrics.csv").unlink()
    (run / "metrics.csv").symlink_to(traps.outside)
    again = [*command, "--set", "train.epochs=2"]
    assert main(again) == 0, said(capsys)
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").symlink_to(traps.outside)
    traps.armed = False  # what is there is read before more is added
    main([*command, "--set", "train.epochs=3"])


def test_an_index_that_names_a_server(traps: Traps, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own / "engine").write_text(f"qdrant://127.0.0.1:{traps.port}/videos")
    for verb in (["search", ASKED], ["list"], ["index", str(own / "videos")]):
        assert main([*verb, "--index", str(own)]) == 1
        assert "which you have not named" in said(capsys)
    main(["index", "--verify", "--index", str(own)])
    with pytest.raises(IndexFolderError, match="not named"), asking(config_of(own)):
        pass


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")  # as the client says of loopback, too
def test_a_key_goes_to_named_servers_over_tls_or_to_this_machine(
    traps: Traps, own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("qdrant://192.0.2.1:6333/videos", "qdrant://example.invalid/videos"):
        (own / "engine").write_text(place)
        monkeypatch.setenv(NAMED, place)
        assert main(["search", ASKED, "--index", str(own)]) == 1
        assert "would be sent in clear; write qdrants://" in said(capsys)
    place = f"qdrant://127.0.0.1:{traps.port}/videos"
    (own / "engine").write_text(place)
    monkeypatch.setenv(NAMED, place)
    assert main(["search", ASKED, "--index", str(own)]) == 1
    assert traps.happened, "the user named it"
    assert KEY in traps.happened[0], "and has a key for it"
    traps.happened.clear()


def test_an_index_that_names_a_model_of_the_hub(
    traps: Traps, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for source in ("somebody/model", "world + somebody/model"):
        named = {"encoder": to_dict(replace(FOREIGN, source=source))}
        put_meta(own, "header", named.__ror__)
        for verb in (["search", ASKED], ["index", str(own / "videos")]):
            assert main([*verb, "--index", str(own)]) == 1
            assert "nothing is fetched because a folder says so" in said(capsys)
        with pytest.raises(EncoderError, match="nothing is fetched"), asking(config_of(own)):
            pass
    store = own / "features" / "store.json"
    store.write_text(json.dumps(json.loads(store.read_text()) | {"encoder": to_dict(FOREIGN)}))
    assert main(["extract", str(own / "videos"), "--out", str(own / "features")]) == 1
    assert "nothing is fetched" in said(capsys)


def test_an_index_that_names_models_of_speech(traps: Traps, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who listened, and by what its words are found by their meaning."""
    model = SentenceModel(FOREIGN.name, "0" * 64, lambda texts: torch.ones(len(texts), 4))
    store = MeaningStore.create(own, model)
    store.update("w0000.webm", [Cue(0.0, 2.0, ASKED)], model)
    header = {"model": FOREIGN.name, "revision": "0" * 64, "version": 1}
    (store.folder / "speech.json").write_text(json.dumps(header))
    assert main(["listen", "--index", str(own)]) == 1
    assert "nothing is fetched because a folder says so" in said(capsys)
    assert main(["search", ASKED, "--index", str(own)]) == 0
    assert main(["listen", "--speech", "~nobody/model", "--index", str(own)]) == 1
    assert "no such model of speech" in said(capsys)
    with pytest.raises(EncoderError, match="~nobody/model"):
        load_sentence_model("~nobody/model")


def test_an_index_whose_places_lead_outside(traps: Traps, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(own / "index.db")) as sql:
        sql.execute("UPDATE segment SET name = ?", (f"../../{traps.outside.name}",))
        sql.execute("UPDATE video SET path = ?", (f"http://127.0.0.1:{traps.port}/video.mp4",))
        state = {"parts": [[f"../../{traps.outside.name}", 0, 1.0]], "last": 1, "count": 1}
        sql.execute("UPDATE meta SET text = ? WHERE name = 'nearest'", (json.dumps(state),))
        sql.commit()
    assert main(["index", "--verify", "--index", str(own)]) != 0
    main(["search", ASKED, "--index", str(own)])
    with asking(config_of(own)) as client:
        client.get("/v1/search", params={"q": ASKED})
        for part in ("", "/stream", "/thumbnail?t=0"):
            assert client.get(of("w0000.webm", part)).status_code in (200, 404, 410)


def test_an_index_whose_parts_are_links(
    traps: Traps, own: Path, library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it links to are another index's files of our own names: nothing is swept there."""
    other = Path(shutil.copytree(library, own.parent / "other"))
    before = {path: path.read_bytes() for path in sorted(other.rglob("*")) if path.is_file()}
    for part in ("segments", "features", "index.db"):
        shutil.move(own / part, own / "aside")
        (own / part).symlink_to(other / part)
        assert main(["index", str(own / "videos"), "--index", str(own)]) == 1
        assert "is a link" in said(capsys)
        (own / part).unlink()
        shutil.move(own / "aside", own / part)
    (own / ".lock").unlink(missing_ok=True)
    (own / ".lock").symlink_to(own.parent / "made")
    assert main(["index", str(own / "videos"), "--index", str(own)]) == 1
    assert not (own.parent / "made").exists()
    assert {path: path.read_bytes() for path in sorted(other.rglob("*")) if path.is_file()} == before


def test_an_index_with_programs(traps: Traps, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(own / "index.db")) as sql:
        sql.execute("CREATE TRIGGER t AFTER UPDATE ON meta BEGIN DELETE FROM video; END")
        sql.commit()
    assert main(["search", ASKED, "--index", str(own)]) == 1
    assert "holds triggers or views" in said(capsys)


def test_what_a_server_finds_in_an_index(traps: Traps, own: Path, tmp_path: Path) -> None:
    """A token, pictures, content types and jobs of somebody else are put aside; nothing is watched for them."""
    served = own / "serve"
    shutil.rmtree(served, ignore_errors=True)
    (served / "thumbs").mkdir(parents=True)
    (served / "token").write_text("0" * 64)
    page = tmp_path / "page.mp4"
    page.write_text("<script>alert(1)</script>")
    mark = mark_of(page)
    assert mark is not None
    row = [READING, *mark, True, "text/html", 1, 1, "h264", "", "mp4", False, []]
    (served / "probes.jsonl").write_text(json.dumps(row) + "\n")
    watched = tmp_path / "home"
    watched.mkdir()
    shutil.copy(next((own / "videos").glob("*.webm")), watched / "private.webm")
    rows = [{**asdict(SourceFolder(path=watched, watched=True)), "path": str(watched)}]
    (own / "folders.json").write_text(json.dumps(rows))
    with asking(config_of(own)) as client:
        parts = client.app.state.prvr  # type: ignore[attr-defined]
        assert parts.media.shape(page) is None
        assert parts.watch._tasks == {}
        assert client.get("/v1/folders").status_code in (200, 404)
        assert "private.webm" not in client.get("/v1/videos").text
    assert [path.name[: len(ASIDE)] for path in own.glob(f"{ASIDE}*")] == [ASIDE]
    assert not (served / "token").exists()
    (served).mkdir(exist_ok=True)
    (served / "kept").write_text("ours from now on")
    with asking(config_of(own)):
        assert (served / "kept").exists()
    copy = Path(shutil.copytree(own, tmp_path / "copy"))
    with asking(config_of(copy)):
        assert not (copy / "serve" / "kept").exists(), "a copy may come from anybody"
    moved = Path(shutil.move(own, tmp_path / "moved"))
    with asking(config_of(moved)):
        assert (moved / "serve" / "kept").exists()


def test_data(traps: Traps, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Packs that lead to other files, and that hold programs; a store that names an encoder of the hub."""
    h5py = pytest.importorskip("h5py")
    (tmp_path / "other").mkdir()
    with h5py.File(tmp_path / "other" / "secret.hdf5", "w") as file:
        file["rows"] = np.ones((4, 8), np.float32)
    for kind in ("link", "raw", "virtual", "huge"):
        root = tmp_path / kind
        shutil.copytree(world / "annotations", root / "annotations")
        for part in ("FeatureData", "TextData"):
            (root / part).mkdir()
            with h5py.File(root / part / "pack.hdf5", "w") as file:
                file["a"] = np.ones((2, 8), np.float32)
                if kind == "link":
                    file["b"] = h5py.ExternalLink(str(tmp_path / "other" / "secret.hdf5"), "rows")
                elif kind == "raw":
                    file.create_dataset("b", (4, 8), "f4", external=[(str(traps.outside), 0, 128)])
                elif kind == "virtual":
                    layout = h5py.VirtualLayout((4, 8), "f4")
                    layout[:] = h5py.VirtualSource(str(tmp_path / "other" / "secret.hdf5"), "rows", (4, 8))
                    file.create_virtual_dataset("b", layout)
                else:
                    file.create_dataset("b", (1 << 40, 8), "f4", chunks=(1024, 8), compression="gzip")
        assert main(["data", "check", str(root)]) != 0
        found = said(capsys)
        assert "Traceback" not in found
        wanted = "declares" if kind == "huge" else "leads to another file"
        assert wanted in found, (kind, found)
    npz = tmp_path / "npz"
    shutil.copytree(world / "annotations", npz / "annotations")
    for part, name in (("clip_features", "v"), ("clip_text", "qid1")):
        (npz / part).mkdir()
        np.savez(npz / part / f"{name}.npz", features=np.array([Program()], object), last_hidden_state=np.ones((2, 8)))
    assert main(["data", "check", str(npz)]) != 0
    assert "Traceback" not in said(capsys)
    with (npz / "clip_features" / "v.npz").open("wb") as file:
        np.savez_compressed(file, features=np.zeros((60_000_000,), np.float32))
    assert main(["data", "check", str(npz)]) != 0
    assert "declares" in said(capsys)


class Program:
    """What a pickle would call."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {CODE}",)


def test_checkpoints(traps: Traps, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A CLIP whose files name code, other models, kernels of the hub and weights elsewhere."""
    (tmp_path / "clip").mkdir()
    whole = make_clip(tmp_path / "clip")
    (whole / f"{CODE}.py").write_text("raise SystemExit\n")

    def variant(name: str, file: str, **values: object) -> Path:
        folder = Path(shutil.copytree(whole, tmp_path / name))
        path = folder / file
        known = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(known | values))
        return folder

    maps = {"AutoModel": f"{CODE}.Model", "AutoConfig": f"{CODE}.Config", "AutoTokenizer": [None, f"{CODE}.Tokens"]}
    harmless = variant("auto", "config.json", auto_map=maps, _name_or_path="somebody/model", trust_remote_code=True)
    tokens = json.loads((harmless / "tokenizer_config.json").read_text())
    tokens |= {"auto_map": maps, "name_or_path": "somebody/model", "chat_template": "{{ ''.__class__ }}"}
    (harmless / "tokenizer_config.json").write_text(json.dumps(tokens))
    (harmless / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "somebody/model"}))
    load_encoder(str(harmless), device="cpu").encode_texts([ASKED])
    assert main(["models", "export", str(harmless), "--to", str(tmp_path / "graphs")]) in (0, 1)
    refused = {
        "names code of the hub": variant("kernel", "config.json", attn_implementation="kernels-community/flash-attn3"),
        "outside of its folder": variant(
            "shards", "model.safetensors.index.json", weight_map={"a": f"../{traps.outside.name}"}
        ),
        "code of its own": variant("custom", "config.json", model_type="mine", auto_map=maps),
    }
    (refused["outside of its folder"] / "model.safetensors").unlink()
    for why, folder in refused.items():
        with pytest.raises(EncoderError, match=why):
            load_encoder(str(folder), device="cpu")
        assert main(["models", "import", str(folder), "--name", "mine"]) == 1 or why == "names code of the hub"
    said(capsys)


def test_models_of_sentence_transformers(traps: Traps, tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    for at, (kind, place) in enumerate(
        [(f"{CODE}.Module", ""), ("sentence_transformers.models.Transformer", "../../outside"), ("os.system", "")]
    ):
        folder = tmp_path / f"st{at}"
        folder.mkdir()
        (folder / f"{CODE}.py").write_text("raise SystemExit\n")
        (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": place, "type": kind}]))
        with pytest.raises(EncoderError):
            load_encoder(str(folder), device="cpu")
    deeper = tmp_path / "deeper"
    deeper.mkdir()
    kinds = ["sentence_transformers.models.Router", "sentence_transformers.models.Dense"]
    modules = [{"idx": i, "name": str(i), "path": f"{i}_", "type": kind} for i, kind in enumerate(kinds)]
    (deeper / "modules.json").write_text(json.dumps(modules))
    for at in range(2):
        (deeper / f"{at}_").mkdir()
        (deeper / f"{at}_" / "router_config.json").write_text(
            json.dumps({"types": {"a": f"{CODE}.Module"}, "structure": {}})
        )
        (deeper / f"{at}_" / "config.json").write_text(
            json.dumps({"in_features": 2, "out_features": 2, "activation_function": f"{CODE}.METHOD", "types": {}})
        )
    with pytest.raises(EncoderError):
        load_encoder(str(deeper), device="cpu")


def test_graphs(traps: Traps, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights of a graph may lie beside it, never elsewhere; a card runs no command and recommends nothing."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from prvr.encoders import catalogue
    from prvr.encoders.onnx import _session

    folder = tmp_path / "graphs"
    folder.mkdir()
    number = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [4], np.ones(4, np.float32).tobytes(), raw=True)
    number.ClearField("raw_data")
    number.data_location = onnx.TensorProto.EXTERNAL
    number.external_data.add(key="location", value=f"../{traps.outside.name}")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [4])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [4])],
        [number],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    (folder / "image.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(EncoderError):
        _session(folder / "image.onnx")
    models = tmp_path / "data" / "models" / "mine"
    models.mkdir(parents=True)
    card = asdict(catalogue.known()[0]) | {
        "name": "mine",
        "source": f"http://127.0.0.1:{traps.port}/x",
        "install": f"python -c 'import {CODE}'",
        "recommended": True,
    }
    (models / "prvr.json").write_text(json.dumps({"model": card}))
    found = next(model for model in catalogue.known() if model.name == "mine")
    assert (found.source, found.install, found.recommended) == ("", "", False)
    assert main(["models"]) == 0
    assert CODE not in said(capsys)
