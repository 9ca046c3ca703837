"""Every family of checkpoints beside the library that it was saved by: same pictures, same words, same sentences."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from prvr.core.errors import EncoderError
from prvr.core.types import TextFeatures
from prvr.encoders.families import FAMILIES
from prvr.encoders.families.naflex import grid
from prvr.encoders.huggingface import HuggingFaceEncoder, check_folder
from tests.encoders import make_models
from tests.encoders.make_models import FOREIGN, TOKEN_LIMIT

TEXTS = ["a red circle bounces", "the green square", "then a circle spins slowly on the beach", "grows", FOREIGN]
LONG = "a red circle bounces slowly " * 20
Rows = Callable[[Any, Tensor], Tensor]


def as_it_is(model: Any, hidden: Tensor) -> Tensor:
    return hidden


def projected(model: Any, hidden: Tensor) -> Tensor:
    rows: Tensor = model.text_projection(hidden)
    return rows


class Case(NamedTuple):
    """A family, and where the library keeps what we call words."""

    make: Callable[[Path], Path]
    library: str
    processor: str  # of its pictures; empty where the library has none, or none without torchvision
    frame: tuple[int, int]  # height, width of a picture that needs no resizing
    rows: Rows = projected
    sentence: str = "last"  # which row it is: the last, the first, or one of its own


CASES = {
    "metaclip_2": Case(make_models.make_metaclip2, "MetaClip2Model", "CLIPImageProcessorPil", (32, 32)),
    "chinese_clip": Case(
        make_models.make_chinese_clip, "ChineseCLIPModel", "ChineseCLIPImageProcessorPil", (32, 32), sentence="first"
    ),
    "altclip": Case(make_models.make_altclip, "AltCLIPModel", "CLIPImageProcessorPil", (32, 32), sentence="first"),
    "align": Case(make_models.make_align, "AlignModel", "EfficientNetImageProcessorPil", (40, 40), sentence="first"),
    "tipsv2": Case(make_models.make_tips, "Tipsv2Model", "", (32, 32), rows=as_it_is, sentence="own"),
    "siglip2": Case(
        make_models.make_naflex,
        "Siglip2Model",
        "Siglip2ImageProcessorPil",
        (24, 40),
        rows=lambda model, hidden: model.text_model.head(hidden),
        sentence="padding",
    ),
    "xclip": Case(make_models.make_xclip, "XCLIPModel", "VideoMAEImageProcessorPil", (32, 32)),
    "videoprism": Case(make_models.make_videoprism, "VideoPrismClipModel", "", (32, 32), rows=as_it_is, sentence="own"),
}


class Opened(NamedTuple):
    """A checkpoint, as the library has it and as we have it."""

    case: Case
    folder: Path
    model: Any
    encoder: HuggingFaceEncoder


@pytest.fixture(scope="module", params=CASES)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    case = CASES[request.param]
    folder = case.make(tmp_path_factory.mktemp(request.param))
    model = getattr(transformers, case.library).from_pretrained(folder, dtype=torch.float32).eval()
    return Opened(case, folder, model, HuggingFaceEncoder(folder))


def near(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)


def test_every_family_is_here() -> None:
    elsewhere = {"clip", "siglip", "embedding_gemma2"}  # test_huggingface.py and test_gemma.py look at them
    assert set(FAMILIES) == {*CASES, *elsewhere}


@torch.inference_mode()
def test_pictures_are_the_librarys(opened: Opened) -> None:
    case, folder, model, encoder = opened
    frames = torch.randint(0, 256, (5, 3, *case.frame), dtype=torch.uint8)
    if case.processor:
        processor = getattr(transformers, case.processor).from_pretrained(folder)
        pixels = processor(images=list(frames.numpy()), return_tensors="pt", input_data_format="channels_first")
    else:
        pixels = {"pixel_values": frames.float() / 255}
    images = encoder.prepare(frames)
    if encoder.spec.clips is None:
        near(encoder.encode_images(images), model.get_image_features(**pixels).pooler_output)
        return
    windows = pixels["pixel_values"].reshape(-1, 3, *images.shape[2:]).unfold(0, 4, 1).movedim(-1, 1)  # (2, 4, ...)
    name = "pixel_values_videos" if opened.case.library == "VideoPrismClipModel" else "pixel_values"
    near(encoder.encode_clips(images.unfold(0, 4, 1).movedim(-1, 1)), features(model, name, windows))
    still = windows[:, :1].expand_as(windows)
    near(encoder.encode_images(images[:2]), features(model, name, still))


def features(model: Any, name: str, windows: Tensor) -> Tensor:
    found: Tensor = model.get_video_features(**{name: windows}).pooler_output
    return found.flatten(1)


@torch.inference_mode()
def test_words_and_sentences_are_the_librarys(opened: Opened) -> None:
    case, folder, model, encoder = opened
    kind = "CLIPTokenizer" if case.library == "XCLIPModel" else "PreTrainedTokenizerFast"
    tokenizer = getattr(transformers, kind).from_pretrained(folder)
    texts = [*TEXTS, LONG]
    padding = "max_length" if case.sentence == "padding" else "longest"
    tokens = tokenizer(texts, padding=padding, truncation=True, max_length=TOKEN_LIMIT, return_tensors="pt")
    if tokenizer.unk_token_id != tokenizer.eos_token_id:  # of CLIP's, which spells out what it has no word for
        assert tokenizer.unk_token_id not in tokens["input_ids"]  # nothing is lost, in whatever language
    wanted = model.get_text_features(**tokens)
    got = encoder.encode_texts(texts)
    near(got.sentence, wanted.pooler_output)
    rows = case.rows(model, wanted.last_hidden_state)
    counts = [len(ids) for ids in tokenizer(texts, truncation=True, max_length=TOKEN_LIMIT)["input_ids"]]
    assert counts[-1] == TOKEN_LIMIT
    for one, count in enumerate(counts):
        words = got.words[one, got.valid[one]]
        near(words[-1], got.sentence[one])
        if case.sentence == "first":
            near(words, rows[one, [*range(1, count), 0]])
        else:
            near(words[:count], rows[one, :count])
            assert len(words) == min(count + (case.sentence != "last"), encoder.spec.token_limit)


def test_padding_batches_and_halves_change_nothing(opened: Opened) -> None:
    encoder = opened.encoder
    small = HuggingFaceEncoder(opened.folder, batch_size=2)
    texts = [*TEXTS, LONG, "", "circle"]
    together = encoder.encode_texts(texts)
    for got in (small.encode_texts(texts), one_by_one(encoder, texts)):
        assert torch.equal(got.valid, together.valid)
        near(got.words, together.words)
        near(got.sentence, together.sentence)
    images = encoder.prepare(torch.randint(0, 256, (5, 3, *opened.case.frame), dtype=torch.uint8))
    near(small.encode_images(images), encoder.encode_images(images))
    unlike = torch.nn.functional.normalize(together.sentence[: len(TEXTS)])
    assert (unlike @ unlike.T - torch.eye(len(TEXTS))).max() < 0.999


def one_by_one(encoder: HuggingFaceEncoder, texts: list[str]) -> TextFeatures:
    every = [encoder.encode_texts([text]) for text in texts]
    longest = max(one.words.shape[1] for one in every)
    room = [longest - one.words.shape[1] for one in every]
    return TextFeatures(
        torch.cat([torch.nn.functional.pad(one.words, (0, 0, 0, more)) for one, more in zip(every, room, strict=True)]),
        torch.cat([torch.nn.functional.pad(one.valid, (0, more)) for one, more in zip(every, room, strict=True)]),
        torch.cat([one.sentence for one in every]),
    )


def test_half_a_precision_on_the_disk_is_whole_in_use(opened: Opened, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(opened.folder, tmp_path / "half"))
    weights = {name: value.to(torch.bfloat16) for name, value in load_file(copy / "model.safetensors").items()}
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    change(copy / "config.json", dtype="bfloat16")
    got = HuggingFaceEncoder(copy).encode_texts(TEXTS).sentence
    assert not torch.equal(got, got.to(torch.bfloat16).float())


def test_a_folder_is_checked_without_its_weights(opened: Opened) -> None:
    assert check_folder(opened.folder) == opened.encoder.spec.width


def test_letters_that_mean_nothing(opened: Opened) -> None:
    every = [] if opened.case.library == "XCLIPModel" else ["xyzzy", "猫"]  # CLIP's tokenizer spells out what it must
    assert opened.encoder.unknown_words("a red xyzzy 一个猫 красный xyzzy") == every


@pytest.mark.parametrize("size", [(720, 1280), (1080, 1920), (1920, 1080), (480, 640), (40, 3000), (1, 1)])
def test_the_grid_is_the_librarys(size: tuple[int, int]) -> None:
    from transformers.models.siglip2.image_processing_pil_siglip2 import get_image_size_for_max_num_patches

    assert grid(*size, 16, 256) == get_image_size_for_max_num_patches(*size, 16, 256)


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"model_type": "jina_clip", "auto_map": {"AutoModel": "x--y.Z"}}, "comes with code of its own, and prvr does"),
        ({"model_type": "timm_wrapper"}, "needs the package timm, which prvr does not use"),
        ({"model_type": "bert"}, "which prvr cannot read; .*types that can be read: clip, metaclip_2"),
    ],
)
def test_what_is_refused_says_why(tmp_path: Path, config: dict[str, object], why: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for open_it in (HuggingFaceEncoder, check_folder):
        with pytest.raises(EncoderError, match=why):
            open_it(tmp_path)


def test_open_clips_own_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(EncoderError, match="is a checkpoint of open_clip, which needs the package timm"):
        HuggingFaceEncoder(tmp_path)
