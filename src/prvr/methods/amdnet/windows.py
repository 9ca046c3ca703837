"""Spans that a network draws for itself: a soft window over the positions of a video for each centre and width."""

from __future__ import annotations

from torch import Tensor

_NARROWEST = 1e-2


def window_masks(centre: Tensor, width: Tensor, places: Tensor, valid: Tensor) -> Tensor:
    """A Gaussian around each centre, its highest value scaled to 1, 0 where there is no frame.

    centre and width (V, H) in units of the whole length, places (N,) of the positions, 0 to 1, valid (V, N)
    -> (V, H, N). σ = max(width, 0.01) / 9. The scaling takes part in the gradient.
    """
    sigma = (width.clamp(min=_NARROWEST) / 9)[..., None]
    exponent = -((places - centre[..., None]) ** 2) / (2 * sigma**2)
    exponent = exponent.masked_fill(~valid[:, None], -float("inf"))
    # scaled before exp: a narrow window between two positions would otherwise be 0/0
    masks: Tensor = (exponent - exponent.amax(dim=2, keepdim=True)).exp()
    return masks
