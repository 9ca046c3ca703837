from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from prvr.core.errors import EncoderError
from prvr.encoders.images import ImageSettings, normalise_images, read_image_settings, resize_images

DEFAULT = ImageSettings(size=(224, 224), crop=True, mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.1))


def test_crop_takes_the_centre_by_hand() -> None:
    frame = torch.arange(5, dtype=torch.uint8).repeat(3, 2, 1)[None]  # (1, 3, 2, 5): columns 0 1 2 3 4
    assert resize_images(frame, (2, 2), crop=True)[0, 0].tolist() == [[1, 2], [1, 2]]  # offset (5 - 2) // 2 = 1
    assert resize_images(frame.mT, (2, 2), crop=True)[0, 0].tolist() == [[1, 1], [2, 2]]


def test_normalise_by_hand() -> None:
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    got = normalise_images(images, (0.5, 0.1, 0.0), (0.5, 0.1, 2.0)).flatten()
    torch.testing.assert_close(got, torch.tensor([-1.0, 1.0, 0.5]))


def test_a_frame_does_not_depend_on_its_batch() -> None:
    frames = torch.randint(0, 256, (5, 3, 37, 61), dtype=torch.uint8)
    whole = resize_images(frames, (32, 32), crop=True)
    assert torch.equal(whole, torch.cat([resize_images(frame[None], (32, 32), crop=True) for frame in frames]))
    stored_last = frames.to(memory_format=torch.channels_last)
    assert (whole.int() - resize_images(stored_last, (32, 32), crop=True).int()).abs().max() <= 1


SHAPES = {
    "landscape": (360, 640),
    "portrait": (426, 240),
    "upscaled": (120, 90),
    "square": (512, 512),
    "odd": (337, 455),
}


def picture(height: int, width: int) -> torch.Tensor:
    """(1, 3, h, w) uint8: edges, gradients and noise, which is where resizers differ."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    smooth = torch.stack([x, y, ((8 * x).floor() + (8 * y).floor()) % 2])
    return ((smooth + 0.3 * torch.randn(3, height, width)).clamp(0, 1) * 255).to(torch.uint8)[None]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("kind", ["clip", "siglip", "bilinear"])
def test_agrees_with_the_image_processor_of_the_library(kind: str, shape: tuple[int, int]) -> None:
    from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil

    processor: Any = CLIPImageProcessorPil() if kind == "clip" else SiglipImageProcessorPil()
    if kind == "bilinear":  # as fixed-size SigLIP 2 checkpoints ask for
        processor.resample = 2
    frame = picture(*shape)
    image = frame[0].permute(1, 2, 0).numpy()
    if kind != "clip" and shape[0] > shape[1]:
        # Squashing a tall image, Pillow 13 rounds after the vertical pass where every older one (and torch) does so
        # after the horizontal pass; the horizontal pass done by itself makes the order the same in all of them.
        resample = Image.Resampling.BILINEAR if kind == "bilinear" else Image.Resampling.BICUBIC
        image = np.asarray(Image.fromarray(image).resize((224, shape[0]), resample))
    wanted = processor(image, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]
    got = resize_images(
        frame, (224, 224), crop=kind == "clip", interpolation="bilinear" if kind == "bilinear" else "bicubic"
    )
    difference = np.abs(got[0].numpy().astype(int) - wanted.astype(int))
    assert difference.max() <= 2
    assert difference.mean() <= 0.02

    pixels = processor(image, return_tensors="pt")["pixel_values"]
    ours = normalise_images(got, tuple(processor.image_mean), tuple(processor.image_std))
    assert (pixels - ours).abs().max() < 2.5 / 255 / min(processor.image_std)


def write(folder: Path, name: str, values: object) -> Path:
    (folder / name).write_text(json.dumps(values), encoding="utf-8")
    return folder


def test_settings_of_clip_old_and_new(tmp_path: Path) -> None:
    old = {"size": 336, "crop_size": 336, "do_center_crop": True, "resample": 3, "image_mean": [0.1, 0.2, 0.3]}
    wanted = replace(DEFAULT, size=(336, 336), shortest=336, mean=(0.1, 0.2, 0.3))
    assert read_image_settings(write(tmp_path, "preprocessor_config.json", old), DEFAULT) == wanted
    new = old | {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}, "do_resize": None}
    assert read_image_settings(write(tmp_path, "preprocessor_config.json", new), DEFAULT) == wanted


def test_settings_of_siglip_and_nested_ones(tmp_path: Path) -> None:
    values = {"size": {"height": 256, "width": 256}, "resample": 2, "image_std": [0.5] * 3, "do_center_crop": None}
    write(tmp_path, "processor_config.json", {"image_processor": values})
    squash = replace(DEFAULT, crop=False)
    wanted = replace(squash, size=(256, 256), interpolation="bilinear", std=(0.5, 0.5, 0.5))
    assert read_image_settings(tmp_path, squash) == wanted


def test_the_default_where_nothing_is_said(tmp_path: Path) -> None:
    assert read_image_settings(tmp_path, DEFAULT) == DEFAULT
    assert read_image_settings(write(tmp_path, "processor_config.json", {"processor_class": "X"}), DEFAULT) == DEFAULT


def test_a_crop_smaller_than_the_shortest_side(tmp_path: Path) -> None:
    values = {"size": {"shortest_edge": 8}, "crop_size": 4}
    found = read_image_settings(write(tmp_path, "preprocessor_config.json", values), DEFAULT)
    assert (found.size, found.crop, found.shortest) == ((4, 4), True, 8)
    frame = torch.arange(8, dtype=torch.uint8).repeat(3, 8, 1)[None]
    assert resize_images(frame, found.size, found.crop, shortest=found.shortest)[0, 0, 0].tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize(
    "values",
    [
        {"resample": 1},
        {"do_resize": False},
        {"do_rescale": False},
        {"rescale_factor": 1 / 127.5},
        {"size": {"shortest_edge": 224}, "crop_size": 256},
        {"size": {"shortest_edge": 224}, "do_center_crop": False},
        {"size": {"longest_edge": 224}},
        {"image_mean": [0.5]},
        [],
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path: Path, values: object) -> None:
    with pytest.raises(EncoderError, match=r"preprocessor_config.json: preprocessing that cannot be followed"):
        read_image_settings(write(tmp_path, "preprocessor_config.json", values), DEFAULT)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(EncoderError, match=r"preprocessor_config.json: cannot be read"):
        read_image_settings(tmp_path, DEFAULT)
