"""Encoders that read more than single frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from prvr.core.types import Encoder

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class ClipEncoder(Encoder, Protocol):
    """An encoder that reads windows of frames; its spec says which. A picture is a window that stands still."""

    def encode_clips(self, clips: Tensor) -> Tensor:
        """clips (B, L, 3, H, W), windows of images as `prepare` gives them -> (B, E) float32 on the CPU."""
        ...


@runtime_checkable
class PairedEncoder(Encoder, Protocol):
    """A frame encoder and a clip encoder as one; a sentence is what both make of it, side by side."""

    @property
    def frames(self) -> Encoder:
        """Reads frames."""
        ...

    @property
    def windows(self) -> ClipEncoder:
        """Reads windows of them."""
        ...
