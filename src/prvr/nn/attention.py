"""Multi-head attention whose logits are multiplied by a table: K blocks with one input, in one piece.

The usual fused kernels cannot multiply logits, and (V, K, H, N, N) probabilities are by far the largest tensors of the
network. So they live only inside one chunk of videos, small enough for the processor's cache, and the backward pass
makes them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from prvr.nn.dropout import keep_mask, keep_scale

_CHUNK_BYTES = 2 << 20  # of logits at a time on a CPU; other devices take all videos at once


def attend(
    qkv: Tensor, num_heads: int, *, table: Tensor | None = None, bias: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """softmax((query · key / √d) · table + bias) · value, heads side by side.

    qkv (V, N, 3, K, D): queries, keys, values of K blocks; table (K, N, N) or None; bias (V, N) on keys, -inf = no key,
    or None; neither gets a gradient. `dropout` falls on the probabilities. -> (K, V, N, D).

    The released code adds -10,000 in place of -inf, which is the same to the last bit unless a row has no key at all;
    such a row is NaN here and an even mean of padding there, and no video or sentence is empty.
    """
    out: Tensor = _Attend.apply(qkv, table, bias, num_heads, dropout)  # type: ignore[no-untyped-call]
    return out


def attention_probabilities(
    qkv: Tensor, num_heads: int, *, table: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """What `attend` weighs values by, for looking at it: qkv (V, N, 3, K, D) -> (V, K, H, N, N)."""
    v, n, _, k, _ = qkv.shape
    query, key, _ = _heads(qkv, num_heads)
    return _probabilities(query, key, _scaled(table, qkv, num_heads), bias, slice(0, v)).view(v, k, num_heads, n, n)


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, table: Tensor | None, bias: Tensor | None, num_heads: int, dropout: float
    ) -> Tensor:
        v, n, _, k, d = qkv.shape
        keep = keep_mask((v, k, num_heads, n, n), dropout, qkv.device) if dropout else None
        table = _scaled(table, qkv, num_heads)
        out = qkv.new_empty(k, v, n, num_heads, d // num_heads)
        for part in _chunks(qkv, num_heads):
            query, key, value = _heads(qkv[part], num_heads)
            probs = _probabilities(query, key, table, bias, part).view(-1, k, num_heads, n, n)
            if keep is not None:
                probs.mul_(keep[part])
            mixed = torch.bmm(probs.flatten(0, 2), value)
            if keep is not None:
                mixed.mul_(keep_scale(dropout))
            out[:, part] = mixed.view(*probs.shape[:4], -1).permute(1, 0, 3, 2, 4)
        ctx.save_for_backward(qkv, table, bias, keep)
        ctx.num_heads, ctx.scale = num_heads, keep_scale(dropout) if dropout else 1.0
        return out.flatten(-2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        qkv, table, bias, keep = ctx.saved_tensors
        _, n, _, k, _ = qkv.shape
        grad_qkv = torch.empty_like(qkv)
        grads = torch.unflatten(grad_qkv, -1, (ctx.num_heads, -1)).permute(2, 0, 3, 4, 1, 5)  # (3, V, K, H, N, d)
        grad = torch.unflatten(grad, -1, (ctx.num_heads, -1)).permute(1, 0, 3, 2, 4)  # (V, K, H, N, d)
        for part in _chunks(qkv, ctx.num_heads):
            query, key, value = _heads(qkv[part], ctx.num_heads)
            probs = _probabilities(query, key, table, bias, part).view(-1, k, ctx.num_heads, n, n)
            grad_out = grad[part].flatten(0, 2).mul(ctx.scale)  # (vKH, N, d)
            flow = torch.bmm(grad_out, value.mT).view(probs.shape)  # d loss / d dropped probabilities
            dropped = probs
            if keep is not None:
                dropped = keep[part].to(probs.dtype)
                flow.mul_(dropped)
                dropped.mul_(probs)
            shape = grads[0, part].shape
            grads[2, part] = torch.bmm(dropped.flatten(0, 2).mT, grad_out).view(shape)
            flow.mul_(probs)
            flow.addcmul_(probs, flow.sum(-1, keepdim=True), value=-1)  # through the softmax
            flow.mul_(table)  # and through table and 1/√d
            grads[0, part] = torch.bmm(flow.flatten(0, 2), key).view(shape)
            grads[1, part] = torch.bmm(flow.flatten(0, 2).mT, query).view(shape)
        return grad_qkv, None, None, None, None


def _scaled(table: Tensor | None, qkv: Tensor, num_heads: int) -> Tensor:
    """What logits are multiplied by: the table and 1/√d in one -> (K or 1, 1, N or 1, N or 1)."""
    scale = (qkv.shape[-1] // num_heads) ** -0.5
    table = qkv.new_ones(1, 1, 1) if table is None else table.to(qkv.dtype)
    scaled: Tensor = (table * scale)[:, None]
    return scaled


def _heads(qkv: Tensor, num_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """(v, N, 3, K, D) -> queries, keys, values, (vKH, N, d) each; views where v is 1."""
    query, key, value = torch.unflatten(qkv, -1, (num_heads, -1)).permute(2, 0, 3, 4, 1, 5).unbind(0)
    return query.flatten(0, 2), key.flatten(0, 2), value.flatten(0, 2)


def _probabilities(query: Tensor, key: Tensor, table: Tensor, bias: Tensor | None, part: slice) -> Tensor:
    """query, key (vKH, N, d) -> (v, K, H, N, N) or, with one table for all, (v, 1, KH, N, N); each row sums to 1."""
    logits = torch.bmm(query, key.mT)
    logits = logits.view(part.stop - part.start, len(table), -1, *logits.shape[1:]).mul_(table)
    if bias is not None:
        logits.add_(bias[part, None, None, None])
    return logits.softmax(-1)


def _chunks(qkv: Tensor, num_heads: int) -> Iterator[slice]:
    v, n, _, k, _ = qkv.shape
    step = v
    if qkv.device.type == "cpu":
        step = max(1, _CHUNK_BYTES // (k * num_heads * n * n * qkv.element_size()))
    for start in range(0, v, max(step, 1)):
        yield slice(start, min(start + step, v))
