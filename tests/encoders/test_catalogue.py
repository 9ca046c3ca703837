"""Models by a short name: fetched because they were asked for, carried, imported, chosen; whole or not at all."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from prvr.core.errors import DownloadStopped, EncoderError
from prvr.core.places import models_folder
from prvr.encoders import catalogue
from prvr.encoders.loading import load_encoder
from prvr.search.choosing import choose_encoder
from tests.encoders import make_models
from tests.encoders.hub import NOBODY, LocalHub, ask, local_hub

clip_folder = make_models.clip_folder
NAME, SOURCE = "clip-b32", "openai/clip-vit-base-patch32"  # the known one that a tiny model stands in for


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any model, and a hub that nobody answers at."""
    from huggingface_hub import constants, file_download

    monkeypatch.setenv("PRVR_DATA", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    monkeypatch.setattr(file_download, "time", type("Impatient", (), {"sleep": lambda _: None}))
    ask(monkeypatch, NOBODY, cache=tmp_path / "cache")
    return tmp_path / "home"


@pytest.fixture
def hub(clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    with local_hub({SOURCE: clip_folder, "org/Other": clip_folder}) as hub:
        ask(monkeypatch, hub.url)
        yield hub


def refused(name: str = NAME, **options: Any) -> str:
    with pytest.raises(EncoderError) as error:
        catalogue.get(name, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def weights(hub: LocalHub) -> list[str]:
    """The ranges that were asked of the weights."""
    return [span for file, span in hub.asked if file == "model.safetensors"]


def part(name: str = NAME) -> int:
    """Bytes of the file that was being fetched."""
    return max(path.stat().st_size for path in (models_folder() / f".{name}.part").glob("*.part"))


def test_what_the_catalogue_says() -> None:
    known = catalogue.known()
    assert len({model.name for model in known}) == len(known) >= 6
    assert [model.name for model in known if model.recommended] == ["siglip2-b16"]
    assert all(model.understands.endswith(".") and model.languages and model.licence and model.width for model in known)
    assert catalogue.find(SOURCE) == catalogue.find(NAME)
    assert catalogue.find("") is None
    assert catalogue.on_disk("world") is not None
    assert catalogue.on_disk(NAME) is None
    with pytest.raises(
        EncoderError, match=rf"{NAME}: is not on this machine; get it with `prvr models get {NAME}` \(6"
    ):
        load_encoder(NAME, device="cpu")


def test_a_model_is_fetched_once_and_is_then_known_by_both_names(hub: LocalHub, clip_folder: Path) -> None:
    told: list[tuple[int, int]] = []
    folder = catalogue.get(NAME, progress=lambda done, total: told.append((done, total)))
    assert folder == models_folder() / NAME == catalogue.on_disk(SOURCE)
    assert models_folder().stat().st_mode & 0o077 == 0
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in clip_folder.iterdir()} | {"prvr.json"}
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] == sum(path.stat().st_size for path in clip_folder.iterdir())
    asked = len(hub.asked)
    assert catalogue.get(NAME) == folder
    assert len(hub.asked) == asked
    mine, plain = load_encoder(NAME, device="cpu"), load_encoder(str(clip_folder), device="cpu")
    assert mine.spec.same_as(plain.spec)
    assert (mine.spec.source, load_encoder(SOURCE, device="cpu").spec.source) == (NAME, SOURCE)
    assert torch.equal(mine.encode_texts(["a red circle"]).words, plain.encode_texts(["a red circle"]).words)


def test_a_model_that_nobody_listed(hub: LocalHub) -> None:
    assert catalogue.get("org/Other") == models_folder() / "other"
    assert [model.name for model in catalogue.known()][-1] == "other"
    assert load_encoder("other", device="cpu").spec.width == catalogue.known()[-1].width == 24
    catalogue.remove("other")
    assert catalogue.find("other") is None
    assert "the hub has no such model" in refused("org/none")
    for name in ("", "clp-b32", "a b", "../x"):
        assert f"no model {name!r}" in refused(name)
    assert "did you mean 'clip-b32'" in refused("clp-b32")


def test_stopped_and_gone_on_at_the_byte(hub: LocalHub) -> None:
    reached: list[int] = []
    line = refused(
        progress=lambda done, _: reached.append(done), cancelled=lambda: bool(reached) and reached[-1] > 60_000
    )
    assert "stopped; 0.1 of 0.3 MB are kept, and the same command goes on from there" in line
    assert catalogue.on_disk(NAME) is None
    there = part()
    assert there > 0
    with pytest.raises(DownloadStopped):
        catalogue.get(NAME, cancelled=lambda: True)
    catalogue.get(NAME)
    assert weights(hub)[-1] == f"bytes={there}-"
    load_encoder(NAME, device="cpu")


def test_a_line_that_breaks_once_is_taken_up_again(hub: LocalHub) -> None:
    hub.cut_after = 30_000
    catalogue.get(NAME)
    assert [span for _, span in hub.asked if span]
    load_encoder(NAME, device="cpu")


def test_a_hub_that_goes_away_in_the_middle(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import file_download

    real = file_download.http_get

    def gone(url: str, *args: Any, **options: Any) -> None:
        if "model.safetensors" in url:
            url = url.replace(hub.url, NOBODY)
        real(url, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(file_download, "http_get", gone)
        assert "the hub cannot be reached any longer; 0.0 of 0.3 MB are kept: run the command again" in refused()


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    hint = "carry it: `prvr models get NAME --to FOLDER` on a connected machine, then here `prvr models import"
    assert f"{SOURCE}: not on this machine, and the hub cannot be reached; {hint}" in refused()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert f"HF_HUB_OFFLINE is set; {hint}" in refused()
    assert catalogue.on_disk(NAME) is None


def test_a_file_that_is_not_what_was_listed(hub: LocalHub) -> None:
    hub.spoil = "model.safetensors"
    assert "model.safetensors is not what the hub lists (its checksum differs), so it was thrown away" in refused()
    assert not list((models_folder() / f".{NAME}.part").glob("*.part"))
    hub.spoil = ""
    catalogue.get(NAME)


def test_a_full_disk_loses_nothing(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
        assert "MB free; free some space, or name another place with PRVR_DATA" in refused()
    from huggingface_hub import file_download

    def full(url: str, out: Any, **options: Any) -> None:
        if "model.safetensors" in url:
            out.write(bytes(range(100)))
            raise OSError(errno.ENOSPC, "No space left on device")
        real(url, out, **options)

    real = file_download.http_get
    with monkeypatch.context() as patch:
        patch.setattr(file_download, "http_get", full)
        line = refused()
    assert "cannot be written (No space left on device); what came is kept, and the same command goes on" in line
    assert part() == 100
    assert "checksum differs" in refused(), "the hundred bytes above are none of the model's"
    catalogue.get(NAME)


def test_carried_to_a_machine_without_a_network(
    hub: LocalHub, clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stick = tmp_path / "stick"
    carried = catalogue.get(NAME, to=stick)
    assert (carried, catalogue.on_disk(NAME)) == (stick / NAME, None)
    ask(monkeypatch, NOBODY)
    assert catalogue.import_folder(carried).name == NAME
    assert catalogue.get(NAME) == catalogue.on_disk(SOURCE)
    assert load_encoder(NAME, device="cpu").spec.revision == load_encoder(str(clip_folder), device="cpu").spec.revision
    catalogue.get(NAME, to=tmp_path / "next")  # from here, without the hub
    content = bytearray((carried / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (carried / "model.safetensors").write_bytes(content)
    with pytest.raises(EncoderError, match="is not as it was fetched; carry the folder over again"):
        catalogue.import_folder(carried, "again")
    assert catalogue.find("again") is None


def test_a_folder_of_ones_own(clip_folder: Path, tmp_path: Path) -> None:
    model = catalogue.import_folder(clip_folder, "mine")
    assert model == catalogue.find("mine") == catalogue.known()[-1]
    assert (model.width, model.source) == (24, "")
    assert catalogue.get("mine") == catalogue.on_disk("mine")
    assert load_encoder("mine", device="cpu").spec.source == "mine"
    for name, why in (("mine", "is there already"), ("world", "is there already"), ("a/b", "is no name for a model")):
        with pytest.raises(EncoderError, match=f"{name}: {why}"):
            catalogue.import_folder(clip_folder, name)
    broken = Path(shutil.copytree(clip_folder, tmp_path / "broken"))
    content = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(EncoderError, match=r"model\.safetensors: the weights are damaged"):
        catalogue.import_folder(broken)
    (broken / "model.safetensors").unlink()
    for folder, why in ((broken, "holds no weights"), (tmp_path / "none", "no such folder"), (tmp_path, "no config")):
        with pytest.raises(EncoderError, match=why):
            catalogue.import_folder(folder)
    assert [model.name for model in catalogue.known()][-1] == "mine"


def test_the_default_is_a_model_that_is_here(clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert catalogue.default() is None
    with pytest.raises(EncoderError, match=f"{NAME}: is not on this machine; get it with `prvr models get {NAME}`"):
        catalogue.set_default(NAME)
    with pytest.raises(EncoderError, match="no model 'min'"):
        catalogue.set_default("min")
    with pytest.raises(EncoderError, match="world: knows the generated videos only"):
        catalogue.set_default("world")
    catalogue.import_folder(clip_folder, "mine")
    with monkeypatch.context() as bare:
        bare.setattr("prvr.encoders.things.installed", lambda: None)
        with pytest.raises(EncoderError, match="mine can read them: `prvr models default mine`"):
            choose_encoder([clip_folder])
    if catalogue.on_disk("things"):
        assert choose_encoder([clip_folder]).why.endswith("For those, `prvr models default mine`")
    assert catalogue.set_default("mine").name == catalogue.default() == "mine"
