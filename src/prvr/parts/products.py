"""Products with stacked matrices."""

from __future__ import annotations

from torch import Tensor

from prvr.kernels import products as kernels
from prvr.kernels.switch import twin_of


@twin_of(kernels.linear)
def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x · weightᵀ + bias for each of K matrices: x (K, N, D), weight (K, F, D), bias (K, F) -> (K, N, F)."""
    return x @ weight.mT + bias[:, None]
