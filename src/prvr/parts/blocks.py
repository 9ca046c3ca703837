"""Post-norm attention blocks, K of them side by side with stacked weights, and what stands in front of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.kernels import blocks as kernels
from prvr.kernels.pieces import piecewise
from prvr.kernels.switch import twin_of
from prvr.parts.attention import attend
from prvr.parts.dropout import Dropout, check_rate, drop
from prvr.parts.products import linear


class InputProjection(nn.Module):
    """Features of any width -> D: layer norm, dropout, linear, ReLU."""

    def __init__(self, width_in: int, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width_in)
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(width_in, width)

    def forward(self, x: Tensor) -> Tensor:
        """x (V, N, E) -> (V, N, D)."""
        rate = self.dropout.rate if self.training else 0.0
        return project(x, self.norm, self.linear, dropout=rate)


class Positions(nn.Module):
    """Adds a learned vector for each place in the sequence, then layer norm and dropout."""

    def __init__(self, length: int, width: int, dropout: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(length, width))
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """x (V, N, D), N at most the length -> (V, N, D)."""
        out: Tensor = self.dropout(self.norm(x + self.weight[: x.shape[1]]))
        return out


class AfterWeights(NamedTuple):
    """The weights of what follows attention in K blocks."""

    norm1: Tensor  # (K, D)
    norm1_bias: Tensor  # (K, D)
    up: Tensor  # (K, 4D, D)
    up_bias: Tensor  # (K, 4D)
    down: Tensor  # (K, D, 4D)
    down_bias: Tensor  # (K, D)
    norm2: Tensor  # (K, D)
    norm2_bias: Tensor  # (K, D)


class BlockWeights(NamedTuple):
    """The weights of K attention blocks."""

    qkv: Tensor  # (3, K, D, D), queries, keys and values
    qkv_bias: Tensor  # (3, K, D)
    after: AfterWeights


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
        after = (
            *(self.norm1_weight, self.norm1_bias, self.up_weight, self.up_bias),
            *(self.down_weight, self.down_bias, self.norm2_weight, self.norm2_bias),
        )
        parts = [torch.split(w, together, dim=1) for w in (self.qkv_weight, self.qkv_bias)]
        parts += [torch.split(w, together) for w in after]
        return [BlockWeights(qkv, bias, AfterWeights(*rest)) for qkv, bias, *rest in zip(*parts, strict=True)]

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
        return after_attention(x.flatten(0, 1).expand_as(mixed), mixed, w.after, dropout=rate).view(-1, *x.shape)


@twin_of(kernels.project)
def project(x: Tensor, norm: nn.LayerNorm, linear: nn.Linear, *, dropout: float) -> Tensor:
    """What `InputProjection` does: x (V, N, E) -> (V, N, D)."""
    return F.relu(linear(drop(norm(x), dropout)))


@twin_of(kernels.add_norm)
def add_norm(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, *, dropout: float) -> Tensor:
    """Layer norm of x + dropout(y), with a gain and an offset of each block: x, y (K, N, D), weight, bias (K, D)."""
    normal = F.layer_norm(x + drop(y, dropout), x.shape[-1:])
    return normal * weight[:, None] + bias[:, None]


@twin_of(kernels.after_attention)
def after_attention(x: Tensor, y: Tensor, w: AfterWeights, *, dropout: float) -> Tensor:
    """The rest of K attention blocks: norm2(u + down · relu(up · u)), u = norm1(x + y).

    x (K, N, D), y (K, N, D) what attention made of it -> (K, N, D). `dropout` falls on what is added, both times, and
    after the ReLU.
    """
    u = add_norm(x, y, w.norm1, w.norm1_bias, dropout=dropout)
    hidden = drop(F.relu(linear(u, w.up, w.up_bias)), dropout)  # (K, N, 4D)
    return add_norm(u, linear(hidden, w.down, w.down_bias), w.norm2, w.norm2_bias, dropout=dropout)
