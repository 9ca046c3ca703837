"""SigLIP and the checkpoints of SigLIP 2 for pictures of one size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from prvr.encoders.families.base import HALF, Pooled, Words, rows_at, tensor


class Siglip(Pooled):
    """Heads inside the towers; text sees its padding, as in training, and no mask; the last place is the sentence."""

    library = "SiglipModel"
    padded = True
    lower_case = True
    usual: ClassVar[Mapping[str, Any]] = {"crop": False} | HALF

    def __init__(self, model: Any, folder: Path) -> None:
        if not getattr(model.vision_model, "use_head", True):
            raise ValueError("its vision tower has no pooling head (vision_use_head is false)")
        if model.config.text_config.projection_size != model.config.vision_config.hidden_size:
            raise ValueError("its text and image embeddings differ in width")
        super().__init__(model, folder)

    def words(self, ids: Tensor, valid: Tensor) -> Words:
        """The words of each sentence, then the last of the places that are always filled."""
        hidden = self.model.text_model(input_ids=ids).last_hidden_state
        count, places = valid.sum(dim=1, keepdim=True), ids.shape[1]  # (Q, 1)
        place = torch.arange(places, device=ids.device)  # (W,)
        own = torch.where(place < count, place, places - 1)  # (Q, W)
        return Words(rows_at(tensor(self.model.text_model.head(hidden)), own), place < (count + 1).clamp(max=places))
