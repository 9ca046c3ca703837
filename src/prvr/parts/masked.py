"""Arithmetic over the real entries only: padding counts as minus infinity, or as nothing."""

from __future__ import annotations

import torch
from torch import Tensor


def key_bias(valid: Tensor, size: Tensor | None = None) -> Tensor:
    """What is added to the logits of every key: ln(size) of a token that stands for many, -inf where there is none.

    valid (V, N) bool, size (V, N) or None -> (V, N).
    """
    bias = torch.zeros_like(valid, dtype=torch.get_default_dtype()) if size is None else size.log()
    return bias.masked_fill(~valid, -torch.inf)


def masked_logsumexp(x: Tensor, keep: Tensor, dim: int) -> Tensor:
    """ln Σ exp over the entries to keep; -inf, with a gradient of zero, where there are none.

    x (..., N, ...), keep of the same shape, bool -> x without `dim`.
    """
    some = keep.any(dim, keepdim=True)
    # logsumexp of nothing but -inf has the value -inf but the gradient NaN: it is given zeros instead, then overwritten
    total = x.masked_fill(~keep, -torch.inf).masked_fill(~some, 0.0).logsumexp(dim)
    return total.masked_fill(~some.squeeze(dim), -torch.inf)
