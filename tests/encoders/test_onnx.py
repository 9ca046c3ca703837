"""Folders of ONNX graphs: made from checkpoints, and read as the checkpoints are."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from prvr.cli import main
from prvr.core.errors import ConfigError, EncoderError
from prvr.core.readers import ClipEncoder
from prvr.core.types import TextFeatures
from prvr.encoders import catalogue
from prvr.encoders.huggingface import HuggingFaceEncoder, check_folder
from prvr.encoders.loading import load_encoder
from prvr.encoders.onnx import OnnxEncoder, export_folder
from tests.encoders import make_models
from tests.encoders.make_models import FOREIGN

pytest.importorskip("onnxruntime")

TEXTS = ["a red circle bounces", "then a circle spins slowly on the beach", "grows", FOREIGN, "", "xyzzy 猫", "a " * 50]
MADE = {
    "clip": make_models.make_clip,
    "siglip": make_models.make_siglip,
    "metaclip_2": make_models.make_metaclip2,
    "chinese_clip": make_models.make_chinese_clip,
    "altclip": make_models.make_altclip,
    "align": make_models.make_align,
    "xclip": make_models.make_xclip,
    "videoprism": make_models.make_videoprism,
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[HuggingFaceEncoder, Path]]:
    """A checkpoint of a family, and the folder of its graphs; each is made once."""
    made: dict[str, tuple[HuggingFaceEncoder, Path]] = {}

    def of(name: str) -> tuple[HuggingFaceEncoder, Path]:
        if name not in made:
            root = tmp_path_factory.mktemp(name)
            (root / "checkpoint").mkdir()
            encoder = HuggingFaceEncoder(MADE[name](root / "checkpoint"))
            assert export_folder(encoder, root / "graphs") < 1e-5
            made[name] = encoder, root / "graphs"
        return made[name]

    return of


Exported = Callable[[str], tuple[HuggingFaceEncoder, Path]]


def near(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def same(got: TextFeatures, wanted: TextFeatures) -> None:
    assert torch.equal(got.valid, wanted.valid)
    near(got.words, wanted.words)
    near(got.sentence, wanted.sentence)


@pytest.mark.parametrize("name", MADE)
def test_graphs_give_what_the_checkpoint_gives(name: str, exported: Exported) -> None:
    encoder, folder = exported(name)
    graphs = load_encoder(str(folder), device="cpu")
    assert isinstance(graphs, OnnxEncoder)
    frames = torch.randint(0, 256, (5, 3, 40, 50), dtype=torch.uint8)
    images = graphs.prepare(frames)
    assert torch.equal(images, encoder.prepare(frames))
    near(graphs.encode_images(images), encoder.encode_images(images))
    same(graphs.encode_texts(TEXTS), encoder.encode_texts(TEXTS))
    for text in TEXTS:  # alone as together
        same(graphs.encode_texts([text]), encoder.encode_texts([text]))
    assert graphs.unknown_words("a red xyzzy 猫") == encoder.unknown_words("a red xyzzy 猫")
    assert graphs.spec.clips == encoder.spec.clips
    if graphs.spec.clips:
        assert isinstance(graphs, ClipEncoder)
        windows = torch.randn(3, 4, 3, 32, 32)
        near(graphs.encode_clips(windows), encoder.encode_clips(windows))
    assert check_folder(folder) == encoder.spec.width
    assert (graphs.spec.token_limit, graphs.spec.image_size) == (encoder.spec.token_limit, encoder.spec.image_size)


def test_the_library_is_not_needed(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither transformers nor what graphs are made with."""
    encoder, folder = exported("clip")
    wanted = encoder.encode_texts(TEXTS)
    for name in ("transformers", "onnx", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)
    same(OnnxEncoder(folder).encode_texts(TEXTS), wanted)


def test_a_model_is_exported_and_imported(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was exported is a model like any other, under its own name, and keeps what its graphs want."""
    encoder, _ = exported("clip")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.chdir(tmp_path)
    assert main(["models", "export", encoder.spec.source]) == 0
    assert capsys.readouterr().out.strip() == "checkpoint-onnx"
    assert main(["models", "import", "checkpoint-onnx", "--name", "mine"]) == 0
    assert catalogue.find("mine")
    same(load_encoder("mine", device="cpu").encode_texts(TEXTS), encoder.encode_texts(TEXTS))
    assert main(["models", "export", encoder.spec.source]) == 1
    assert "checkpoint-onnx: is there already" in capsys.readouterr().err
    assert main(["models", "export", "world"]) == 1
    assert "world: is no checkpoint of transformers" in capsys.readouterr().err


def test_a_graph_may_give_sentences_alone(exported: Exported, tmp_path: Path) -> None:
    """As graphs that others exported do: the row of the sentence, and no words."""
    _, folder = exported("clip")
    copy = Path(shutil.copytree(folder, tmp_path / "alone"))

    class Sentence(torch.nn.Module):
        def forward(self, ids: Tensor) -> Tensor:
            return torch.stack([ids.sum(1), ids.amax(1)], dim=1).float()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Sentence(),
            (torch.ones(1, 3, dtype=torch.long),),
            str(copy / "text.onnx"),
            dynamo=False,
            input_names=["input_ids"],
            output_names=["text_embeds"],
            dynamic_axes={"input_ids": {0: "q", 1: "w"}},
        )
    card = json.loads((copy / "prvr.json").read_text())
    card["onnx"]["width"] = 2
    (copy / "prvr.json").write_text(json.dumps(card))
    got = OnnxEncoder(copy).encode_texts(["a red circle", "grows"])
    assert got.words.shape == (2, 1, 2)
    assert torch.equal(got.words[:, 0], got.sentence)


def test_what_cannot_be_exported_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    encoder = HuggingFaceEncoder(make_models.make_naflex(tmp_path / "checkpoint"))
    with pytest.raises(EncoderError, match="image.onnx: this model cannot be made an ONNX graph"):
        export_folder(encoder, tmp_path / "graphs")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_folders_that_cannot_be_used_say_why(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = exported("clip")
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    with pytest.raises(ConfigError, match="--dtype: the graphs of an ONNX folder have a precision of their own"):
        load_encoder(str(copy), device="cpu", dtype="bf16")
    (copy / "image.onnx").write_bytes(b"no graph")
    with pytest.raises(EncoderError, match="image.onnx: cannot be read as an ONNX graph"):
        OnnxEncoder(copy)
    (copy / "prvr.json").write_text('{"onnx": {"width": 3}}')
    with pytest.raises(EncoderError, match="prvr.json: does not say what the graphs want"):
        OnnxEncoder(copy)
    (copy / "tokenizer.json").unlink()
    with pytest.raises(
        EncoderError, match="holds no tokenizer.json; a folder of ONNX graphs must hold prvr.json, image"
    ):
        check_folder(copy)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        EncoderError, match=r"need the package onnxruntime; install it with `pip install 'prvr\[onnx\]'`"
    ):
        OnnxEncoder(folder)
