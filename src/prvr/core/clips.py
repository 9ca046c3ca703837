"""What an encoder of windows of frames reads, and what it makes of a video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # whoever only reads video files needs no torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """The windows of frames that a clip encoder reads, each of which becomes one vector."""

    length: int  # frames of a window
    stride: int  # frames from the start of one to the start of the next
    rate: float  # frames a second
    width: int  # of the vectors; the encoder's own, or its last columns where a frame encoder stands beside it


class ClipFeatures(NamedTuple):
    """What a clip encoder made of the windows of one video."""

    features: Tensor  # (C, E) float32, not normalised
    spans: Tensor  # (C, 2) seconds
