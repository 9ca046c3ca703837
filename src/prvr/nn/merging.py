"""Tokens that say the same become one: neighbours by order-preserving merging, clips by bipartite merging.

Ties are broken everywhere by the lowest index, on every device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Merged(NamedTuple):
    """Tokens after merging, and where the ones before went."""

    tokens: Tensor  # (V, M, D) size-weighted means
    size: Tensor  # (V, M) float, how many of the first tokens each holds
    slot: Tensor  # (V, N) int64, the token that each of the first ones went to


def merge_neighbours(x: Tensor, size: Tensor, drop: int, *, metric: Tensor) -> Merged:
    """Fuse the `drop` most alike of the pairs (0,1), (2,3), ... of each video; time order is kept.

    x (V, N, D) with N even, size (V, N), metric (V, N, M): alike is a high dot product of its rows.
    """
    left, right = torch.unflatten(metric, 1, (-1, 2)).unbind(2)  # (V, N/2, M) each
    alike = (left * right).sum(-1)
    order = alike.argsort(dim=1, descending=True, stable=True).argsort(1)  # (V, N/2), 0 = most alike
    opens = torch.stack([torch.ones_like(order), (order >= drop).long()], 2)  # (V, N/2, 2), 1 = starts a slot
    return fuse(x, size, opens.flatten(1).cumsum(1) - 1, x.shape[1] - drop)


def merge_ladder(x: Tensor, schedule: Sequence[int]) -> Merged:
    """Merge neighbours step by step until `schedule[-1]` tokens are left, by raw dot products of the tokens themselves.

    x (V, N, D), sizes start at 1. The published ladder is 128 -> 80 -> 52 -> 32, on features that are not normalised,
    so that of two equally similar pairs the longer vectors merge.
    """
    merged = Merged(x, x.new_ones(x.shape[:2]), torch.arange(x.shape[1], device=x.device).expand(x.shape[:2]))
    for target in schedule:
        step = merge_neighbours(merged.tokens, merged.size, merged.tokens.shape[1] - target, metric=merged.tokens)
        merged = Merged(step.tokens, step.size, step.slot.gather(1, merged.slot))
    return merged


def fuse(x: Tensor, size: Tensor, slot: Tensor, num_slots: int) -> Merged:
    """Size-weighted mean of all tokens that share a slot: x (V, N, D), size (V, N), slot (V, N) of 0..num_slots-1."""
    total = x.new_zeros(len(x), num_slots).scatter_add(1, slot, size)
    summed = x.new_zeros(len(x), num_slots, x.shape[2])
    summed.scatter_add_(1, slot[..., None].expand_as(x), x * size[..., None])
    return Merged(summed / total[..., None], total, slot)


def direct_share(clips: Tensor, threshold: float) -> Tensor:
    """The share of ordered pairs of clips with a cosine above the threshold: clips (V, C, E) -> (V,)."""
    return _share_of_pairs(_alike(clips, threshold))


def connected_share(clips: Tensor, threshold: float) -> Tensor:
    """ω: the share of ordered pairs of clips joined by a chain of clips with cosines above the threshold.

    clips (V, C, E) -> (V,), 0 where there is one clip.
    """
    reach = _alike(clips, threshold)
    for _ in range(math.ceil(math.log2(max(clips.shape[1], 2)))):  # each squaring doubles the length of the chains
        reach = (reach.to(clips.dtype) @ reach.to(clips.dtype)) > 0
    return _share_of_pairs(reach)


def level_of(omega: Tensor, levels: Sequence[int]) -> Tensor:
    """How many segments a video is cut into: with K levels, one level further each time ω passes 1/K, 2/K, ...

    omega (V,) -> (V,) int64, one of `levels`.
    """
    steps = torch.arange(1, len(levels), device=omega.device) / len(levels)
    return torch.tensor(levels, device=omega.device)[(omega[:, None] >= steps.to(omega.dtype)).sum(1)]


def merge_bipartite(x: Tensor, size: Tensor, target: int) -> Merged:
    """Fuse even tokens with odd ones, most alike first and each at most once, until `target` are left.

    x (V, N, D), size (V, N); alike is a high cosine. The mean stands at the even token's place.
    """
    v, n, _ = x.shape
    unit = F.normalize(x, dim=-1)
    alike = unit[:, 0::2] @ unit[:, 1::2].mT  # (V, A, B)
    num_odd = alike.shape[2]
    goes_to = torch.arange(n, device=x.device).repeat(v, 1)
    rows = torch.arange(v, device=x.device)
    for _ in range(n - target):
        best = alike.flatten(1).argmax(1)  # the first of equals: lowest even token, then lowest odd one
        even, odd = best // num_odd, best % num_odd
        goes_to[rows, 2 * odd + 1] = 2 * even
        alike[rows, even] = -torch.inf
        alike[rows, :, odd] = -torch.inf
    stays = goes_to == torch.arange(n, device=x.device)
    return fuse(x, size, (stays.cumsum(1) - 1).gather(1, goes_to), target)


def segment_clips(clips: Tensor, size: Tensor, num_segments: Tensor, levels: Sequence[int]) -> Tensor:
    """Which segment each clip belongs to when a video's clips are merged down to its own level.

    clips (V, C, E) frozen features with C = levels[0], size (V, C), num_segments (V,) one of `levels`
    -> (V, C) int64 in 0..num_segments-1.
    """
    x, total = clips, size
    segment = reached = torch.arange(clips.shape[1], device=clips.device).repeat(len(clips), 1)
    for target in levels[1:]:
        x, total, slot = merge_bipartite(x, total, target)
        reached = slot.gather(1, reached)
        segment = torch.where(num_segments[:, None] <= target, reached, segment)
    return segment


def _alike(clips: Tensor, threshold: float) -> Tensor:
    """(V, C, E) -> (V, C, C) bool; each clip is like itself."""
    unit = F.normalize(clips, dim=-1)
    return (unit @ unit.mT > threshold) | torch.eye(clips.shape[1], dtype=torch.bool, device=clips.device)


def _share_of_pairs(joined: Tensor) -> Tensor:
    """(V, C, C) bool, True on the diagonal -> (V,) over the others, 0 where there are none."""
    c = joined.shape[1]
    return (joined.sum((1, 2)) - c) / max(c * (c - 1), 1)
