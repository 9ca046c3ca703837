"""What surrounds attention in a block, each a function with one gradient of its own that keeps as little as it can."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from prvr.kernels.dropout import as_factor, keep_mask, keep_scale
from prvr.kernels.pieces import piecewise
from prvr.kernels.products import apply, product, weight_gradient

_EPS = 1e-5  # of every layer norm, torch's own
_ROWS = 2048  # of features projected at a time on a CPU: what fits the cache, and needs no fresh memory


def project(x: Tensor, norm: nn.LayerNorm, linear: nn.Linear, *, dropout: float) -> Tensor:
    """See `prvr.parts.blocks.project`."""
    weights, rows = (norm.weight, norm.bias, linear.weight, linear.bias), x.flatten(0, 1)
    parts = torch.split(rows, _ROWS) if piecewise(x) else [rows]
    return torch.cat([apply(_Project, (part, *weights), dropout) for part in parts]).view(*x.shape[:2], -1)


def add_norm(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, *, dropout: float) -> Tensor:
    """See `prvr.parts.blocks.add_norm`."""
    return apply(_AddNorm, (x, y, weight, bias), dropout)


def after_attention(x: Tensor, y: Tensor, w: tuple[Tensor, ...], *, dropout: float) -> Tensor:
    """See `prvr.parts.blocks.after_attention`."""
    return apply(_AfterAttention, (x, y, *w), dropout)


class _Project(torch.autograd.Function):
    """Keeps a byte mask alone: what is normalised and dropped is made again, cheaper than it is kept."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gain: Tensor, offset: Tensor, weight: Tensor, bias: Tensor, dropout: float
    ) -> Tensor:
        normal, mean, rstd = torch.native_layer_norm(x, x.shape[-1:], gain, offset, _EPS)
        keep, ctx.scale = None, 1.0
        if dropout:
            keep, ctx.scale = keep_mask(tuple(x.shape), dropout, x.device), keep_scale(dropout)
            normal.mul_(as_factor(keep, x))
        out = product(normal[None], (weight * ctx.scale)[None], bias[None], relu=True)[0]
        ctx.save_for_backward(x, gain, offset, weight, mean, rstd, keep, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, gain, offset, weight, mean, rstd, keep, out = ctx.saved_tensors
        flow = torch.ops.aten.threshold_backward(grad, out, 0)
        dropped = torch.native_layer_norm(x, x.shape[-1:], gain, offset, _EPS)[0]
        grad_normal = product(flow[None], (weight * ctx.scale).T[None])[0]
        if keep is not None:
            factor = as_factor(keep, x)
            dropped.mul_(factor)
            grad_normal.mul_(factor)
        grad_weight = weight_gradient(flow[None], dropped[None])[0].mul_(ctx.scale)
        needed = [ctx.needs_input_grad[0], True, True]
        norms = torch.ops.aten.native_layer_norm_backward(
            grad_normal, x, x.shape[-1:], mean, rstd, gain, offset, needed
        )
        return *norms, grad_weight, flow.sum(0), None


class _Sum(NamedTuple):
    """x + dropout(y) as layer norm leaves it, before gain and offset; all that its gradient needs."""

    normal: Tensor  # (K, N, D), mean 0 and deviation 1
    rstd: Tensor  # (K, N, 1)
    keep: Tensor | None  # (K, N, D) bytes

    @classmethod
    def of(cls, x: Tensor, y: Tensor, dropout: float) -> _Sum:
        """x, y (K, N, D)."""
        if not dropout:
            return cls._of(x + y, None)
        keep = keep_mask(tuple(y.shape), dropout, y.device)
        return cls._of(torch.add(x, y * as_factor(keep, y), alpha=keep_scale(dropout)), keep)

    @classmethod
    def _of(cls, total: Tensor, keep: Tensor | None) -> _Sum:
        normal, _, rstd = torch.native_layer_norm(total, total.shape[-1:], None, None, _EPS)
        return cls(normal, rstd, keep)

    def scaled(self, weight: Tensor, bias: Tensor) -> Tensor:
        """With the gain and the offset of each block, (K, D)."""
        return torch.addcmul(bias[:, None], self.normal, weight[:, None])

    def backward(self, grad: Tensor, weight: Tensor, dropout: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gradient of what is scaled -> gradients of x, y, weight and bias."""
        # layer norm seen from its own output: mean 0, deviation 1; the deviation of the input comes after
        zero, one = torch.zeros_like(self.rstd), torch.ones_like(self.rstd)
        grad_x = torch.ops.aten.native_layer_norm_backward(
            grad * weight[:, None], self.normal, grad.shape[-1:], zero, one, None, None, [True, False, False]
        )[0].mul_(self.rstd)
        grad_y = grad_x
        if self.keep is not None:
            grad_y = (grad_x * as_factor(self.keep, grad_x)).mul_(keep_scale(dropout))
        return grad_x, grad_y, (grad * self.normal).sum(1), grad.sum(1)


class _AddNorm(torch.autograd.Function):
    """Keeps one normalised tensor and a byte mask where the plain chain keeps five tensors."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, dropout: float) -> Tensor:
        total = _Sum.of(x, y, dropout)
        ctx.save_for_backward(weight, *total)
        ctx.dropout = dropout
        return total.scaled(weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight, *total = ctx.saved_tensors
        return *_Sum(*total).backward(grad, weight, ctx.dropout), None


class _AfterAttention(torch.autograd.Function):
    """Of what lies between, keeps the dropped hidden layer: it is zero exactly where its gradient is, so no mask."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, *weights_and_dropout: Any) -> Tensor:
        *weights, dropout = weights_and_dropout
        norm1, norm1_bias, up, up_bias, down, down_bias, norm2, norm2_bias = weights
        first = _Sum.of(x, y, dropout)
        u = first.scaled(norm1, norm1_bias)
        hidden, scale = product(u, up, up_bias, relu=True), 1.0
        if dropout:
            hidden.mul_(as_factor(keep_mask(tuple(hidden.shape), dropout, hidden.device), hidden))
            scale = keep_scale(dropout)  # put on the small matrix, not on the hidden layer
        second = _Sum.of(u, product(hidden, down * scale, down_bias), dropout)
        ctx.save_for_backward(norm1, norm1_bias, up, down, norm2, hidden, *first, *second)
        ctx.dropout, ctx.scale = dropout, scale
        return second.scaled(norm2, norm2_bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        norm1, norm1_bias, up, down, norm2, hidden, *sums = ctx.saved_tensors
        first, second = _Sum(*sums[:3]), _Sum(*sums[3:])
        grad_u, grad, *grad_norm2 = second.backward(grad, norm2, ctx.dropout)
        grad_down = weight_gradient(grad, hidden).mul_(ctx.scale)
        flow = product(grad, (down * ctx.scale).mT)  # (K, N, 4D)
        torch.ops.aten.threshold_backward.grad_input(flow, hidden, 0, grad_input=flow)
        grad_up = weight_gradient(flow, first.scaled(norm1, norm1_bias))
        grad_x, grad_y, *grad_norm1 = first.backward(product(flow, up.mT).add_(grad_u), norm1, ctx.dropout)
        return grad_x, grad_y, *grad_norm1, grad_up, flow.sum(1), grad_down, grad.sum(1), *grad_norm2, None
