"""Multi-head self-attention whose logits are multiplied by a table.

The usual fused kernels cannot multiply logits, and (V, K, H, N, N) probabilities are by far the largest tensors of the
network. So none is kept: the backward pass makes them again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from prvr.kernels.dropout import as_factor, keep_mask, keep_scale
from prvr.kernels.products import apply, product, weight_gradient


def attend(
    x: Tensor,
    weight: Tensor,
    offset: Tensor,
    num_heads: int,
    *,
    table: Tensor | None = None,
    bias: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """See `prvr.parts.attention.attend`."""
    return apply(_Attend, (x, weight, offset), num_heads, table, bias, dropout)


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        offset: Tensor,
        num_heads: int,
        table: Tensor | None,
        bias: Tensor | None,
        dropout: float,
    ) -> Tensor:
        (v, n, d), k = x.shape, weight.shape[1]
        flat = product(x.view(1, v * n, d), weight.reshape(1, 3 * k * d, d), offset.reshape(1, 3 * k * d))
        qkv = _heads(flat.view(v, n, 3, k, d), num_heads)
        table = _scaled(table, qkv)
        probs = _probabilities(qkv[0], qkv[1], table, bias, (v, k, num_heads))
        keep, ctx.scale = None, 1.0
        if dropout:
            keep, ctx.scale = keep_mask(tuple(probs.shape), dropout, x.device), keep_scale(dropout)
            probs.mul_(as_factor(keep, probs))
        mixed = torch.bmm(probs.flatten(0, 2), qkv[2]).mul_(ctx.scale)
        ctx.save_for_backward(x, weight, qkv, table, bias, keep)
        return mixed.view(v, k, num_heads, n, -1).permute(1, 0, 3, 2, 4).reshape(k, v, n, d)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, (query, key, value), table, bias, keep = ctx.saved_tensors
        k, v, n, d = grad.shape
        heads = query.shape[0] // (v * k)
        grad = grad.view(k, v, n, heads, -1).permute(1, 0, 3, 2, 4).flatten(0, 2).mul(ctx.scale)  # (VKH, N, d)
        probs = _probabilities(query, key, table, bias, (v, k, heads))
        flow = torch.bmm(grad, value.mT).view(probs.shape)  # d loss / d dropped probabilities
        dropped = probs
        if keep is not None:
            factor = as_factor(keep, probs)
            flow.mul_(factor)
            dropped = probs * factor
        flows = torch.empty(3, *query.shape, dtype=x.dtype, device=x.device)
        torch.bmm(dropped.flatten(0, 2).mT, grad, out=flows[2])
        flow.mul_(probs)
        flow.addcmul_(probs, flow.sum(-1, keepdim=True), value=-1)  # through the softmax
        flow = flow.mul_(table).to(x.dtype).flatten(0, 2)  # and through table and 1/√d
        torch.bmm(flow, key, out=flows[0])
        torch.bmm(flow.mT, query, out=flows[1])
        # (3, VKH, N, d) -> (VN, 3KD): as the projection left it
        flat = flows.view(3, v, k, heads, n, -1).permute(1, 4, 0, 2, 3, 5).reshape(1, v * n, 3 * k * d)
        grad_weight = weight_gradient(flat, x.view(1, v * n, d)).view(weight.shape)
        grad_x = product(flat, weight.reshape(1, 3 * k * d, d).mT).view(x.shape)
        return grad_x, grad_weight, flat.sum((0, 1)).view(weight.shape[:3]), None, None, None, None


def _heads(qkv: Tensor, num_heads: int) -> Tensor:
    """(V, N, 3, K, D) -> queries, keys, values (3, VKH, N, d)."""
    return torch.unflatten(qkv, -1, (num_heads, -1)).permute(2, 0, 3, 4, 1, 5).flatten(1, 3)


def _scaled(table: Tensor | None, query: Tensor) -> Tensor:
    """What logits are multiplied by: the table and 1/√d in one -> (K or 1, 1, N or 1, N or 1)."""
    wide = torch.promote_types(query.dtype, torch.float32)  # logits are never narrower
    table = torch.ones(1, 1, 1, device=query.device) if table is None else table
    scaled: Tensor = (table.to(wide) * query.shape[-1] ** -0.5)[:, None]
    return scaled


def _probabilities(
    query: Tensor, key: Tensor, table: Tensor, bias: Tensor | None, shape: tuple[int, int, int]
) -> Tensor:
    """query, key (VKH, N, d), shape (V, K, H) -> (V, K, H, N, N); each row sums to 1."""
    logits = torch.bmm(query, key.mT).to(table.dtype)
    logits = logits.view(*shape, *logits.shape[1:]).mul_(table)
    if bias is not None:
        logits.add_(bias[:, None, None, None])
    return logits.softmax(-1).to(query.dtype)
