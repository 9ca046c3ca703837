"""TIPS v2: a sentence is the mean of its words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from prvr.encoders.families.base import Family, Words, own_row_last, tensor


class Tips(Family):
    """No tokens but those of words, and no projections: the towers meet as they are."""

    library = "Tipsv2Model"
    has_end = False
    adds_row = True
    usual: ClassVar[Mapping[str, Any]] = {
        "crop": False,
        "interpolation": "bilinear",
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
    }

    @staticmethod
    def width_of(config: Mapping[str, Any]) -> int:
        return int(config["vision_config"].get("hidden_size", 768))

    def images(self, pixels: Tensor) -> Tensor:
        return tensor(self.model.vision_model(pixel_values=pixels).pooler_output)

    def words(self, ids: Tensor, valid: Tensor) -> Words:
        seen = valid | ~valid.any(dim=1, keepdim=True)  # attention to nothing at all is no number
        hidden = self.model.text_model(input_ids=ids, attention_mask=seen.long()).last_hidden_state
        rows = tensor(hidden).masked_fill(~valid[..., None], 0.0)
        return own_row_last(rows, valid, rows.sum(dim=1) / valid.sum(dim=1, keepdim=True).clamp(min=1))
