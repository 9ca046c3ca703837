"""What mixes the blocks of the Gaussian mixture: a token that reads each of them, and the weighted sum of all."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from prvr.kernels.dropout import keep_mask, keep_scale
from prvr.kernels.products import apply


def mix(outputs: Tensor, weights: Tensor) -> Tensor:
    """See `prvr.methods.msc.mixture.mix`; without a weighted copy of all K."""
    return apply(_Mix, (outputs, weights))


def read(
    query: Tensor,
    sequence: Tensor,
    key: nn.Linear,
    value: nn.Linear,
    bias: Tensor,
    *,
    num_heads: int,
    dropout: float,
) -> Tensor:
    """See `prvr.methods.msc.mixture.read`.

    With a single query the products are reordered so that no key or value is ever made: the query is taken through the
    key matrix once, and the value matrix comes after the weighted mean.
    """
    width, heads = len(query), (num_heads, -1)
    query = torch.unflatten(query, 0, heads) * (width // num_heads) ** -0.5  # (H, d)
    by_key = torch.einsum("hd,hde->he", query, torch.unflatten(key.weight, 0, heads))  # (H, D)
    # the key's bias gives the same to all keys, which changes nothing; kept so that it has its (zero) gradient
    offset = (query * torch.unflatten(key.bias, 0, heads)).sum(-1)  # (H,)
    mean, left = torch.split(means(sequence, by_key, offset, bias, dropout=dropout), [width, 1], dim=-1)
    out = torch.einsum("kvhe,hde->kvhd", mean, torch.unflatten(value.weight, 0, heads))
    # dropped probabilities no longer sum to 1, and the value's bias is weighted by what is left of them
    out += left * torch.unflatten(value.bias, 0, heads)
    return out.flatten(-2)


def means(sequence: Tensor, query: Tensor, offset: Tensor, bias: Tensor, *, dropout: float) -> Tensor:
    """Means of a sequence weighted by softmax(query · sequence + offset + bias), after dropout; and the sum of weights.

    sequence (K, V, N, D), query (H, D), offset (H,), bias (V, N), -inf = not there -> (K, V, H, D + 1), the sum last.
    """
    return apply(_Means, (sequence, query, offset), bias, dropout)


class _Means(torch.autograd.Function):
    """The sequence is large and all else small: its gradient is written once."""

    @staticmethod
    def forward(ctx: Any, sequence: Tensor, query: Tensor, offset: Tensor, bias: Tensor, dropout: float) -> Tensor:
        k, v, n, d = sequence.shape
        flat = sequence.view(k * v, n, d)
        logits = torch.unflatten(F.linear(flat, query, offset).mT, 0, (k, v)) + bias[:, None]
        probs, factor = logits.softmax(-1).to(flat.dtype).flatten(0, 1), None  # (KV, H, N)
        if dropout:
            factor = keep_mask(tuple(probs.shape), dropout, flat.device).to(flat.dtype).mul_(keep_scale(dropout))
        ctx.save_for_backward(sequence, query, probs, factor)
        dropped = probs if factor is None else probs * factor
        out = torch.cat([torch.bmm(dropped, flat), dropped.sum(-1, keepdim=True)], dim=-1)
        return out.view(k, v, *out.shape[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        sequence, query, probs, factor = ctx.saved_tensors
        flat = sequence.flatten(0, 1)
        grad_mean, grad_sum = torch.split(grad.flatten(0, 1), [len(query.T), 1], dim=-1)  # (KV, H, D), (KV, H, 1)
        flow = torch.bmm(flat, grad_mean.mT).mT + grad_sum  # (KV, H, N)
        dropped = probs
        if factor is not None:
            dropped, flow = probs * factor, flow * factor
        flow = flow * probs
        flow = flow.addcmul_(probs, flow.sum(-1, keepdim=True), value=-1)  # through the softmax
        weights = torch.cat([dropped, flow], dim=1)  # (KV, 2H, N)
        vectors = torch.cat([grad_mean, query.expand_as(grad_mean)], dim=1)  # (KV, 2H, D)
        grad_query = torch.bmm(flow, flat).sum(0)
        return torch.bmm(weights.mT, vectors).view_as(sequence), grad_query, flow.sum((0, 2)), None, None


class _Mix(torch.autograd.Function):
    """One small product at each place, in both directions, on views that the batched kernels take as they are."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(outputs, weights)
        mixed = weights[0, ..., None] * outputs[0]
        for weight, output in zip(weights[1:, ..., None], outputs[1:], strict=True):
            mixed.addcmul_(weight, output)
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        outputs, weights = ctx.saved_tensors
        return weights[..., None] * grad, torch.stack([(output * grad).sum(-1) for output in outputs])
