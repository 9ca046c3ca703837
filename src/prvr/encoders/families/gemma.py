"""EmbeddingGemma 2: one network for sentences and pictures; frames go in as pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from prvr.encoders.families.base import AS_IS, Family, Words, mean_last, patches_of, tensor
from prvr.encoders.images import ImageSettings, image_values

PROMPTS = "config_sentence_transformers.json"
SOFT_TOKENS = 280  # of a picture at most, where the folder does not say


class EmbeddingGemma(Family):
    """The mean over all tokens is the sentence, and the picture; vectors may be cut to their first columns."""

    library = "EmbeddingGemma2Model"
    adds_row = True
    may_be_cut = True
    usual: ClassVar[Mapping[str, Any]] = {"crop": False} | AS_IS

    def __init__(self, model: Any, folder: Path) -> None:
        vision = model.config.vision_config
        if vision is None:
            raise ValueError("it has no vision tower")
        self._patch, self._kernel = int(vision.patch_size), int(vision.pooling_kernel_size)
        self._most = int(image_values(folder)[1].get("max_soft_tokens") or SOFT_TOKENS)
        vision.image_size = math.isqrt(self._most) * self._patch * self._kernel  # of a square picture
        super().__init__(model, folder)
        end = model.config.text_config.eos_token_id
        self._begin, self._close = _around(folder, end if isinstance(end, int) else -1)
        self.has_end = bool(self._close)
        self.before = _prompt(folder)

    @staticmethod
    def width_of(config: Mapping[str, Any]) -> int:
        return int(config["text_config"].get("embedding_dim", 768))

    def prepare(self, frames: Tensor, wanted: ImageSettings) -> Tensor:
        size = whole_cells(frames.shape[-2], frames.shape[-1], self._patch * self._kernel, self._most)
        return super().prepare(frames, replace(wanted, size=size, crop=False, squash=None))

    def images(self, pixels: Tensor) -> Tensor:
        rows, columns = pixels.shape[2] // self._patch, pixels.shape[3] // self._patch
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        place = torch.stack([x, y], dim=-1).flatten(0, 1).expand(len(pixels), -1, -1).to(pixels.device)
        config, cells = self.model.config, rows * columns // self._kernel**2
        shown = [config.boi_token_id, *[config.image_token_id] * cells, config.eoi_token_id]
        ids = torch.tensor([*self._begin, *shown, *self._close], device=pixels.device).expand(len(pixels), -1)
        patches = patches_of(pixels, self._patch)
        hidden = self.model(
            input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=patches, image_position_ids=place
        ).last_hidden_state
        return tensor(hidden).mean(dim=1)

    def words(self, ids: Tensor, valid: Tensor) -> Words:
        return mean_last(self.model, ids, valid)


def whole_cells(height: int, width: int, cell: int, most: int) -> tuple[int, int]:
    """The pixels of the largest picture shaped like height x width of at most `most` square cells of `cell` pixels.

    Sides are rounded down to whole cells, one at least, as the library's own preprocessing does.
    """
    scale = math.sqrt(most * cell**2 / (height * width))
    rows, columns = (int(side * scale / cell) for side in (height, width))
    if rows == 0:
        rows, columns = 1, min(width // height, most)
    elif columns == 0:
        rows, columns = min(height // width, most), 1
    return rows * cell, columns * cell


def _around(folder: Path, end: int) -> tuple[list[int], list[int]]:
    """The tokens that the folder's tokenizer puts before and behind a sentence."""
    from tokenizers import Tokenizer

    ids = list(Tokenizer.from_file(str(folder / "tokenizer.json")).encode("").ids)
    return (ids[:-1], ids[-1:]) if ids and ids[-1] == end else (ids, [])


def _prompt(folder: Path) -> str:
    """What the model's card puts before a query, as the folder says it; nothing where it says nothing."""
    try:
        said = json.loads((folder / PROMPTS).read_text(encoding="utf-8"))
        return str(said["prompts"]["query"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
