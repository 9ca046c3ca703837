"""Gaussian tables: how much a frame may look at another, by the distance between them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

OFFICIAL_WIDTHS: tuple[float | None, ...] = (None, 0.5, 1.0, 5.0, 10.0, 3.0, 0.1, 8.0)
"""The eight sub-blocks of the published mixture in their order; None = every frame looks everywhere."""


def gaussian_table(length: int, width: float) -> Tensor:
    """A Gaussian around each row's own place, its peak scaled to 1 -> (length, length) float32.

    Row i is centred at i/length but column j stands at j/(length-1), as released: in the upper half the peak of row i
    is therefore in column i-1. σ = max(width, 0.01)/9 in units of the whole length.
    """
    sigma = max(width, 1e-2) / 9
    rows = torch.arange(length, dtype=torch.float64) / length
    columns = torch.arange(length, dtype=torch.float64) / max(length - 1, 1)
    exponent = -((columns[None] - rows[:, None]) ** 2) / (2 * sigma**2)
    # shifted before exp: a narrow Gaussian between two columns would otherwise be 0/0
    return (exponent - exponent.amax(dim=1, keepdim=True)).exp().float()


def gaussian_tables(length: int, widths: Sequence[float | None]) -> Tensor:
    """One table a sub-block, all ones where the width is None -> (K, length, length) float32."""
    tables = [torch.ones(length, length) if width is None else gaussian_table(length, width) for width in widths]
    return torch.stack(tables)
