"""Dropout at a tenth of the usual price on a CPU: one random byte an element, one byte of memory for the backward pass.

A rate is rounded to a multiple of 1/256 and what is kept is scaled by exactly what that rate leaves, so that the
expected value is right; 0.31 becomes 0.3086. `drawn("torch")` has torch draw in its own way, at the exact rate.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from prvr.core.method import Draws

_LEVELS = 256

_exact = False


@contextlib.contextmanager
def drawn(by: Draws) -> Iterator[None]:
    """Who draws dropout, in the whole process: `bytes` is ours; `torch` draws what torch.nn.Dropout would, to the bit.

    Both passes of a step belong inside one block.
    """
    global _exact
    before, _exact = _exact, by == "torch"
    try:
        yield
    finally:
        _exact = before


def keep_mask(shape: tuple[int, ...], rate: float, device: torch.device) -> Tensor:
    """Which elements stay: shape -> uint8 of ones and zeros, drawn from the device's default generator."""
    if _exact:
        return torch.empty(shape, dtype=torch.uint8, device=device).bernoulli_(1 - rate)
    count = torch.Size(shape).numel()
    words = torch.randint(-(2**63), 2**63 - 1, ((count + 7) // 8,), device=device)
    return (words.view(torch.uint8)[:count].view(shape) >= _threshold(rate)).view(torch.uint8)


def as_factor(keep: Tensor, x: Tensor) -> Tensor:
    """What to multiply x by so that only what is kept is left: a product of mixed types is slow on a CPU."""
    return keep.to(x.dtype) if x.device.type == "cpu" else keep


def keep_scale(rate: float) -> float:
    """What a kept element is multiplied by, so that the mean stays."""
    return 1 / (1 - rate) if _exact else _LEVELS / (_LEVELS - _threshold(rate))


def applied_rate(rate: float) -> float:
    """The multiple of 1/256 that a rate is rounded to; the rate itself where torch draws."""
    return rate if _exact else _threshold(rate) / _LEVELS


def drop(x: Tensor, rate: float) -> Tensor:
    """x with a share `rate` of its elements set to zero and the rest scaled up; any shape."""
    dropped: Tensor = _Drop.apply(x, rate) if rate else x  # type: ignore[no-untyped-call]
    return dropped


def _threshold(rate: float) -> int:
    return min(round(rate * _LEVELS), _LEVELS - 1)


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        keep = keep_mask(tuple(x.shape), rate, x.device)
        ctx.save_for_backward(keep)
        ctx.scale = keep_scale(rate)
        return (x * as_factor(keep, x)).mul_(ctx.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors
        return (grad * as_factor(keep, grad)).mul_(ctx.scale), None
