"""The slow, readable forms that the fast ones are measured against: one block, one video, one pair at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def loop_average(features: Tensor, positions: int) -> Tensor:
    n = len(features)
    edges = [min(round(i * n / positions), n - 1) for i in range(positions + 1)]
    rows = [features[a:b].mean(0) if a < b else features[a] for a, b in pairwise(edges)]
    return torch.stack(rows)


def loop_merge(x: Tensor, size: Tensor, drop: int) -> tuple[Tensor, Tensor, Tensor]:
    """One step of order-preserving merging, (N, D) of one video, alike by dot product."""
    pairs = [(float(x[i] @ x[i + 1]), i) for i in range(0, len(x), 2)]
    chosen = {i for _, i in sorted(pairs, key=lambda pair: (-pair[0], pair[1]))[:drop]}
    tokens: list[Tensor] = []
    sizes: list[Tensor] = []
    slot: list[int] = []
    for i in range(0, len(x), 2):
        if i in chosen:
            total = size[i] + size[i + 1]
            tokens.append((size[i] * x[i] + size[i + 1] * x[i + 1]) / total)
            sizes.append(total)
            slot += [len(tokens) - 1] * 2
        else:
            for j in (i, i + 1):
                tokens.append(x[j])
                sizes.append(size[j])
                slot.append(len(tokens) - 1)
    return torch.stack(tokens), torch.stack(sizes), torch.tensor(slot)


def loop_connected_share(clips: Tensor, threshold: float) -> float:
    """Flood fill from every clip of one video, (C, E)."""
    unit = F.normalize(clips, dim=-1)
    joined = 0
    for start in range(len(clips)):
        seen, queue = {start}, [start]
        while queue:
            here = queue.pop()
            for other in range(len(clips)):
                if other not in seen and float(unit[here] @ unit[other]) > threshold:
                    seen.add(other)
                    queue.append(other)
        joined += len(seen) - 1
    return joined / (len(clips) * (len(clips) - 1))


def loop_bipartite(x: Tensor, size: Tensor, target: int) -> list[list[int]]:
    """Which tokens end up together, for one video (N, D), in the order of the tokens that come out."""
    unit = F.normalize(x, dim=-1)
    pairs = [(-float(unit[a] @ unit[b]), a, b) for a in range(0, len(x), 2) for b in range(1, len(x), 2)]
    partner: dict[int, int] = {}
    for _, a, b in sorted(pairs):
        if len(partner) < len(x) - target and a not in partner and b not in partner.values():
            partner[a] = b
    gone = set(partner.values())
    return [[i, partner[i]] if i in partner else [i] for i in range(len(x)) if i not in gone]


class LoopAttention(nn.Module):
    """Multi-head attention as the textbook has it."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.dropout = nn.Dropout(0.0)

    def forward(self, x: Tensor, y: Tensor, table: Tensor | None, bias: Tensor) -> Tensor:
        def heads(z: Tensor) -> Tensor:
            return z.view(*z.shape[:2], self.num_heads, -1).transpose(1, 2)  # (V, H, N, d)

        query, key, value = heads(self.query(x)), heads(self.key(y)), heads(self.value(y))
        logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        if table is not None:
            logits = logits * table
        probs = self.dropout((logits + bias[:, None, None]).softmax(-1))
        out: Tensor = (probs @ value).transpose(1, 2).flatten(2)
        return out


class LoopFeedForward(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.layer1, self.layer2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer2(self.dropout(F.relu(self.layer1(x))))
        return out


class LoopBlock(nn.Module):
    """One attention block; `inner` is the width of its feed-forward part."""

    def __init__(self, width: int, num_heads: int, inner: int) -> None:
        super().__init__()
        self.add_module("self", LoopAttention(width, num_heads))
        self.norm1, self.output, self.norm2 = nn.LayerNorm(width), LoopFeedForward(width, inner), nn.LayerNorm(width)
        self.dropout = nn.Dropout(0.0)

    def forward(self, x: Tensor, y: Tensor, table: Tensor | None, bias: Tensor) -> Tensor:
        u = self.norm1(x + self.dropout(self.get_submodule("self")(x, y, table, bias)))
        out: Tensor = self.norm2(u + self.dropout(self.output(u)))
        return out


class LoopMixture(nn.Module):
    """The Gaussian mixture block, one attention block after the other; its parameters have the authors' names."""

    def __init__(
        self, width: int, num_heads: int, length: int, tables: Sequence[Tensor], sft_factor: float, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.tables, self.sft_factor = tables, sft_factor
        self.blocks = [LoopBlock(width, num_heads, 4 * width) for _ in tables]
        for k, block in enumerate(self.blocks):
            self.add_module(f"attn{k}", block)
        self.ca = LoopBlock(width, num_heads, width)
        self.layer1, self.layer2 = nn.Linear(width, width), nn.Linear(width, length)
        self.dropout = nn.Dropout(0.0)
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout

    def forward(self, x: Tensor, token: Tensor, valid: Tensor, size: Tensor | None = None) -> Tensor:
        mask = torch.zeros(valid.shape, dtype=x.dtype).masked_fill(~valid, -10000.0)
        bias = mask if size is None else mask + size.log()
        n, outputs, logits = x.shape[1], [], []
        for block, table in zip(self.blocks, self.tables, strict=True):
            out = block(x, x, table[:n, :n].to(x.dtype), bias)
            read = self.ca(token.expand(len(x), 1, -1), out, None, mask)  # (V, 1, D)
            logits.append(self.layer2(self.dropout(F.relu(self.layer1(read))))[:, 0, :n])
            outputs.append(out)
        weights = (torch.stack(logits, dim=-1) / self.sft_factor).softmax(-1)  # (V, N, K)
        mixed = (torch.stack(outputs, dim=-1) * weights[:, :, None]).sum(-1)  # (V, N, D, K) copies
        return mixed * valid[..., None]
