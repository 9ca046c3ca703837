"""TIPS v2: a sentence is the mean of its words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from prvr.encoders.families.base import AS_IS, Pooled, Words, mean_last


class Tips(Pooled):
    """No tokens but those of words, and no projections: the towers meet as they are."""

    library = "Tipsv2Model"
    has_end = False
    adds_row = True
    usual: ClassVar[Mapping[str, Any]] = {"crop": False, "interpolation": "bilinear"} | AS_IS

    def words(self, ids: Tensor, valid: Tensor) -> Words:
        return mean_last(self.model.text_model, ids, valid)
