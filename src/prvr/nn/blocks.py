"""Post-norm attention blocks, K of them side by side with stacked weights, and what stands in front of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from prvr.nn.attention import attend
from prvr.nn.dropout import Dropout, check_rate, keep_mask, keep_scale

_EPS = 1e-5  # of every layer norm
_CHUNK_BYTES = 8 << 20  # of a hidden layer at a time on a CPU
_CACHE_BYTES = 1 << 20  # of what is normalised at a time on a CPU


class InputProjection(nn.Module):
    """Features of any width -> D: layer norm, dropout, linear, ReLU."""

    def __init__(self, width_in: int, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width_in, eps=_EPS)
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(width_in, width)

    def forward(self, x: Tensor) -> Tensor:
        """x (V, N, E) -> (V, N, D)."""
        return F.relu(self.linear(self.dropout(self.norm(x))))


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


class AttentionBlocks(nn.Module):
    """K blocks that read the same input: u = norm(x + attend(x)), out = norm(u + feed-forward(u)).

    Weights are stacked: queries, keys and values of all blocks come from one product with x. The feed-forward part is
    4 D wide. `dropout` falls on probabilities, on both sublayers' outputs and after the ReLU.
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

    def forward(self, x: Tensor, *, table: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """x (V, N, D), table (K, N, N) multiplies logits, bias (V, N) is added to those of a key -> (K, V, N, D)."""
        rate = self.dropout if self.training else 0.0
        _, k, d, _ = self.qkv_weight.shape
        qkv = F.linear(x, self.qkv_weight.view(3 * k * d, d), self.qkv_bias.view(-1))
        mixed = attend(torch.unflatten(qkv, -1, (3, k, d)), self.num_heads, table=table, bias=bias, dropout=rate)
        u = add_norm(x.expand_as(mixed), mixed, self.norm1_weight, self.norm1_bias, dropout=rate)
        fed = feed_forward(
            u.flatten(1, 2), self.up_weight, self.up_bias, self.down_weight, self.down_bias, dropout=rate
        )
        return add_norm(u, fed.view_as(u), self.norm2_weight, self.norm2_bias, dropout=rate)


def add_norm(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, *, dropout: float) -> Tensor:
    """Layer norm of x + dropout(y), with a gain and an offset of each block: (K, ..., D), weight, bias (K, D)."""
    out: Tensor = _AddNorm.apply(x, y, weight, bias, dropout)  # type: ignore[no-untyped-call]
    return out


def feed_forward(x: Tensor, up: Tensor, up_bias: Tensor, down: Tensor, down_bias: Tensor, *, dropout: float) -> Tensor:
    """down · dropout(relu(up · x)), block by block.

    x (K, N, D), up (K, F, D), up_bias (K, F), down (K, D, F), down_bias (K, D) -> (K, N, D).
    """
    out: Tensor = _FeedForward.apply(x, up, up_bias, down, down_bias, dropout)  # type: ignore[no-untyped-call]
    return out


class _AddNorm(torch.autograd.Function):
    """Keeps one normalised tensor and a byte mask where the plain chain keeps five tensors; in chunks as below."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, dropout: float) -> Tensor:
        out = torch.empty_like(y)
        ctx.scale = keep_scale(dropout) if dropout else 1.0
        weight, bias = _along(weight, y), _along(bias, y)
        parts: list[Tensor] = []
        for part in _video_chunks(y):
            total, keep = y[:, part], y.new_empty(0)
            if dropout:
                keep = keep_mask(tuple(total.shape), dropout, y.device)
                total = torch.mul(total, keep).mul_(ctx.scale).add_(x[:, part])
            else:
                total = total + x[:, part]
            normal, _, rstd = torch.native_layer_norm(total, total.shape[-1:], None, None, _EPS)
            torch.addcmul(bias, normal, weight, out=out[:, part])
            parts += [normal, rstd, keep]
        ctx.save_for_backward(weight, *parts)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        weight, *parts = ctx.saved_tensors
        grad_x, inner = torch.empty_like(grad), tuple(range(1, grad.ndim - 1))
        grad_y = torch.empty_like(grad) if ctx.scale != 1.0 else grad_x
        grad_weight = grad.new_zeros(len(weight), grad.shape[-1])
        shape = list(grad.shape[-1:])
        for part, normal, rstd, keep in zip(_video_chunks(grad), parts[::3], parts[1::3], parts[2::3], strict=True):
            flow = grad[:, part] * normal
            grad_weight += flow.sum(inner)
            torch.mul(grad[:, part], weight, out=flow)
            # layer norm seen from its own output: mean 0, deviation 1; the deviation of the input comes after
            zero, one = torch.zeros_like(rstd), torch.ones_like(rstd)
            flow = torch.ops.aten.native_layer_norm_backward(
                flow, normal, shape, zero, one, None, None, [True, False, False]
            )[0]
            torch.mul(flow, rstd, out=grad_x[:, part])
            if len(keep):
                grad_y[:, part] = torch.mul(grad_x[:, part], keep).mul_(ctx.scale)
        return grad_x, grad_y, grad_weight, grad.sum(inner), None


def _along(vector: Tensor, x: Tensor) -> Tensor:
    """(K, D) -> (K, 1, ..., D), as many axes as x."""
    return vector.view(len(vector), *[1] * (x.ndim - 2), -1)


def _video_chunks(x: Tensor) -> Iterator[slice]:
    """x (K, V, ...) -> slices of the V videos."""
    step = v = x.shape[1]
    if x.device.type == "cpu":
        step = max(1, _CACHE_BYTES * v // max(x.numel() * x.element_size(), 1))
    for start in range(0, v, max(step, 1)):
        yield slice(start, min(start + step, v))


class _FeedForward(torch.autograd.Function):
    """Keeps the dropped hidden layer alone: it is zero exactly where the gradient is, so no mask is kept.

    On a CPU it takes some rows at a time: a hidden layer that fits the cache, and no fresh memory to fault in.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, up: Tensor, up_bias: Tensor, down: Tensor, down_bias: Tensor, dropout: float
    ) -> Tensor:
        out = x.new_empty(*x.shape[:2], down.shape[1])
        ctx.scale = keep_scale(dropout) if dropout else 1.0  # put on the small matrices, not on the hidden layer
        layers = []
        for rows in _row_chunks(x, up):
            hidden = torch.baddbmm(up_bias[:, None], x[:, rows], up.mT).relu_()
            if dropout:
                hidden.mul_(keep_mask(tuple(hidden.shape), dropout, hidden.device))
            out[:, rows] = torch.baddbmm(down_bias[:, None], hidden, down.mT, alpha=ctx.scale)
            layers.append(hidden)
        ctx.save_for_backward(x, up, down, *layers)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, None]:
        x, up, down, *layers = ctx.saved_tensors
        grad_x, grad_up, grad_down = torch.empty_like(x), torch.zeros_like(up), torch.zeros_like(down)
        grad_up_bias = up.new_zeros(up.shape[:2])
        scaled = down * ctx.scale
        for rows, hidden in zip(_row_chunks(x, up), layers, strict=True):
            grad_down.baddbmm_(grad[:, rows].mT, hidden, alpha=ctx.scale)
            flow = torch.bmm(grad[:, rows], scaled)  # (K, n, F)
            torch.ops.aten.threshold_backward.grad_input(flow, hidden, 0, grad_input=flow)
            grad_up.baddbmm_(flow.mT, x[:, rows])
            grad_up_bias += flow.sum(1)
            grad_x[:, rows] = torch.bmm(flow, up)
        return grad_x, grad_up, grad_up_bias, grad_down, grad.sum(1), None


def _row_chunks(x: Tensor, up: Tensor) -> Iterator[slice]:
    """x (K, N, D), up (K, F, D) -> slices of the N rows."""
    step = n = x.shape[1]
    if x.device.type == "cpu":
        # never so few that adding up the gradients of the matrices costs more than making them
        step = max(_CHUNK_BYTES // (x.element_size() * up.shape[0] * up.shape[1]), up.shape[1] // 2)
    for start in range(0, n, max(step, 1)):
        yield slice(start, min(start + step, n))
