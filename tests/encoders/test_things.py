"""The encoder `things`: what it promises of shapes, of files, and of real photographs and recordings."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from prvr.cli import main
from prvr.core.errors import EncoderError
from prvr.encoders import catalogue, things
from prvr.encoders.loading import load_encoder
from prvr.encoders.things import ThingsEncoder
from prvr.search.call import SearchCall
from prvr.search.engine import SearchEngine
from prvr.search.telling import find, told

PHOTOS = {  # of those that scikit-image ships: three ways to ask, none of them chosen by how well it does
    "chelsea.png": ("cat", "a cat lying down", "the face of a cat that looks at you"),
    "coffee.png": ("espresso", "a cup of coffee", "a red cup of coffee with a spoon stands on a table"),
    "rocket.jpg": ("rocket", "a rocket on the launch pad", "a white rocket waits for its launch at dusk"),
    "motorcycle_left.png": ("motorcycle", "a red motorbike", "a motorcycle is parked in a workshop full of tools"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def _at_home(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made once of the classes is made once here."""
    monkeypatch.setenv("PRVR_DATA", data)


@pytest.fixture(scope="module")
def encoder(data: str) -> ThingsEncoder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRVR_DATA", data)
        if things.installed() is None:
            pytest.skip("the packages of the extra `things` are not installed")
        made = things.load_things_encoder()
        made.encode_texts(["a cat"])
        return made


def test_words_and_sentence_obey_the_contract(encoder: ThingsEncoder) -> None:
    texts = ["a red cup of coffee", "", "cat", "ten " * 400, "☃ and a dog"]
    whole = encoder.encode_texts(texts)
    assert whole.valid.sum(1).tolist() == [6, 1, 2, 255, 5]
    for words, valid, sentence in zip(*whole, strict=True):
        assert torch.equal(words[valid][-1], sentence)
        assert not words[~valid].any()
    torch.testing.assert_close(whole.words.norm(dim=2), whole.valid.float())
    for row, text in enumerate(texts):
        alone = encoder.encode_texts([text])
        torch.testing.assert_close(alone.words[0], whole.words[row, : alone.words.shape[1]], atol=1e-5, rtol=0)
    assert encoder.encode_texts([]).words.shape == (0, 1, 1000)
    assert encoder.unknown_words("☃ and a dog ☃") == ["☃"]


