from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from prvr.core.errors import EncoderError
from prvr.core.types import Encoder, TextFeatures
from prvr.encoders import checkpoint
from prvr.encoders.checkpoint import hash_files, weight_files
from prvr.encoders.huggingface import HuggingFaceEncoder
from tests.encoders import make_models
from tests.encoders.make_models import IMAGE, TOKEN_LIMIT, make_clip

clip_folder, siglip_folder = make_models.clip_folder, make_models.siglip_folder

TEXTS = ["a red circle bounces", "the green square", "then a circle spins slowly on the beach", "grows"]
LONG = "a red circle bounces slowly " * 20


@pytest.fixture(params=["clip", "siglip"])
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"{request.param}_folder")
    return found


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may damage."""
    return Path(shutil.copytree(folder, tmp_path / "checkpoint"))


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


def close(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def same_texts(got: TextFeatures, wanted: TextFeatures) -> None:
    assert torch.equal(got.valid, wanted.valid)
    close(got.words, wanted.words)
    close(got.sentence, wanted.sentence)


def library_model(folder: Path, name: str) -> Any:
    import transformers

    return getattr(transformers, name).from_pretrained(folder, dtype=torch.float32).eval()


# What comes out is what the library gives


@pytest.mark.parametrize("legacy_eos", [False, True], ids=["eos", "legacy eos"])
@torch.inference_mode()
def test_clip_equals_the_library(tmp_path: Path, legacy_eos: bool) -> None:
    from transformers import CLIPTokenizer

    folder = make_clip(tmp_path, legacy_eos=legacy_eos)
    encoder = HuggingFaceEncoder(folder)
    images = encoder.prepare(torch.randint(0, 256, (5, 3, 40, 50), dtype=torch.uint8))
    assert images.shape == (5, 3, IMAGE, IMAGE)
    model = library_model(folder, "CLIPVisionModelWithProjection")
    close(encoder.encode_images(images), model(pixel_values=images).image_embeds)

    tokens = CLIPTokenizer.from_pretrained(folder)(
        [*TEXTS, LONG], padding=True, truncation=True, max_length=TOKEN_LIMIT, return_tensors="pt"
    )
    model = library_model(folder, "CLIPTextModelWithProjection")
    wanted = model(**tokens)
    got = encoder.encode_texts([*TEXTS, LONG])
    close(got.sentence, wanted.text_embeds)
    assert torch.equal(got.valid, tokens["attention_mask"].bool())
    rows = model.text_projection(wanted.last_hidden_state)
    close(got.words[got.valid], rows[got.valid])


@torch.inference_mode()
def test_siglip_equals_the_library(siglip_folder: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    encoder = HuggingFaceEncoder(siglip_folder)
    model = library_model(siglip_folder, "SiglipModel")
    images = encoder.prepare(torch.randint(0, 256, (5, 3, 40, 50), dtype=torch.uint8))
    close(encoder.encode_images(images), model.get_image_features(pixel_values=images).pooler_output)

    ids = PreTrainedTokenizerFast.from_pretrained(siglip_folder)(
        [*TEXTS, LONG], padding="max_length", truncation=True, max_length=TOKEN_LIMIT, return_tensors="pt"
    )["input_ids"]
    wanted = model.get_text_features(input_ids=ids)
    got = encoder.encode_texts([*TEXTS, LONG])
    close(got.sentence, wanted.pooler_output)
    rows = model.text_model.head(wanted.last_hidden_state)
    for one, (text, words, valid) in enumerate(zip([*TEXTS, LONG], got.words, got.valid, strict=True)):
        count = min(len(text.split()) + 1, TOKEN_LIMIT)  # the words and </s>
        close(words[:count], rows[one, :count])
        assert valid.sum() == min(count + 1, TOKEN_LIMIT)  # and the position that is read


def test_the_last_valid_row_is_the_sentence(folder: Path) -> None:
    encoder = HuggingFaceEncoder(folder)
    hostile = ["a <|endoftext|> circle", "</s> a circle", "<|startoftext|><|endoftext|>", "", "xyzzy ∂∂ \ud800", LONG]
    got = encoder.encode_texts([*TEXTS, *hostile])
    assert isinstance(encoder, Encoder)
    assert got.words.shape == (len(TEXTS) + len(hostile), TOKEN_LIMIT, encoder.spec.width)
    for words, valid, sentence in zip(*got, strict=True):
        count = int(valid.sum())
        assert valid[:count].all()
        assert torch.equal(words[count - 1], sentence)
        assert not words[count:].any()
    assert all(part.dtype == torch.float32 for part in (got.words, got.sentence))
    assert got.valid[-1].all()  # cut to the limit, [EOS] included


def test_sentences_differ_by_their_words(folder: Path) -> None:
    sentence = torch.nn.functional.normalize(HuggingFaceEncoder(folder).encode_texts(TEXTS).sentence)
    assert (sentence @ sentence.T - torch.eye(len(TEXTS))).max() < 0.9999


# Neither batches, nor padding, nor threads change anything


def test_batches_and_padding_change_nothing(folder: Path) -> None:
    whole, small = HuggingFaceEncoder(folder), HuggingFaceEncoder(folder, batch_size=2)
    texts = [*TEXTS, LONG, "circle"]
    together = whole.encode_texts(texts)
    same_texts(small.encode_texts(texts), together)
    for one, text in enumerate(texts):
        alone = whole.encode_texts([text])
        count = alone.words.shape[1]
        close(alone.words[0], together.words[one, :count])
        assert not together.valid[one, count:].any()
    images = torch.randn(5, 3, IMAGE, IMAGE)
    got = whole.encode_images(images)
    close(small.encode_images(images), got)
    close(whole.encode_images(images.flip(0)), got.flip(0))
    assert torch.equal(whole.encode_images(images), got)
    assert torch.equal(whole.encode_texts(texts).words, together.words)


def test_nothing_in_nothing_out(folder: Path) -> None:
    encoder = HuggingFaceEncoder(folder)
    assert encoder.encode_images(torch.zeros(0, 3, IMAGE, IMAGE)).shape == (0, encoder.spec.width)
    assert encoder.encode_texts([]).sentence.shape == (0, encoder.spec.width)


def test_what_comes_out_may_take_part_in_training(folder: Path) -> None:
    encoder = HuggingFaceEncoder(folder)
    weight = torch.ones(encoder.spec.width, requires_grad=True)
    texts = encoder.encode_texts(TEXTS)
    images = encoder.encode_images(torch.randn(2, 3, IMAGE, IMAGE))
    loss = torch.cat([(part @ weight).flatten() for part in (images, texts.words, texts.sentence)]).square().sum()
    (gradient,) = torch.autograd.grad(loss, weight)
    assert gradient.any()


def test_threads_share_an_encoder(folder: Path) -> None:
    encoder = HuggingFaceEncoder(folder)
    wanted = encoder.encode_texts(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: encoder.encode_texts(TEXTS), range(40)):
            same_texts(got, wanted)


def test_bf16_is_near_and_comes_back_as_float32(folder: Path) -> None:
    exact, rough = HuggingFaceEncoder(folder), HuggingFaceEncoder(folder, dtype=torch.bfloat16)
    images = torch.randn(4, 3, IMAGE, IMAGE)
    pairs = [
        (exact.encode_images(images), rough.encode_images(images)),
        (exact.encode_texts(TEXTS).sentence, rough.encode_texts(TEXTS).sentence),
    ]
    for wanted, got in pairs:
        assert got.dtype == torch.float32
        assert torch.cosine_similarity(wanted, got).min() > 0.999
        assert (wanted - got).norm() < 0.03 * wanted.norm()


# Identity


def test_the_revision_follows_the_weights(copy: Path) -> None:
    weights = copy / "model.safetensors"
    first = HuggingFaceEncoder(copy, name="org/model", source="elsewhere").spec
    assert first.revision == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (first.name, first.source) == ("org/model", "elsewhere")
    changed = load_file(weights)
    changed["logit_scale"] += 1
    save_file(changed, weights, metadata={"format": "pt"})
    second = HuggingFaceEncoder(copy).spec
    assert second.fingerprint.startswith("checkpoint@")
    assert second.revision != first.revision


def test_several_weight_files_are_hashed_in_order(tmp_path: Path) -> None:
    for name, content in (("b.safetensors", b"2" * 3_000_000), ("a.safetensors", b"1")):
        (tmp_path / name).write_bytes(content)
    index = {"weight_map": {"x": "b.safetensors", "y": "a.safetensors", "z": "b.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert hash_files(weight_files(tmp_path)) == hashlib.sha256(b"1" + b"2" * 3_000_000).hexdigest()
    (tmp_path / "a.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"a.safetensors: is missing, though model.safetensors.index.json names it"):
        weight_files(tmp_path)


def test_weights_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until they change, though their size and the time of their change be the same."""
    monkeypatch.setenv("PRVR_DATA", str(tmp_path / "home"))
    monkeypatch.setattr(checkpoint, "SETTLED_S", -1.0)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"one")
    first, then = hash_files([file]), file.stat()
    with monkeypatch.context() as without:
        without.setattr(hashlib, "sha256", lambda: pytest.fail("it is read again"))
        assert hash_files([file]) == first
    assert first == hashlib.sha256(b"one").hexdigest()
    file.write_bytes(b"two")
    os.utime(file, ns=(then.st_atime_ns, then.st_mtime_ns))
    assert hash_files([file]) == hashlib.sha256(b"two").hexdigest()
    (tmp_path / "home" / "models" / "hashes.json").write_text("[]")  # damaged: nothing is known
    assert hash_files([file]) == hashlib.sha256(b"two").hexdigest()
    monkeypatch.setattr(checkpoint, "SETTLED_S", 60.0)  # it may change again within the tick of the clock
    file.write_bytes(b"six")
    assert hash_files([file]) == hashlib.sha256(b"six").hexdigest()
    assert hashlib.sha256(b"six").hexdigest() not in (tmp_path / "home" / "models" / "hashes.json").read_text()


