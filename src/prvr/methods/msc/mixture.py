"""The dynamic Gaussian mixture block: eight attention blocks of different reach, mixed anew at every place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from prvr.parts.blocks import AttentionBlocks, BlockWeights
from prvr.parts.dropout import Dropout, keep_mask, keep_scale
from prvr.parts.gaussian import gaussian_tables
from prvr.parts.masked import key_bias
from prvr.parts.products import apply, piecewise

_ROWS = 2048  # tokens at a time on a CPU, and where activations are made again


def mix(outputs: Tensor, weights: Tensor) -> Tensor:
    """Σ_k weights · outputs: outputs (K, V, N, D), weights (K, V, N) -> (V, N, D), without a weighted copy of all K."""
    return apply(_Mix, (outputs, weights))


def read(sequence: Tensor, query: Tensor, offset: Tensor, bias: Tensor, *, dropout: float) -> Tensor:
    """Means of a sequence weighted by softmax(query · sequence + offset + bias), after dropout; and the sum of weights.

    sequence (K, V, N, D), query (H, D), offset (H,), bias (V, N), -inf = not there -> (K, V, H, D + 1), the sum last.
    """
    return apply(_Read, (sequence, query, offset), bias, dropout)


class TokenAttention(nn.Module):
    """A learned token reads a sequence: an attention block with one query, and a feed-forward part D wide.

    With a single query the products are reordered so that no key or value is ever made: the query is taken through the
    key matrix once, and the value matrix comes after the weighted mean.
    """

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.up = nn.Linear(width, width)
        self.down = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, token: Tensor, sequence: Tensor, valid: Tensor) -> Tensor:
        """token (D,), sequence (K, V, N, D), valid (V, N) -> (K, V, D)."""
        u = self.norm1(token + self.dropout(self._read(token, sequence, valid)))
        out: Tensor = self.norm2(u + self.dropout(self.down(self.dropout(F.relu(self.up(u))))))
        return out

    def _read(self, token: Tensor, sequence: Tensor, valid: Tensor) -> Tensor:
        heads, rate = (self.num_heads, -1), self.dropout.rate if self.training else 0.0
        query = torch.unflatten(self.query(token), 0, heads) * (len(token) // self.num_heads) ** -0.5  # (H, d)
        by_key = torch.einsum("hd,hde->he", query, torch.unflatten(self.key.weight, 0, heads))  # (H, D)
        # the key's bias gives the same to all keys, which changes nothing; kept so that it has its (zero) gradient
        offset = (query * torch.unflatten(self.key.bias, 0, heads)).sum(-1)  # (H,)
        found = read(sequence, by_key, offset, key_bias(valid), dropout=rate)
        mean, left = torch.split(found, [len(token), 1], dim=-1)
        value = torch.einsum("kvhe,hde->kvhd", mean, torch.unflatten(self.value.weight, 0, heads))
        # dropped probabilities no longer sum to 1, and the value's bias is weighted by what is left of them
        value += left * torch.unflatten(self.value.bias, 0, heads)
        return value.flatten(-2)


class GaussianMixture(nn.Module):
    """K attention blocks, one for each width; a learned token weighs them at every place of the sequence.

    On a CPU some videos are taken at a time: nothing larger than its cache is ever made anew. With `checkpoint` this is
    so everywhere, and what lies between input and output is not kept but made again when its gradient is wanted: the
    same values for a fraction of the memory and a quarter more time.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        length: int,
        *,
        widths: Sequence[float | None],
        sft_factor: float,
        dropout: float,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.sft_factor = sft_factor
        self.checkpoint = checkpoint
        self.blocks = AttentionBlocks(len(widths), width, num_heads, dropout)
        self.reader = TokenAttention(width, num_heads, dropout)
        self.mix_hidden = nn.Linear(width, width)
        self.mix_out = nn.Linear(width, length)
        self.dropout = Dropout(dropout)
        self.tables: Tensor
        self.register_buffer("tables", gaussian_tables(length, widths), persistent=False)

    def forward(self, x: Tensor, token: Tensor, valid: Tensor, size: Tensor | None = None) -> Tensor:
        """x (V, N, D), token (D,), valid (V, N), size (V, N) weighs the keys of the K blocks -> (V, N, D).

        Places that are not valid come out as zero.
        """
        groups, bias = self.blocks.groups(), key_bias(valid, size)
        mixed = partial(checkpoint, self._mixed, use_reentrant=False) if self.checkpoint else self._mixed
        step = _ROWS // x.shape[1] if self.checkpoint or piecewise(x) else len(x)
        pieces = zip(*(torch.split(part, max(step, 1)) for part in (x, valid, bias)), strict=True)
        return torch.cat([mixed(groups, token, *piece) for piece in pieces])

    def _mixed(self, groups: Sequence[BlockWeights], token: Tensor, x: Tensor, valid: Tensor, bias: Tensor) -> Tensor:
        n = x.shape[1]
        outputs = self.blocks(x, table=self.tables[:, :n, :n], bias=bias, groups=groups)  # (K, V, N, D)
        weights = (self.mix_logits(self.reader(token, outputs, valid), n) / self.sft_factor).softmax(0)
        return mix(outputs, weights) * valid[..., None]

    def mix_logits(self, tokens: Tensor, num_places: int) -> Tensor:
        """What the token read from each block, (K, V, D), -> that block's say at every place, (K, V, N)."""
        hidden = self.dropout(F.relu(self.mix_hidden(tokens)))
        return F.linear(hidden, self.mix_out.weight[:num_places], self.mix_out.bias[:num_places])


class _Read(torch.autograd.Function):
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