def test_pictures_are_cut_as_the_classifier_wants_them(encoder: ThingsEncoder) -> None:
    frames = torch.randint(0, 256, (3, 3, 90, 160), dtype=torch.uint8)
    images = encoder.prepare(frames)
    assert images.shape == (3, 3, 224, 224)
    assert float(images.min()) == pytest.approx(-127 / 128)
    assert float(images.max()) == pytest.approx(1)
    made = encoder.encode_images(images)
    torch.testing.assert_close(made.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(encoder.encode_images(images[1:2]), made[1:2])
    assert encoder.encode_images(images[:0]).shape == (0, 1000)
    made.requires_grad_()  # may take part in training


def test_the_overlap_by_hand() -> None:
    found = things.overlap_form(torch.tensor([[0.6, 0.3, 0.1]]).log())
    roots = torch.tensor([[0.6, 0.3, 0.1]]).sqrt()
    even = torch.full((3,), 3**-0.5)
    by_hand = roots - 0.5 * (roots @ even) * even
    torch.testing.assert_close(found, by_hand / by_hand.norm())


def test_the_network_is_the_one_that_its_authors_wrote(encoder: ThingsEncoder) -> None:
    """Their layers one after the other, normalisation apart, padding by the rule `ceil(size / stride)`."""
    weights = torch.load(str(things.PICTURES.find()), weights_only=True)
    image = torch.randn(1, 3, 224, 224)

    def layer(x: Tensor, name: str, norm: str, stride: int = 1) -> Tensor:
        weight = weights[f"{name}.weight"]
        size = weight.shape[2]
        lacking = max((-(-x.shape[2] // stride) - 1) * stride + size - x.shape[2], 0)
        x = torch.nn.functional.pad(x, (lacking // 2, lacking - lacking // 2) * 2)
        x = torch.conv2d(x, weight, None, stride, groups=x.shape[1] // weight.shape[1])
        mean, var, scale, shift = (
            weights[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return torch.nn.functional.batch_norm(x, mean, var, scale, shift, eps=1e-3)

    relu: Callable[[Tensor], Tensor] = torch.nn.functional.relu6
    x = relu(layer(image, "_conv_stem", "_bn0", 2))
    strides = [stride for times, stride in ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)) for stride in
               [stride, *[1] * (times - 1)]]  # fmt: skip
    for number, stride in enumerate(strides):
        at, before = f"_blocks.{number}", x
        if f"{at}._expand_conv.weight" in weights:
            x = relu(layer(x, f"{at}._expand_conv", f"{at}._bn0"))
        x = relu(layer(x, f"{at}._depthwise_conv", f"{at}._bn1", stride))
        x = layer(x, f"{at}._project_conv", f"{at}._bn2")
        x = x + before if x.shape == before.shape else x
    x = relu(layer(x, "_conv_head", "_bn1")).mean(dim=(2, 3))
    logits = x @ weights["_fc.weight"].T + weights["_fc.bias"]
    torch.testing.assert_close(things.overlap_form(logits / 1.5), encoder.encode_images(image), atol=1e-5, rtol=0)


def test_photographs_are_found_by_what_is_on_them(encoder: ThingsEncoder) -> None:
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("scikit-image, whose photographs these are, is not installed")
    import numpy as np
    from PIL import Image

    folder = Path(spec.submodule_search_locations[0]) / "data"
    pictures = [Image.open(folder / name).convert("RGB") for name in PHOTOS]
    frames = [torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] for picture in pictures]
    images = torch.cat([encoder.encode_images(encoder.prepare(frame)) for frame in frames])
    asked = [text for texts in PHOTOS.values() for text in texts]
    best = (encoder.encode_texts(asked).sentence @ images.T).argmax(dim=1)
    assert best.tolist() == [row for row in range(len(PHOTOS)) for _ in range(3)]


def test_recordings_are_found_offline_without_naming_a_model(
    encoder: ThingsEncoder, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = tmp_path / "index"
    assert main(["index", str(shared / "videos"), "--index", str(index), "--rate", "0.2"]) == 0
    said = capsys.readouterr().err
    assert f"Encoder {encoder.spec.fingerprint}: it knows a thousand kinds of things; not people" in said
    assert "`prvr models get siglip2-b16`" in said
    engine = SearchEngine.open(index)
    call = SearchCall(queries=("somebody waves",))
    note = told(engine, call, find(engine, call)).notes[0]
    assert note.startswith("The model things knows a thousand kinds of things; not people, actions")
    asked = {
        "plastic bottles": "bottle-detection.mp4",
        "a car drives on the road": "car-detection.mp4",
        "people walking in a room": "one-by-one-person-detection.mp4",
    }
    found = [hits[0] for hits in engine.search_many(list(asked), k=3, words=False)]
    assert [Path(hit.video).name for hit in found] == list(asked.values())


def test_what_is_missing_or_damaged_is_named(
    encoder: ThingsEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert catalogue.on_disk("things") == things.PICTURES.find()
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"no weights")
    with monkeypatch.context() as patch:
        patch.setattr(things.PackagedFile, "find", lambda self: broken)
        with pytest.raises(
            EncoderError, match=r"broken\.pth: is damaged, .*--force-reinstall --no-deps efficientnet-lite0"
        ):
            load_encoder("things", device="cpu")
    with monkeypatch.context() as patch:
        patch.setattr(things.PackagedFile, "find", lambda self: None)
        assert things.installed() is None
        with pytest.raises(
            EncoderError, match=r"is not installed here; install it with `pip install 'prvr\[things\]'`"
        ):
            load_encoder("things", device="cpu")


def test_nothing_is_read_where_no_model_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(things.PackagedFile, "find", lambda self: None)
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "mine.mp4").write_bytes(b"never opened")
    index = tmp_path / "index"
    assert main(["index", str(tmp_path / "videos"), "--index", str(index)]) == 1
    line = capsys.readouterr().err.strip()
    assert line == (
        "prvr index: no model for real videos is on this machine; get one with `prvr models get siglip2-b16` (1.5 GB), "
        "then `prvr models default siglip2-b16`"
    )
    assert not index.exists()
