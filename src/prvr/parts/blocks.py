"""Post-norm attention blocks, K of them side by side with stacked weights, and what stands in front of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from prvr.parts.attention import attend
from prvr.parts.dropout import Dropout, as_factor, check_rate, keep_mask, keep_scale
from prvr.parts.products import apply, linear, piecewise

_EPS = 1e-5  # of every layer norm
_ROWS = 2048  # of features projected at a time on a CPU: what fits the cache, and needs no fresh memory


class InputProjection(nn.Module):
    """Features of any width -> D: layer norm, dropout, linear, ReLU."""

    def __init__(self, width_in: int, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width_in, eps=_EPS)
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(width_in, width)

    def forward(self, x: Tensor) -> Tensor:
        """x (V, N, E) -> (V, N, D)."""
        rate = self.dropout.rate if self.training else 0.0
        weights = (self.norm.weight, self.norm.bias, self.linear.weight, self.linear.bias)
        rows = x.flatten(0, 1)
        parts = torch.split(rows, _ROWS) if piecewise(x) else [rows]
        return torch.cat([apply(_Project, (part, *weights), rate) for part in parts]).view(*x.shape[:2], -1)


class Positions(nn.Module):
    """Adds a learned vector for each place in the sequence, then layer norm and dropout."""

    def __init__(self, length: int, width: int, dropout: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(length, width))
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """x (V, N, D), N at most the length -> (V, N, D)."""
        out: Tensor = self.dropout(self.norm(x + self.weight[: x.shape[1]]))
        return out


class BlockWeights(NamedTuple):
    """The weights of K attention blocks."""

    qkv: Tensor  # (3, K, D, D), queries, keys and values
    qkv_bias: Tensor  # (3, K, D)
    norm1: Tensor  # (K, D)
    norm1_bias: Tensor  # (K, D)
    up: Tensor  # (K, 4D, D)
    up_bias: Tensor  # (K, 4D)
    down: Tensor  # (K, D, 4D)
    down_bias: Tensor  # (K, D)
    norm2: Tensor  # (K, D)
    norm2_bias: Tensor  # (K, D)


class AttentionBlocks(nn.Module):
    """K blocks that read the same input: u = norm(x + attend(x)), out = norm(u + feed-forward(u)).

    Weights are stacked. The feed-forward part is 4 D wide. `dropout` falls on probabilities, on both sublayers' outputs
    and after the ReLU.
    """

    def __init__(self, num_blocks: int, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        k, d = num_blocks, width
        self.num_heads = num_heads
        self.dropout = check_rate(dropout, "dropout")
        self.qkv_weight = nn.Parameter(torch.empty(3, k, d, d))  # (query | key | value, block, out, in)
        self.qkv_bias = nn.Parameter(torch.empty(3, k, d))
        self.norm1_weight = nn.Parameter(torch.empty(k, d))
        self.norm1_bias = nn.Parameter(torch.empty(k, d))
        self.up_weight = nn.Parameter(torch.empty(k, 4 * d, d))
        self.up_bias = nn.Parameter(torch.empty(k, 4 * d))
        self.down_weight = nn.Parameter(torch.empty(k, d, 4 * d))
        self.down_bias = nn.Parameter(torch.empty(k, d))
        self.norm2_weight = nn.Parameter(torch.empty(k, d))
        self.norm2_bias = nn.Parameter(torch.empty(k, d))

    def groups(self) -> list[BlockWeights]:
        """Weights of the blocks that are computed together: all on a GPU, on a CPU each block alone."""
        together = 1 if piecewise(self.up_weight) else len(self.up_weight)
        whole = BlockWeights(
            *(self.qkv_weight, self.qkv_bias, self.norm1_weight, self.norm1_bias, self.up_weight, self.up_bias),
            *(self.down_weight, self.down_bias, self.norm2_weight, self.norm2_bias),
        )
        parts = [torch.split(w, together, dim=int(name.startswith("qkv"))) for name, w in whole._asdict().items()]
        return [BlockWeights(*weights) for weights in zip(*parts, strict=True)]

    def forward(
        self,
        x: Tensor,
        *,
        table: Tensor | None = None,
        bias: Tensor | None = None,
        groups: Sequence[BlockWeights] | None = None,
    ) -> Tensor:
        """x (V, N, D), table (K, N, N) multiplies logits, bias (V, N) is added to those of a key -> (K, V, N, D).

        `groups`: what `groups()` returned, where it is used several times.
        """
        groups = self.groups() if groups is None else groups
        tables = [None] * len(groups) if table is None else torch.split(table, len(table) // len(groups))
        parts = [self._block(x, group, part, bias) for group, part in zip(groups, tables, strict=True)]
        return torch.cat(parts)

    def _block(self, x: Tensor, w: BlockWeights, table: Tensor | None, bias: Tensor | None) -> Tensor:
        rate = self.dropout if self.training else 0.0
        mixed = attend(x, w.qkv, w.qkv_bias, self.num_heads, table=table, bias=bias, dropout=rate).flatten(1, 2)
        return after_attention(x.flatten(0, 1).expand_as(mixed), mixed, w, dropout=rate).view(-1, *x.shape)


def add_norm(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, *, dropout: float) -> Tensor:
    """Layer norm of x + dropout(y), with a gain and an offset of each block: x, y (K, N, D), weight, bias (K, D)."""
    return apply(_AddNorm, (x, y, weight, bias), dropout)


def after_attention(x: Tensor, y: Tensor, w: BlockWeights, *, dropout: float) -> Tensor:
    """The rest of K attention blocks: norm2(u + down · relu(up · u)), u = norm1(x + y); w.qkv is not read.

    x (K, N, D), y (K, N, D) what attention made of it -> (K, N, D). `dropout` falls on what is added, both times, and
    after the ReLU.
    """
    return apply(_AfterAttention, (x, y, *w[2:]), dropout)


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
        out = linear(normal[None], (weight * ctx.scale)[None], bias[None], relu=True)[0]
        ctx.save_for_backward(x, gain, offset, weight, mean, rstd, keep, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, gain, offset, weight, mean, rstd, keep, out = ctx.saved_tensors
        flow = torch.ops.aten.threshold_backward(grad, out, 0)
        dropped = torch.native_layer_norm(x, x.shape[-1:], gain, offset, _EPS)[0]
        grad_normal = linear(flow[None], (weight * ctx.scale).T[None])[0]
        if keep is not None:
            factor = as_factor(keep, x)
            dropped.mul_(factor)
            grad_normal.mul_(factor)
        grad_weight = linear(flow.T[None], dropped.T[None])[0].mul_(ctx.scale)
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
        hidden, scale = linear(u, up, up_bias, relu=True), 1.0
        if dropout:
            hidden.mul_(as_factor(keep_mask(tuple(hidden.shape), dropout, hidden.device), hidden))
            scale = keep_scale(dropout)  # put on the small matrix, not on the hidden layer
        second = _Sum.of(u, linear(hidden, down * scale, down_bias), dropout)
        ctx.save_for_backward(norm1, norm1_bias, up, down, norm2, hidden, *first, *second)
        ctx.dropout, ctx.scale = dropout, scale
        return second.scaled(norm2, norm2_bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        norm1, norm1_bias, up, down, norm2, hidden, *sums = ctx.saved_tensors
        first, second = _Sum(*sums[:3]), _Sum(*sums[3:])
        grad_u, grad, *grad_norm2 = second.backward(grad, norm2, ctx.dropout)
        grad_down = linear(grad.mT, hidden.mT).mul_(ctx.scale)
        flow = linear(grad, (down * ctx.scale).mT)  # (K, N, 4D)
        torch.ops.aten.threshold_backward.grad_input(flow, hidden, 0, grad_input=flow)
        grad_up = linear(flow.mT, first.scaled(norm1, norm1_bias).mT)
        grad_x, grad_y, *grad_norm1 = first.backward(linear(flow, up.mT).add_(grad_u), norm1, ctx.dropout)
        return grad_x, grad_y, *grad_norm1, grad_up, flow.sum(1), grad_down, grad.sum(1), *grad_norm2, None
