"""The dynamic Gaussian mixture block: eight attention blocks of different reach, mixed anew at every place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from prvr.nn.blocks import AttentionBlocks
from prvr.nn.dropout import Dropout, drop
from prvr.nn.gaussian import gaussian_tables
from prvr.nn.masked import key_bias


def mix(outputs: Tensor, weights: Tensor) -> Tensor:
    """Σ_k weights · outputs: outputs (K, V, N, D), weights (K, V, N) -> (V, N, D), without a weighted copy of all K."""
    mixed: Tensor = _Mix.apply(outputs, weights)  # type: ignore[no-untyped-call]
    return mixed


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
        heads = (self.num_heads, -1)
        query = torch.unflatten(self.query(token), 0, heads)  # (H, d)
        by_key = torch.einsum("hd,hde->he", query, torch.unflatten(self.key.weight, 0, heads))  # (H, D)
        # the key's bias gives the same to all keys, which changes nothing; kept so that it has its (zero) gradient
        offset = (query * torch.unflatten(self.key.bias, 0, heads)).sum(-1)  # (H,)
        logits = (F.linear(sequence, by_key, offset) * query.shape[-1] ** -0.5).transpose(2, 3)  # (K, V, H, N)
        probs = (logits + key_bias(valid).to(logits.dtype)[:, None]).softmax(-1)
        if self.training:
            probs = drop(probs, self.dropout.rate)
        mean = torch.matmul(probs, sequence)  # (K, V, H, D)
        value = torch.einsum("kvhe,hde->kvhd", mean, torch.unflatten(self.value.weight, 0, heads))
        # dropped probabilities no longer sum to 1, and the value's bias is weighted by what is left of them
        read: Tensor = value + probs.sum(-1, keepdim=True) * torch.unflatten(self.value.bias, 0, heads)
        return read.flatten(-2)


class GaussianMixture(nn.Module):
    """K attention blocks, one for each width; a learned token weighs them at every place of the sequence."""

    def __init__(
        self,
        width: int,
        num_heads: int,
        length: int,
        *,
        widths: Sequence[float | None],
        sft_factor: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.sft_factor = sft_factor
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
        n = x.shape[1]
        bias = key_bias(valid, size).to(x.dtype)
        outputs = self.blocks(x, table=self.tables[:, :n, :n], bias=bias)  # (K, V, N, D)
        weights = (self.mix_logits(self.reader(token, outputs, valid), n) / self.sft_factor).softmax(0)
        return mix(outputs, weights) * valid[..., None]

    def mix_logits(self, tokens: Tensor, num_places: int) -> Tensor:
        """What the token read from each block, (K, V, D), -> that block's say at every place, (K, V, N)."""
        hidden = self.dropout(F.relu(self.mix_hidden(tokens)))
        return F.linear(hidden, self.mix_out.weight[:num_places], self.mix_out.bias[:num_places])


class _Mix(torch.autograd.Function):
    """One small product at each place, in both directions, on views that the batched kernels take as they are."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(outputs, weights)
        by_place = weights.permute(1, 2, 0).flatten(0, 1).contiguous()  # (VN, K)
        return torch.bmm(by_place[:, None], outputs.flatten(1, 2).transpose(0, 1)).view(outputs.shape[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        outputs, weights = ctx.saved_tensors
        by_place = torch.bmm(outputs.flatten(1, 2).transpose(0, 1), grad.flatten(0, 1)[..., None])  # (VN, K, 1)
        return weights[..., None] * grad, by_place.squeeze(-1).T.reshape(weights.shape)
