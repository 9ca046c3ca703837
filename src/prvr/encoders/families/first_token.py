"""Families whose text tower is a BERT or RoBERTa: its first token is the sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from prvr.encoders.families.base import HALF, OPENAI, Family, Pooled, Projected, Words, first_row_last, tensor


class _FirstToken(Family):
    def words(self, ids: Tensor, valid: Tensor) -> Words:
        hidden = self.model.text_model(input_ids=ids, attention_mask=valid.long()).last_hidden_state
        return first_row_last(tensor(self.model.text_projection(hidden)), valid)


class ChineseClip(_FirstToken, Projected):
    """CLIP for sentences in Chinese; pictures are squashed."""

    library = "ChineseCLIPModel"
    usual: ClassVar[Mapping[str, Any]] = {"crop": False} | OPENAI


class AltClip(_FirstToken, Projected):
    """CLIP's pictures, and sentences in many languages read by XLM-RoBERTa."""

    library = "AltCLIPModel"
    usual: ClassVar[Mapping[str, Any]] = {"crop": True} | OPENAI

    def __init__(self, model: Any, folder: Path) -> None:
        super().__init__(model, folder)
        self.positions -= int(model.config.text_config.pad_token_id) + 1  # places are counted from behind padding's


class Align(_FirstToken, Pooled):
    """EfficientNet and BERT; the mean over the picture is its vector as it is."""

    library = "AlignModel"
    usual: ClassVar[Mapping[str, Any]] = {"crop": True, "squash": (346, 346), "interpolation": "bilinear"} | HALF

    def __init__(self, model: Any, folder: Path) -> None:
        super().__init__(model, folder)
        self.images_default = replace(self.images_default, size=(289, 289))
        self.image_size = None  # the mean over whatever there is

    @staticmethod
    def width_of(config: Mapping[str, Any]) -> int:
        return int(config.get("projection_dim", 640))
