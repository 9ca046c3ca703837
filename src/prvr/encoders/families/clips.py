"""Families that read windows of frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from prvr.encoders.families.base import AS_IS, Family, Words, own_row_last, tensor
from prvr.encoders.families.clip import ClipTowers

SECONDS = 8  # of a window: as long as the clips that these models learned from, about


class _ReadsWindows(Family):
    reads_windows = True

    def __init__(self, model: Any, folder: Path) -> None:
        super().__init__(model, folder)
        self.length = int(model.config.vision_config.num_frames)
        self.rate = self.length / SECONDS


class XClip(_ReadsWindows, ClipTowers):
    """CLIP with attention across a window of 8 frames.

    What the library adds to a sentence after it has seen the video (video-specific prompts) is left out: no index could
    serve it.
    """

    library = "XCLIPModel"
    usual: ClassVar[Mapping[str, Any]] = {
        "crop": True,
        "interpolation": "bilinear",
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
    }

    def images(self, pixels: Tensor) -> Tensor:
        return Family.images(self, pixels)  # not one by one, as CLIP

    def clips(self, pixels: Tensor) -> Tensor:
        return tensor(self.model.get_video_features(pixel_values=pixels).pooler_output)


class VideoPrism(_ReadsWindows):
    """VideoPrism with its text tower (LVT): 16 frames become one vector; a sentence has a place behind its words."""

    library = "VideoPrismClipModel"
    has_end = False
    adds_row = True
    spare_tokens = 128  # T5's own, which this tokenizer has and no sentence uses
    usual: ClassVar[Mapping[str, Any]] = {"crop": False} | AS_IS

    def clips(self, pixels: Tensor) -> Tensor:
        made = tensor(self.model.get_video_features(pixel_values_videos=pixels).pooler_output)
        return made.flatten(1)  # (B, 1, E) -> (B, E)

    def words(self, ids: Tensor, valid: Tensor) -> Words:
        made = self.model.text_model(input_ids=ids, attention_mask=valid.long())
        return own_row_last(tensor(made.last_hidden_state)[:, :-1], valid, tensor(made.pooler_output))
