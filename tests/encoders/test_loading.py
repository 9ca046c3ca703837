from __future__ import annotations

import fnmatch
import shutil
import subprocess
import sys
import time
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from prvr.core.errors import ConfigError, EncoderError
from prvr.encoders.devices import pick_device, pick_dtype
from prvr.encoders.hub import BRING, fetch
from prvr.encoders.loading import load_encoder
from tests.encoders import make_models

clip_folder = make_models.clip_folder
NAME = "org/tiny-clip"


def refusal(name: str) -> str:
    """The one line that a name is refused with."""
    with pytest.raises(EncoderError) as error:
        load_encoder(name, device="cpu")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and a hub that nobody answers at."""
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    return tmp_path / "hub"


def fill(hub: Path, folder: Path) -> Path:
    """Put a checkpoint into the cache as the hub's client would."""
    repository = hub / "models--org--tiny-clip"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c0ffee", encoding="utf-8")
    return Path(shutil.copytree(folder, repository / "snapshots" / "c0ffee"))


# Devices


def test_devices_and_precisions() -> None:
    assert pick_device("cpu") == ("cpu", "asked for")
    assert pick_device("auto").reason
    for name in ("gpu", "cuda:7", ""):
        with pytest.raises(ConfigError, match=r"unknown device; choose one of auto, cpu"):
            pick_device(name)
    assert pick_dtype("auto", "cpu") == pick_dtype("auto", "mps") == pick_dtype("fp32", "cuda") == torch.float32
    assert pick_dtype("bf16", "cpu") == torch.bfloat16
    with pytest.raises(ConfigError, match="unknown precision; choose one of auto, fp32, bf16"):
        pick_dtype("fp16", "cpu")


def test_what_auto_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device() == ("cpu", "no CUDA, no MPS")
    with pytest.raises(ConfigError, match="--device cuda: not available .* choose one of auto, cpu$"):
        pick_device("cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device() == ("mps", "no CUDA, MPS found")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A Card")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert pick_device() == ("cuda", "CUDA found: A Card")
    assert pick_dtype("auto", "cuda") == torch.bfloat16


# What a name may be


