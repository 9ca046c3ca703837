"""The bundled world encoder: it keeps the encoder's contract, and it knows the world it was made for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from prvr.core.errors import EncoderError
from prvr.core.types import Encoder
from prvr.data.world.acts import VERSION
from prvr.data.world.grammar import vocabulary
from prvr.encoders.world import (
    WEIGHTS,
    WorldConfig,
    WorldEncoder,
    WorldNet,
    load_world_encoder,
    read_world_encoder,
    save_world_encoder,
    sentence_rows,
    words_of,
)
from prvr.reproduce.world_encoder import clip_loss, draw, held_out_recall, main

TEXTS = ["A red ball bounces.", "There is a dotted azure donut that orbits a white star over and over at sea.", "Up"]


@pytest.fixture(scope="module")
def encoder() -> WorldEncoder:
    return load_world_encoder()


def test_spec_says_what_it_is(encoder: WorldEncoder) -> None:
    assert isinstance(encoder, Encoder)
    spec = encoder.spec
    assert (spec.name, spec.domain, spec.width, spec.crop) == ("world", "the generated world only", 128, False)
    assert len(spec.revision) == 64
    assert load_world_encoder().spec == spec
    assert WEIGHTS.stat().st_size < 4e6


def test_weights_say_how_they_were_made() -> None:
    with safe_open(WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
    assert metadata["generator"] == str(VERSION), "the world has changed: train the encoder again"
    assert json.loads(metadata["config"])["vocabulary"] == list(vocabulary()), "the grammar has: train again"
    assert int(metadata["steps"]) > 0


def test_images(encoder: WorldEncoder) -> None:
    frames = torch.randint(0, 256, (5, 3, 90, 160), dtype=torch.uint8)
    images = encoder.prepare(frames)
    assert images.shape == (5, 3, *encoder.spec.image_size)
    assert -1.001 <= float(images.min()) < float(images.max()) <= 1.001
    features = encoder.encode_images(images)
    assert features.shape == (5, 128)
    assert features.dtype == torch.float32
    one_by_one = torch.cat([encoder.encode_images(encoder.prepare(frame[None])) for frame in frames])
    torch.testing.assert_close(features, one_by_one, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(features.flip(0), encoder.encode_images(images.flip(0)), atol=1e-4, rtol=1e-4)


def test_texts_and_padding(encoder: WorldEncoder) -> None:
    words, valid, sentence = encoder.encode_texts(TEXTS)
    assert valid.sum(dim=1).tolist() == [5, 17, 2]  # words and the end of the sentence
    assert words.shape == (3, 17, 128)
    assert not words[~valid].any()
    for i, text in enumerate(TEXTS):
        alone = encoder.encode_texts([text])
        torch.testing.assert_close(alone.words[0], words[i, valid[i]], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone.sentence[0], sentence[i], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(words[i, valid[i]][-1], sentence[i])  # the row of the end


def test_many_texts_few_texts_long_texts(encoder: WorldEncoder) -> None:
    many = encoder.encode_texts(TEXTS * 100)
    torch.testing.assert_close(many.sentence[-3:], encoder.encode_texts(TEXTS).sentence, atol=1e-5, rtol=1e-4)
    none = encoder.encode_texts([])
    assert none.words.shape[0] == none.valid.shape[0] == none.sentence.shape[0] == 0
    assert encoder.encode_texts([""]).valid.tolist() == [[True]]
    long = encoder.encode_texts(["red " * 10_000])
    assert long.words.shape[1] == encoder.spec.token_limit
    torch.testing.assert_close(long.sentence, encoder.encode_texts(["red " * 31]).sentence)


def test_unknown_words(encoder: WorldEncoder) -> None:
    assert encoder.unknown_words("The RED ball, a kitchen; THE Ball... über") == ["kitchen", "über"]
    assert encoder.unknown_words("A polka-dot five-pointed star!") == []
    a, b = encoder.encode_texts(["a red zebra", "a red kitchen"]).sentence
    torch.testing.assert_close(a, b)
    assert words_of("Don't stop 3 polka-dots") == ["don't", "stop", "3", "polka-dots"]


def test_sentence_rows_by_hand() -> None:
    words = torch.arange(12.0).reshape(2, 3, 2)
    valid = torch.tensor([[True, True, False], [True, True, True]])
    assert sentence_rows(words, valid).tolist() == [[2.0, 3.0], [10.0, 11.0]]


def test_it_knows_its_world(encoder: WorldEncoder) -> None:
    recall = held_out_recall(encoder, seed=0, number=256)
    assert recall["frame to sentence R@10"] > 75, recall
    assert recall["sentence to frame R@10"] > 75, recall


def test_missing_and_damaged_weights_end_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"no\.safetensors: the weights of the world encoder are missing"):
        read_world_encoder(tmp_path / "no.safetensors")
    whole = WEIGHTS.read_bytes()
    for name, content in {"cut": whole[:5000], "empty": b"", "text": b"not weights at all, but a text" * 9}.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(
            EncoderError, match=f"{name}.safetensors: the weights of the world encoder are damaged"
        ) as e:
            read_world_encoder(path)
        assert "\n" not in str(e.value)


def test_what_is_saved_is_what_is_read(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = WorldNet(WorldConfig(vocabulary=("a", "ball"), width=8)).eval()
    save_world_encoder(net, tmp_path / "w", training={"steps": "0"})
    again = read_world_encoder(tmp_path / "w")
    assert again.net.config == net.config
    images = torch.randn(2, 3, 72, 96)
    torch.testing.assert_close(again.encode_images(images), net.image(images).detach(), atol=2e-2, rtol=2e-2)
    save_world_encoder(net, tmp_path / "again", training={"steps": "7"})
    assert read_world_encoder(tmp_path / "again").spec == again.spec  # how it was made is no part of what it is
    with torch.no_grad():
        net.image.project.bias.add_(1.0)
    save_world_encoder(net, tmp_path / "other", training={"steps": "0"})
    assert read_world_encoder(tmp_path / "other").spec.revision != again.spec.revision


def loop_loss(images: Tensor, texts: Tensor, same: Tensor, scale: float) -> list[float]:
    """The loss of each pair, the long way."""
    a, b = F.normalize(images, dim=1), F.normalize(texts, dim=1)
    losses = []
    for i in range(len(a)):
        others = [j for j in range(len(a)) if j == i or not same[i, j]]
        forth = torch.stack([scale * a[i] @ b[j] for j in others]).logsumexp(0)
        back = torch.stack([scale * a[j] @ b[i] for j in others]).logsumexp(0)
        losses.append(((forth + back) / 2 - scale * a[i] @ b[i]).item())
    return losses


def test_loss_equals_the_loop_and_leaves_equal_meanings_alone() -> None:
    images, texts = torch.randn(5, 4), torch.randn(5, 4, requires_grad=True)
    codes = torch.tensor([0, 1, 0, 2, 3])
    same = codes[:, None] == codes
    loss = clip_loss(images, texts, same, torch.tensor(3.0))
    torch.testing.assert_close(loss, torch.tensor(loop_loss(images, texts, same, 3.0)))
    (gradient,) = torch.autograd.grad(loss[0], texts)
    assert gradient[2].abs().max() == 0  # of the same meaning as 0
    assert gradient[1].abs().max() > 0


def test_drawing_follows_from_its_key() -> None:
    a, again, b = draw("1", 6), draw("1", 6), draw("2", 6)
    assert (a.frames == again.frames).all()
    assert a.texts == again.texts
    assert a.texts != b.texts
    assert a.frames.shape == (6, 3, 144, 192)


def test_training_command_is_repeatable(tmp_path: Path) -> None:
    for name in ("a", "b"):
        main(["--out", str(tmp_path / name), "--seed", "5", "--steps", "2", "--batch", "16", "--held-out", "16"])
    first, second = (read_world_encoder(tmp_path / name) for name in ("a", "b"))
    assert first.spec == second.spec
    assert first.spec != load_world_encoder().spec


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_agrees(encoder: WorldEncoder) -> None:
    there = load_world_encoder(device="cuda")
    images = torch.randn(4, 3, 72, 96)
    torch.testing.assert_close(there.encode_images(images), encoder.encode_images(images), atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(there.encode_texts(TEXTS).words, encoder.encode_texts(TEXTS).words, atol=1e-2, rtol=1e-2)
