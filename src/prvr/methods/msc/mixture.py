"""The dynamic Gaussian mixture block: eight attention blocks of different reach, mixed anew at every place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from prvr.kernels import mixture as kernels
from prvr.kernels.pieces import by_pieces
from prvr.kernels.switch import twin_of
from prvr.parts.blocks import AttentionBlocks, BlockWeights
from prvr.parts.dropout import Dropout, drop
from prvr.parts.gaussian import gaussian_tables
from prvr.parts.masked import key_bias

_ROWS = 2048  # tokens at a time on a CPU, and where activations are made again


@twin_of(kernels.mix)
def mix(outputs: Tensor, weights: Tensor) -> Tensor:
    """Σ_k weights · outputs: outputs (K, V, N, D), weights (K, V, N) -> (V, N, D)."""
    return (weights[..., None] * outputs).sum(0)


@twin_of(kernels.read)
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
    """softmax(query · key / √d + bias) · value, heads side by side; `dropout` falls on the probabilities.

    One query (D,) reads every sequence (K, V, N, D) through the layers `key` and `value`; bias (V, N), -inf = not there
    -> (K, V, D).
    """
    by_head, keys, values = (torch.unflatten(x, -1, (num_heads, -1)) for x in (query, key(sequence), value(sequence)))
    logits = torch.einsum("hd,kvnhd->kvhn", by_head, keys) / by_head.shape[-1] ** 0.5 + bias[:, None]
    probabilities = drop(logits.softmax(-1).to(values.dtype), dropout)
    return torch.einsum("kvhn,kvnhd->kvhd", probabilities, values).flatten(-2)


class TokenAttention(nn.Module):
    """A learned token reads a sequence: an attention block with one query, and a feed-forward part D wide."""

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
        rate, query, bias = self.dropout.rate if self.training else 0.0, self.query(token), key_bias(valid)
        found = read(query, sequence, self.key, self.value, bias, num_heads=self.num_heads, dropout=rate)
        u = self.norm1(token + self.dropout(found))
        out: Tensor = self.norm2(u + self.dropout(self.down(self.dropout(F.relu(self.up(u))))))
        return out


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
        mixed = partial(self._mixed, groups, token)
        if self.checkpoint:
            mixed = partial(checkpoint, mixed, use_reentrant=False)
        return by_pieces(mixed, x, valid, bias, rows=_ROWS, everywhere=self.checkpoint)

    def _mixed(self, groups: Sequence[BlockWeights], token: Tensor, x: Tensor, valid: Tensor, bias: Tensor) -> Tensor:
        n = x.shape[1]
        outputs = self.blocks(x, table=self.tables[:, :n, :n], bias=bias, groups=groups)  # (K, V, N, D)
        weights = (self.mix_logits(self.reader(token, outputs, valid), n) / self.sft_factor).softmax(0)
        return mix(outputs, weights) * valid[..., None]

    def mix_logits(self, tokens: Tensor, num_places: int) -> Tensor:
        """What the token read from each block, (K, V, D), -> that block's say at every place, (K, V, N)."""
        hidden = self.dropout(F.relu(self.mix_hidden(tokens)))
        return F.linear(hidden, self.mix_out.weight[:num_places], self.mix_out.bias[:num_places])
