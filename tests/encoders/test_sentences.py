"""Models of sentence-transformers, opened from their folder."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from prvr.core.errors import EncoderError
from prvr.core.types import Encoder
from prvr.encoders.loading import load_encoder
from prvr.encoders.sentences import SentencesEncoder
from tests.encoders.make_models import IMAGE, make_clip

library = pytest.importorskip("sentence_transformers")

TEXTS = ["red circle bounces", "the green square"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with prompts, its network in a folder below."""
    root = tmp_path_factory.mktemp("sentences")
    (root / "clip").mkdir()
    model = library.SentenceTransformer(
        str(make_clip(root / "clip")), device="cpu", local_files_only=True, prompts={"query": "a ", "document": ""}
    )
    model.save(str(root / "whole"))
    made = root / "model"
    (made / "0_Transformer").mkdir(parents=True)
    for file in (root / "whole").iterdir():
        at_top = file.name in ("modules.json", "config_sentence_transformers.json")
        shutil.copy(file, made / file.name if at_top else made / "0_Transformer" / file.name)
    modules = json.loads((made / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (made / "modules.json").write_text(json.dumps(modules))
    return made


def near(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)


def test_vectors_are_the_librarys(folder: Path) -> None:
    from PIL import Image

    model = library.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    encoder = load_encoder(str(folder), device="cpu")
    assert isinstance(encoder, Encoder)
    got = encoder.encode_texts(TEXTS)
    near(got.sentence, model.encode(TEXTS, prompt_name="query", convert_to_tensor=True))
    near(
        got.sentence,
        load_encoder(str(folder.parent / "clip"), device="cpu").encode_texts([f"a {t}" for t in TEXTS]).sentence,
    )
    assert torch.equal(got.words[:, 0], got.sentence)
    frames = torch.randint(0, 256, (3, 3, IMAGE, IMAGE + 8), dtype=torch.uint8)
    pictures = [Image.fromarray(one) for one in frames.permute(0, 2, 3, 1).numpy()]
    near(encoder.encode_images(encoder.prepare(frames)), model.encode(pictures, convert_to_tensor=True))
    assert encoder.prepare(torch.zeros(1, 3, 720, 1280, dtype=torch.uint8)).shape == (1, 3, 288, 512)
    assert encoder.encode_texts([]).sentence.shape == (0, encoder.spec.width)


def test_vectors_are_cut_where_the_name_says_so(folder: Path) -> None:
    whole, cut = (load_encoder(name, device="cpu") for name in (str(folder), f"{folder}@8"))
    near(cut.encode_texts(TEXTS).sentence, whole.encode_texts(TEXTS).sentence[:, :8])
    assert not cut.spec.same_as(whole.spec)
    assert load_encoder(cut.spec.source, device="cpu").spec == cut.spec
    with pytest.raises(EncoderError, match=r"model@99: its vectors are 24 wide"):
        load_encoder(f"{folder}@99", device="cpu")


def test_what_cannot_be_used_says_why(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    modules = json.loads((copy / "modules.json").read_text())
    modules[0]["type"] = "custom_st.Transformer"
    (copy / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(
        EncoderError, match=r"comes with code of its own \(custom_st.Transformer\), and prvr does not run"
    ):
        SentencesEncoder(copy)
    (copy / "modules.json").write_text("{")
    with pytest.raises(EncoderError, match="modules.json: cannot be read"):
        SentencesEncoder(copy)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(EncoderError, match=r"sentence-transformers; install it with `pip install 'prvr\[st\]'`"):
        SentencesEncoder(folder)