# Forms of checkpoints


def test_vocab_and_merges_do_for_a_tokenizer(clip_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(clip_folder, tmp_path / "old"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copy / name).unlink()
    same_texts(HuggingFaceEncoder(copy).encode_texts(TEXTS), HuggingFaceEncoder(clip_folder).encode_texts(TEXTS))
    (copy / "merges.txt").unlink()
    with pytest.raises(EncoderError, match="holds no tokenizer"):
        HuggingFaceEncoder(copy)


def test_bin_weights_are_read_as_tensors(folder: Path, copy: Path) -> None:
    weights = copy / "model.safetensors"
    torch.save(load_file(weights), copy / "pytorch_model.bin")
    weights.unlink()
    images = torch.randn(2, 3, IMAGE, IMAGE)
    encoder = HuggingFaceEncoder(copy)
    assert torch.equal(encoder.encode_images(images), HuggingFaceEncoder(folder).encode_images(images))
    assert encoder.spec.revision == hashlib.sha256((copy / "pytorch_model.bin").read_bytes()).hexdigest()


class Malicious:
    """Unpickling this makes a folder, as it could do anything else."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_malicious_pickle_is_refused(copy: Path) -> None:
    loot = copy / "loot"
    pickle.loads(pickle.dumps(Malicious(loot)))
    assert loot.is_dir()  # it does what it is meant to do
    loot.rmdir()
    torch.save(load_file(copy / "model.safetensors") | {"x": Malicious(loot)}, copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match="the weights cannot be loaded"):
        HuggingFaceEncoder(copy)
    assert not loot.exists()


def test_half_precision_files_are_computed_in_float32(copy: Path) -> None:
    weights = copy / "model.safetensors"
    save_file({name: value.half() for name, value in load_file(weights).items()}, weights, metadata={"format": "pt"})
    edit(copy / "config.json", lambda values: values.update(dtype="float16"))
    images = torch.randn(2, 3, IMAGE, IMAGE)
    got = HuggingFaceEncoder(copy).encode_images(images)
    assert not torch.equal(got, got.half().float())


def test_preprocessing_comes_from_the_folder_or_the_kind(copy: Path) -> None:
    path = copy / "preprocessor_config.json"
    was = HuggingFaceEncoder(copy).spec
    path.rename(copy / "elsewhere.json")
    default = HuggingFaceEncoder(copy).spec
    assert (default.mean, default.std, default.crop) == (was.mean, was.std, was.crop)
    (copy / "elsewhere.json").rename(path)
    edit(path, lambda values: values.update(image_mean=[0.1, 0.2, 0.3]))
    assert HuggingFaceEncoder(copy).spec.mean == (0.1, 0.2, 0.3)


def test_siglip_sentences_are_read_in_lower_case(siglip_folder: Path, tmp_path: Path) -> None:
    encoder = HuggingFaceEncoder(siglip_folder)
    same_texts(encoder.encode_texts(["A RED  circle"]), encoder.encode_texts(["a red circle"]))
    assert encoder.unknown_words("a red, circle") == ["red,"]
    copy = Path(shutil.copytree(siglip_folder, tmp_path / "one"))
    edit(copy / "tokenizer_config.json", lambda values: values.update(tokenizer_class="SiglipTokenizer"))
    first = HuggingFaceEncoder(copy)  # version 1 of SigLIP drops punctuation
    same_texts(first.encode_texts(["A red, circle!"]), encoder.encode_texts(["a red circle"]))


def test_unknown_words(clip_folder: Path, siglip_folder: Path) -> None:
    assert HuggingFaceEncoder(siglip_folder).unknown_words("A xyzzy red xyzzy bounces ∂") == ["xyzzy", "∂"]
    assert HuggingFaceEncoder(clip_folder).unknown_words("A red xyzzy bounces ∂") == []


def test_loading_is_silent(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    HuggingFaceEncoder(folder).encode_texts([LONG])
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


# Folders that do not fit together


def drop_a_tensor(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["text_model.final_layer_norm.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})


def truncate(copy: Path) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:2000])


def drop_the_tokenizer(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    (copy / "vocab.json").unlink(missing_ok=True)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "config": (lambda copy: (copy / "config.json").unlink(), "holds no config.json; a folder must hold config.json"),
    "no json": (lambda copy: (copy / "config.json").write_text("[]"), "config.json: is not a JSON object"),
    "type": (
        lambda copy: edit(copy / "config.json", lambda values: values.update(model_type="bert")),
        "is a model of type 'bert', which prvr cannot read; .*types that can be read: clip, metaclip_2, siglip",
    ),
    "weights": (lambda copy: (copy / "model.safetensors").unlink(), "holds no weights; a folder must hold config.json"),
    "truncated": (truncate, "the weights cannot be loaded .*copy the checkpoint again"),
    "a tensor": (drop_a_tensor, "1 tensors are not there, such as text_model.final_layer_norm.weight"),
    "shape": (
        lambda copy: edit(copy / "config.json", lambda values: values["text_config"].update(hidden_size=64)),
        "the weights cannot be loaded",
    ),
    "nonsense": (
        lambda copy: edit(copy / "config.json", lambda values: values["text_config"].update(hidden_size="wide")),
        "the weights cannot be loaded",
    ),
    "image size": (
        lambda copy: edit(
            copy / "preprocessor_config.json", lambda values: values.update(size=64, crop_size=64, do_center_crop=True)
        ),
        r"makes images of \(64, 64\) pixels, but the model of config.json wants \(32, 32\)",
    ),
    "tokenizer": (drop_the_tokenizer, "holds no tokenizer"),
    "tokenizer damaged": (
        lambda copy: (copy / "tokenizer.json").write_text("{}", encoding="utf-8"),
        "the tokenizer cannot be loaded",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_folder_that_cannot_be_used_says_why(copy: Path, damage: str) -> None:
    spoil, message = DAMAGE[damage]
    spoil(copy)
    with pytest.raises(EncoderError, match=message) as error:
        HuggingFaceEncoder(copy)
    assert "\n" not in str(error.value)
    assert str(copy) in str(error.value)


def test_a_tokenizer_of_another_checkpoint(clip_folder: Path, siglip_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(siglip_folder, tmp_path / "mixed"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(clip_folder / name, copy / name)
    edit(copy / "tokenizer_config.json", lambda values: values.update(tokenizer_class="CLIPTokenizer"))
    weights = load_file(copy / "model.safetensors")
    assert len(weights["text_model.embeddings.token_embedding.weight"]) < 100
    with pytest.raises(EncoderError, match="tokens, but the model knows only"):
        HuggingFaceEncoder(copy)