def test_a_folder(clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_encoder(str(clip_folder), device="cpu")
    assert (encoder.spec.name, encoder.spec.source) == (clip_folder.name, str(clip_folder))
    monkeypatch.chdir(clip_folder)
    assert load_encoder(".", device="cpu").spec == encoder.spec
    rough = load_encoder(str(clip_folder), device="cpu", dtype="bf16").encode_texts(["a red circle"]).sentence
    assert not torch.equal(rough, encoder.encode_texts(["a red circle"]).sentence)


def test_world_is_the_bundled_one(monkeypatch: pytest.MonkeyPatch) -> None:
    bundled: Any = types.ModuleType("prvr.encoders.world")
    bundled.load_world_encoder = lambda *, device: f"the world on {device}"
    monkeypatch.setitem(sys.modules, "prvr.encoders.world", bundled)
    loaded: object = load_encoder("world", device="cpu")
    assert loaded == "the world on cpu"
    with pytest.raises(ConfigError, match="the world encoder computes in fp32 only"):
        load_encoder("world", device="cpu", dtype="bf16")


def test_names_that_are_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    assert "no model 'wrold'; did you mean 'world'? (or give a hub name such as " in refusal("wrold")
    assert "did you mean 'world'?" in refusal("World")
    assert "did you mean 'clip-b32'?" in refusal("clip")
    for name in ("", "a b"):
        assert f"no model {name!r}; known are siglip2-b16, " in refusal(name)
    assert refusal(f"{tmp_path}/chekpoint") == (
        f"{tmp_path}/chekpoint: no such folder; did you mean '{tmp_path}/checkpoint'?"
    )
    for name in ("./nothing", "~/no/such", "/no/such", "a/b/c"):
        assert f"{name}: no such folder; give one that holds config.json, model.safetensors" in refusal(name)
    assert "file: is a file; give the folder that holds" in refusal(str(tmp_path / "file"))
    assert "checkpoint: holds no config.json" in refusal("checkpoint")


def test_transformers_is_imported_only_for_a_folder() -> None:
    code = "import sys, prvr.encoders.loading; print({'transformers', 'huggingface_hub', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# The library


def test_transformers_is_not_installed(clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert refusal(str(clip_folder)).endswith("need the package transformers; install it with `pip install 'prvr[hf]'`")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert refusal(NAME).endswith("needs the package transformers; install it with `pip install 'prvr[hf]'`")


class Broken(types.ModuleType):
    """The library as it is beside a torchvision that was built for another torch."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        cause = RuntimeError("operator torchvision::nms does not exist")
        raise ModuleNotFoundError(f"Could not import module '{name}'. Are this object's requirements ...") from cause


def test_torchvision_breaks_transformers(clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", Broken("transformers"))
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert "transformers does not load here (operator torchvision::nms" in refusal(str(clip_folder))
    torchvision = types.ModuleType("torchvision")
    torchvision.__spec__ = ModuleSpec("torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)
    assert "run `pip uninstall torchvision`, prvr does not need it" in refusal(str(clip_folder))


# The hub


def test_a_cached_checkpoint_needs_no_network(clip_folder: Path, hub: Path) -> None:
    snapshot = fill(hub, clip_folder)
    spec = load_encoder(NAME, device="cpu").spec
    assert (spec.name, spec.source) == (NAME, NAME)
    assert spec.revision == load_encoder(str(clip_folder), device="cpu").spec.revision
    (snapshot / "preprocessor_config.json").unlink()  # asked for; done without where nobody answers
    assert fetch(NAME) == snapshot
    (snapshot / "tokenizer.json").unlink()
    (snapshot / "vocab.json").unlink()
    assert "not on this machine" in refusal(NAME)


def test_an_unreachable_hub_is_noticed_at_once(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.perf_counter()
    assert refusal(NAME) == (f"{NAME}: not on this machine, and the hub cannot be reached; {BRING}")
    assert time.perf_counter() - began < 20  # the library's own way takes half a minute of retries
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "and HF_HUB_OFFLINE is set; bring a folder instead: `--encoder FOLDER` holding" in refusal(NAME)


class Answer:
    """What the hub answers when it is asked for the files of a model."""

    headers: ClassVar[dict[str, str]] = {}
    status_code = 404
    request = None


def test_a_name_that_the_hub_does_not_know(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    def missing(self: object, name: str, *, timeout: float) -> object:
        answer: Any = Answer()
        raise RepositoryNotFoundError("404", response=answer)

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", missing)
    assert f"{NAME}: the hub has no such model, or only for those who log in" in refusal(NAME)


def serve(monkeypatch: pytest.MonkeyPatch, remote: list[str], download: Callable[..., str]) -> None:
    """A hub that lists `remote` and hands out files as `download` does."""
    listing = types.SimpleNamespace(siblings=[types.SimpleNamespace(rfilename=name) for name in remote])
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda self, name, timeout: listing)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)


def test_a_full_disk_while_downloading(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(name: str, *, allow_patterns: list[str]) -> str:
        raise OSError(28, "No space left on device")

    serve(monkeypatch, ["config.json"], full)
    assert "cannot be downloaded ([Errno 28] No space left on device); try again, or bring a folder" in refusal(NAME)


@pytest.mark.parametrize(
    ("weights", "read"),
    [
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (["pytorch_model.bin"], ["pytorch_model.bin"]),
        (
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"],
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"],
        ),
    ],
    ids=["both", "bin only", "shards"],
)
def test_only_what_is_read_is_downloaded(
    hub: Path, monkeypatch: pytest.MonkeyPatch, weights: list[str], read: list[str]
) -> None:
    small = ["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"]
    remote = [*small, *weights, "tf_model.h5", "onnx/model.onnx", "README.md", "model.fp16.safetensors"]
    local = hub / "snapshot"
    local.mkdir(parents=True)

    def download(name: str, *, allow_patterns: list[str]) -> str:
        for file in remote:
            if any(fnmatch.fnmatch(file, pattern) for pattern in allow_patterns):
                (local / file).touch()
        return str(local)

    serve(monkeypatch, remote, download)
    assert fetch(NAME) == local
    assert sorted(path.name for path in local.iterdir()) == sorted([*small, *read])
