"""Frames to what an image tower wants, without torchvision.

Resizing stays in uint8, horizontally first: overshoot is then clipped and rounded as Pillow does, which keeps pixels
within two grey levels of the processors that checkpoints come with, and it is several times faster. (Since version 13
Pillow resizes some tall images vertically first and rounds in that order, one more grey level apart on real frames.)
It runs on the CPU on every machine, so that features do not depend on the device.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.errors import EncoderError

Interpolation = Literal["bicubic", "bilinear"]
PREPROCESSING = {  # files, and the parts of them that are asked in turn
    "preprocessor_config.json": (),
    "processor_config.json": ("image_processor", "video_processor"),
    "video_preprocessor_config.json": (),
}
RESAMPLE: dict[int, Interpolation] = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers, as checkpoints store them


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """How a checkpoint wants its images."""

    size: tuple[int, int]  # height, width in pixels
    crop: bool  # True: shortest side, then centre crop; False: squash
    shortest: int | None = None  # pixels of the shortest side before the crop; None: the larger of `size`
    squash: tuple[int, int] | None = None  # height, width before the crop, of a checkpoint that bends pictures first
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float]  # of values 0..1
    std: tuple[float, float, float]


def resize_images(
    frames: Tensor,
    size: tuple[int, int],
    crop: bool,
    *,
    shortest: int | None = None,
    squash: tuple[int, int] | None = None,
    interpolation: Interpolation = "bicubic",
) -> Tensor:
    """Shortest side to `shortest` (default: the larger of `size`) and cut the centre out, or squash to `size`.

    With `squash` a picture is squashed to that before the centre is cut out.
    frames (B, 3, h, w) uint8, size (H, W) -> (B, 3, H, W) uint8.
    """
    assert frames.dtype == torch.uint8, "resize before normalising: the rounding is part of the agreement"
    height, width = frames.shape[-2:]
    target = squash or size
    if crop and not squash:
        side, short = shortest or max(size), min(height, width)
        target = (int(side * height / short), int(side * width / short))  # exact on the shortest side
    if target != (height, width):
        frames = F.interpolate(frames, target, mode=interpolation, antialias=True)
    top, left = (target[0] - size[0]) // 2, (target[1] - size[1]) // 2
    return frames[:, :, top : top + size[0], left : left + size[1]]


def normalise_images(images: Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Tensor:
    """images (B, 3, H, W) uint8; mean and std a channel, of values 0..1 -> (B, 3, H, W) float32."""
    scale = torch.tensor([1 / (255 * s) for s in std], device=images.device).view(3, 1, 1)
    shift = torch.tensor([m / s for m, s in zip(mean, std, strict=True)], device=images.device).view(3, 1, 1)
    return images.float().mul_(scale).sub_(shift)


def read_image_settings(folder: Path, default: ImageSettings) -> ImageSettings:
    """What the folder's own preprocessing file says, the default for all that it leaves out.

    Raises EncoderError for a file that cannot be read or that asks for something else than resize, crop and normalise.
    """
    path, values = image_values(folder)
    if path is None:
        return default
    try:
        return _parse(values, default)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise EncoderError(
            f"{path}: preprocessing that cannot be followed ({error}); "
            "choose a checkpoint that wants no more than resizing (bicubic, bilinear), centre crop and normalising"
        ) from error


def image_values(folder: Path) -> tuple[Path | None, Mapping[str, Any]]:
    """The folder's preprocessing file and what it says, as it stands there; None and nothing where there is none.

    Videos' own preprocessing does where there is none for pictures. Raises EncoderError for a file that cannot be read.
    """
    for name, parts in PREPROCESSING.items():
        path = folder / name
        if not path.is_file():
            continue
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            values = next((values[part] for part in parts if part in values), None) if parts else values
        except (OSError, ValueError, TypeError) as error:
            raise EncoderError(f"{path}: cannot be read ({error}); copy the file again from the checkpoint") from error
        if values is not None:
            return path, values
    return None, {}


def _parse(values: Mapping[str, Any], default: ImageSettings) -> ImageSettings:
    values = {name: value for name, value in values.items() if value is not None}  # null means: as usual
    if not values.get("do_resize", True):
        raise ValueError("do_resize is false")
    low = -1.0 if values.get("rescale_offset") else 0.0  # values are scaled to low..1
    scale = values.get("rescale_factor", 1 / 255)
    if not math.isclose(scale, (1 - low) / 255, rel_tol=1e-3) or not values.get("do_rescale", True):
        raise ValueError(f"values are not scaled to {low:g}..1")
    if values.get("include_top"):
        raise ValueError("pictures are divided by their deviation twice (include_top)")
    resample = values.get("resample")
    if resample is not None and resample not in RESAMPLE:
        raise ValueError(f"resample is {resample}")
    normalise = values.get("do_normalize", True)
    mean = _triple(values.get("image_mean", default.mean)) if normalise else (0.0, 0.0, 0.0)
    std = _triple(values.get("image_std", default.std)) if normalise else (1.0, 1.0, 1.0)
    return replace(
        _geometry(values, default),
        interpolation=default.interpolation if resample is None else RESAMPLE[resample],
        mean=_triple((one - low) / (1 - low) for one in mean),  # of values 0..1 again
        std=_triple(one / (1 - low) for one in std),
    )


def _geometry(values: Mapping[str, Any], default: ImageSettings) -> ImageSettings:
    """The default with the sizes that are asked for. Old files give numbers where new ones give dictionaries."""
    size = values.get("size")
    crop = bool(values.get("do_center_crop", default.crop))
    if isinstance(size, Mapping) and "height" in size:
        squashed = (int(size["height"]), int(size["width"]))
        cut = _pair(values.get("crop_size", squashed)) if crop else squashed
        if cut[0] > squashed[0] or cut[1] > squashed[1]:
            raise ValueError(f"crop_size {cut} is larger than the picture, {squashed}")
        crop = cut != squashed
        return replace(default, size=cut, crop=crop, shortest=None, squash=squashed if crop else None)
    if size is None:
        return replace(default, crop=crop)
    side = int(size["shortest_edge"] if isinstance(size, Mapping) else size)
    if not crop:
        if isinstance(size, Mapping):
            raise ValueError("do_center_crop is false, so that images differ in shape")
        return replace(default, size=(side, side), crop=False, shortest=None, squash=None)
    cut = _pair(values.get("crop_size", side))
    if max(cut) > side:
        raise ValueError(f"crop_size {cut} is larger than the shortest side, {side}")
    return replace(default, size=cut, crop=True, shortest=side, squash=None)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, Mapping):
        return int(value["height"]), int(value["width"])
    if isinstance(value, int):
        return value, value
    height, width = value
    return int(height), int(width)


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)
