"""SigLIP 2 NaFlex: pictures in their own shape, as many patches as fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from prvr.encoders.families.base import HALF, patches_of, tensor
from prvr.encoders.families.siglip import Siglip
from prvr.encoders.images import ImageSettings, image_values

PATCHES = 256  # at most, where the folder does not say


class NaFlex(Siglip):
    """A frame keeps its shape: it becomes the largest grid of whole patches that has room for it."""

    library = "Siglip2Model"
    usual: ClassVar[Mapping[str, Any]] = {"crop": False, "interpolation": "bilinear"} | HALF

    def __init__(self, model: Any, folder: Path) -> None:
        vision = model.config.vision_config
        self._patch = int(vision.patch_size)
        self._most = int(image_values(folder)[1].get("max_num_patches") or PATCHES)
        vision.image_size = math.isqrt(self._most) * self._patch  # of a square picture, which the library does not name
        super().__init__(model, folder)

    def prepare(self, frames: Tensor, wanted: ImageSettings) -> Tensor:
        size = grid(frames.shape[-2], frames.shape[-1], self._patch, self._most)
        return super().prepare(frames, replace(wanted, size=size, crop=False, squash=None))

    def images(self, pixels: Tensor) -> Tensor:
        patch = self._patch
        rows, columns = pixels.shape[2] // patch, pixels.shape[3] // patch
        patches = patches_of(pixels, patch)
        shape = torch.tensor([[rows, columns]], device=pixels.device).expand(len(pixels), -1)
        real = torch.ones(patches.shape[:2], dtype=torch.long, device=pixels.device)
        seen = self.model.vision_model(pixel_values=patches, pixel_attention_mask=real, spatial_shapes=shape)
        return tensor(seen.pooler_output)


def grid(height: int, width: int, patch: int, most: int) -> tuple[int, int]:
    """The pixels of the largest picture of whole patches, at most `most`, that is shaped like one of height x width.

    By bisection of the scale, as the library's own preprocessing finds it.
    """

    def at(scale: float) -> tuple[int, int]:
        sides = (max(patch, math.ceil(side * scale / patch) * patch) for side in (height, width))
        return next(sides), next(sides)

    low, high = 1e-6, 100.0
    while high - low >= 1e-5:
        middle = (low + high) / 2
        rows, columns = at(middle)
        if rows // patch * (columns // patch) <= most:
            low = middle
        else:
            high = middle
    return at(low)
