"""Matrix products by the library that is fastest on the processor at hand.

PyTorch gives float32 products on a CPU to MKL, which leaves half of what a processor of another maker can do unused.
oneDNN, which PyTorch carries as well, makes code for the processor it finds: 2.3 times as fast on an AMD EPYC.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from prvr.kernels.pieces import piecewise

_ONEDNN = (
    torch.backends.cpu.get_cpu_capability() == "AVX512"  # the only kind of processor that it was measured on
    and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x · weightᵀ + bias for each of K matrices, with gradients: x (K, N, D), weight (K, F, D), bias (K, F)."""
    return apply(_Linear, (x, weight, bias))


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, relu: bool = False) -> Tensor:
    """x · weightᵀ + bias for each of K matrices, then ReLU where asked for.

    x (K, N, D), weight (K, F, D), bias (K, F) or None -> (K, N, F). For use inside functions that bring their own
    gradient: it has none where oneDNN makes it. As weightᵀ any view of a matrix is as good as the matrix.
    """
    if len(x) == 1:
        return _product(x[0], weight[0], None if bias is None else bias[0], relu)[None]
    out = torch.bmm(x, weight.mT) if bias is None else torch.baddbmm(bias[:, None], x, weight.mT)
    return out.relu_() if relu else out


def weight_gradient(flow: Tensor, x: Tensor) -> Tensor:
    """flowᵀ · x for each of K matrices, the sum over all rows: flow (K, N, F), x (K, N, D) -> (K, F, D)."""
    if len(x) == 1 and _by_onednn(x):  # a number of summands is to it what a number of rows is
        more = rounded(x.shape[1]) - x.shape[1]
        flow, x = _longer(flow, more), _longer(x, more)
    return product(flow.mT, x.mT)


def apply(function: type[Function], operands: tuple[Tensor, ...], *settings: object) -> Tensor:
    """`function.apply(*operands, *settings)`, operands in the type that autocast asks for, the inside as written."""
    kind = operands[0].device.type
    cast = torch.is_autocast_enabled(kind)
    if cast:
        operands = tuple(x.to(torch.get_autocast_dtype(kind)) for x in operands)
    with torch.autocast(kind, enabled=False) if cast else contextlib.nullcontext():
        out: Tensor = function.apply(*operands, *settings)  # type: ignore[no-untyped-call]
        return out


def rounded(rows: int) -> int:
    """The next power of two up to 64, then the next multiple of 64, from 1024 on the next eighth of a doubling.

    For every number of rows that it meets, oneDNN makes code, 0.3 MB of it, that it never gives back; and queries come
    in every number of words.
    """
    if rows <= 64:
        return 1 << max(0, rows - 1).bit_length()
    step = max(64, 1 << (rows - 1).bit_length() - 4)
    return -(-rows // step) * step


def _by_onednn(x: Tensor) -> bool:
    return _ONEDNN and x.dtype == torch.float32 and piecewise(x)


def _longer(x: Tensor, more: int) -> Tensor:
    """With so many rows of zeros below: (..., N, D) -> (..., N + more, D)."""
    return F.pad(x, (0, 0, 0, more)) if more else x


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
    if _by_onednn(x):
        rows = len(x)
        x = _longer(x, rounded(rows) - rows)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu" if relu else "none", [], "")
        return out[:rows]
    out = F.linear(x, weight, bias)
    return out.relu_() if relu else out


class _Linear(Function):
    """By the product that is fastest here, both ways."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return product(grad, weight.mT), weight_gradient(grad, x), grad.sum(1)
