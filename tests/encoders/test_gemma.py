"""EmbeddingGemma 2 beside the library: one network for sentences and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers.models.gemma4.image_processing_pil_gemma4 import (
    Gemma4ImageProcessorPil,
    get_aspect_ratio_preserving_size,
)

from prvr.core.errors import EncoderError
from prvr.encoders.families.gemma import whole_cells
from prvr.encoders.huggingface import HuggingFaceEncoder
from prvr.encoders.loading import load_encoder
from tests.encoders.make_models import FOREIGN, PROMPT, TOKEN_LIMIT, make_clip, make_gemma

TEXTS = ["circle bounces", "the green square", FOREIGN, "", "a red circle bounces slowly " * 20]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gemma(tmp_path_factory.mktemp("gemma"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return transformers.EmbeddingGemma2Model.from_pretrained(folder, dtype=torch.float32).eval()


def near(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_sentences_are_the_means_of_prompted_words(folder: Path, model: Any) -> None:
    encoder = load_encoder(str(folder), device="cpu")
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    got = encoder.encode_texts(TEXTS)
    for one, text in enumerate(TEXTS):
        tokens = tokenizer(PROMPT + text, truncation=True, max_length=TOKEN_LIMIT, return_tensors="pt")
        assert tokens["input_ids"][0, -1] == tokenizer.eos_token_id
        rows = model(**tokens).last_hidden_state[0]
        near(got.sentence[one], rows.mean(dim=0))
        near(got.words[one, : len(rows)], rows)
        near(encoder.encode_texts([text]).sentence[0], got.sentence[one])
        assert got.valid[one].sum() == len(rows) + 1


@torch.inference_mode()
def test_frames_go_in_as_pictures(folder: Path, model: Any) -> None:
    """Of a shape that needs no resizing, through the library's own preprocessing, padding and all."""
    encoder = HuggingFaceEncoder(folder)
    frames = torch.randint(0, 256, (3, 3, 48, 80), dtype=torch.uint8)
    processor = Gemma4ImageProcessorPil.from_pretrained(folder)
    found = processor(images=list(frames.numpy()), return_tensors="pt", input_data_format="channels_first")
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    (count,) = set(torch.as_tensor(found["num_soft_tokens_per_image"]).tolist())
    ids = tokenizer(["<boi> " + "<image> " * count + "<eoi>"] * 3, return_tensors="pt")
    pixels = {name: found[name] for name in ("pixel_values", "image_position_ids")}
    got = encoder.encode_images(encoder.prepare(frames))
    near(got, model(**ids, **pixels).last_hidden_state.mean(dim=1))
    assert len(torch.unique(got, dim=0)) == 3


def test_vectors_are_cut_by_name(folder: Path, tmp_path: Path) -> None:
    whole, cut = load_encoder(str(folder), device="cpu"), load_encoder(f"{folder}@8", device="cpu")
    images = whole.prepare(torch.randint(0, 256, (2, 3, 48, 80), dtype=torch.uint8))
    near(cut.encode_images(images), whole.encode_images(images)[:, :8])
    near(cut.encode_texts(TEXTS).sentence, whole.encode_texts(TEXTS).sentence[:, :8])
    assert (cut.spec.width, cut.spec.same_as(whole.spec)) == (8, False)
    assert load_encoder(cut.spec.source, device="cpu").spec == cut.spec
    with pytest.raises(EncoderError, match="@99: its vectors are 24 wide"):
        load_encoder(f"{folder}@99", device="cpu")
    with pytest.raises(EncoderError, match="@8: its vectors were not trained to be cut"):
        load_encoder(f"{make_clip(tmp_path)}@8", device="cpu")


@pytest.mark.parametrize("size", [(720, 1280), (1920, 1080), (64, 64), (40, 3000), (3000, 10)])
def test_sizes_are_the_librarys(size: tuple[int, int]) -> None:
    assert whole_cells(*size, 48, 280) == get_aspect_ratio_preserving_size(*size, 16, 280 * 9, 3)
