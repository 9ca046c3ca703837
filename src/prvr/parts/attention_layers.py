"""Attention layers without a feed-forward part, K of them side by side: what MS-SL, DL-DKD, AMDNet, BGM-Net and the
first GMMFormer are made of; and the encoder that puts positions before one of them.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.kernels.pieces import by_pieces
from prvr.parts.attention import attend
from prvr.parts.blocks import Positions, add_norm
from prvr.parts.dropout import check_rate
from prvr.parts.masked import key_bias
from prvr.parts.products import linear

_ROWS = 1024  # of features at a time on a CPU: what they are multiplied with fits its cache


class AttentionLayers(nn.Module):
    """K layers that read the same input: norm(x + dropout(out · attend(x))).

    Weights are stacked. `dropout` falls on probabilities and on what is added to the input.
    """

    def __init__(self, num_layers: int, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        k, d = num_layers, width
        self.num_heads = num_heads
        self.dropout = check_rate(dropout, "dropout")
        self.qkv_weight = nn.Parameter(torch.empty(3, k, d, d))  # (query | key | value, layer, out, in)
        self.qkv_bias = nn.Parameter(torch.empty(3, k, d))
        self.out_weight = nn.Parameter(torch.empty(k, d, d))
        self.out_bias = nn.Parameter(torch.empty(k, d))
        self.norm_weight = nn.Parameter(torch.empty(k, d))
        self.norm_bias = nn.Parameter(torch.empty(k, d))

    def forward(
        self,
        x: Tensor,
        *,
        table: Tensor | None = None,
        bias: Tensor | None = None,
        gain: Tensor | None = None,
    ) -> Tensor:
        """x (V, N, D) -> (K, V, N, D).

        `table` (K, N, N) multiplies the logits of each layer, and so does `gain` (V, H, N), a number for each key of
        each head; `bias` (V, N) is added to those of a key, -inf = no key. Of the three `gain` alone has a gradient,
        and it does not go together with a table.
        """
        return by_pieces(partial(self._layers, table), x, bias, gain, rows=_ROWS, dim=1)

    def _layers(self, table: Tensor | None, x: Tensor, bias: Tensor | None, gain: Tensor | None) -> Tensor:
        rate = self.dropout if self.training else 0.0
        if gain is None:
            mixed = attend(x, self.qkv_weight, self.qkv_bias, self.num_heads, table=table, bias=bias, dropout=rate)
        else:
            mixed = attend_gained(x, self.qkv_weight, self.qkv_bias, gain, bias=bias, dropout=rate)
        moved = linear(mixed.flatten(1, 2), self.out_weight, self.out_bias)  # (K, VN, D)
        before = x.flatten(0, 1).expand_as(moved)
        out = add_norm(before, moved, self.norm_weight, self.norm_bias, dropout=rate)
        return out.view(len(out), *x.shape)


class SequenceEncoder(nn.Module):
    """Projected features -> tokens that know of each other: positions, then one attention layer."""

    def __init__(self, width: int, num_heads: int, length: int, *, input_dropout: float, dropout: float) -> None:
        super().__init__()
        self.positions = Positions(length, width, input_dropout)
        self.layer = AttentionLayers(1, width, num_heads, dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """x (V, N, D), valid (V, N) -> (V, N, D); rows that are not valid mean nothing."""
        h = self.positions(x)
        out: Tensor = self.layer(h, bias=key_bias(valid).to(h.dtype))[0]
        return out


def attend_gained(
    x: Tensor, weight: Tensor, offset: Tensor, gain: Tensor, *, bias: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """softmax((query · key / √d) · gain + bias) · value, heads side by side, with a gradient for the gain.

    x (V, N, D), weight (3, K, D, D), offset (3, K, D), gain (V, H, N), bias (V, N) -> (K, V, N, D).
    """
    heads = gain.shape[1]
    qkv = torch.einsum("vnd,pked->pkvne", x, weight) + offset[:, :, None, None]
    query, key, value = torch.unflatten(qkv, -1, (heads, -1)).transpose(-2, -3)  # (K, V, H, N, d) each
    # a number for a key may as well multiply the key, and then any kernel will do
    mask = None if bias is None else bias[:, None, None].to(x.dtype)  # (V, 1, 1, N)
    mixed = F.scaled_dot_product_attention(query, key * gain[..., None], value, attn_mask=mask, dropout_p=dropout)
    return mixed.transpose(-2, -3).flatten(-2)


@torch.no_grad()
def reset_parameters(model: nn.Module, *, wide: Collection[str] = ()) -> None:
    """As this family begins: matrices and positions N(0, 0.02²), biases 0, norms 1 and 0; `wide` ones N(0, 1)."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        elif "norm" in name:
            parameter.fill_(1.0)
        else:
            parameter.normal_(std=1.0 if name in wide else 0.02)
