"""Multi-head self-attention whose logits are multiplied by a table: K blocks that read one input."""

from __future__ import annotations

import torch
from torch import Tensor

from prvr.kernels import attention as kernels
from prvr.kernels.switch import twin_of
from prvr.parts.dropout import drop


@twin_of(kernels.attend)
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
    """softmax((query · key / √d) · table + bias) · value, heads side by side.

    x (V, N, D), weight (3, K, D, D) and offset (3, K, D) make queries, keys and values of K blocks; table (K, N, N) or
    None; bias (V, N) on keys, -inf = no key, or None; neither gets a gradient. `dropout` falls on the probabilities.
    -> (K, V, N, D).

    The released code adds -10,000 in place of -inf, which is the same to the last bit unless a row has no key at all;
    such a row is NaN here and an even mean of padding there, and no video or sentence is empty.
    """
    qkv = torch.einsum("vnd,pked->vnpke", x, weight) + offset
    probabilities = drop(attention_probabilities(qkv, num_heads, table=table, bias=bias), dropout)
    mixed = probabilities @ _heads(qkv, num_heads)[2]  # (V, K, H, N, d)
    return mixed.permute(1, 0, 3, 2, 4).flatten(-2)


def attention_probabilities(
    qkv: Tensor, num_heads: int, *, table: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """What `attend` weighs values by: qkv (V, N, 3, K, D) -> (V, K, H, N, N); each row sums to 1."""
    query, key, _ = _heads(qkv, num_heads)
    logits: Tensor = query @ key.mT / query.shape[-1] ** 0.5
    if table is not None:
        logits = logits * table[:, None]
    if bias is not None:
        logits = logits + bias[:, None, None, None]
    return logits.softmax(-1).to(qkv.dtype)


def _heads(qkv: Tensor, num_heads: int) -> Tensor:
    """(V, N, 3, K, D) -> queries, keys, values (3, V, K, H, N, d)."""
    return torch.unflatten(qkv, -1, (num_heads, -1)).permute(2, 0, 3, 4, 1, 5)
