"""How well one set of numbers stands above another."""

from __future__ import annotations

import torch
from torch import Tensor


def separation(higher: Tensor, lower: Tensor) -> float:
    """Chance that one of `higher` (n,) is greater than one of `lower` (m,), equal ones counting half: AUROC."""
    ordered = lower.sort().values
    below = torch.searchsorted(ordered, higher) + torch.searchsorted(ordered, higher, right=True)
    return float(below.double().mean()) / (2 * len(lower))
