"""Tokens that say the same become one: neighbours by order-preserving merging, clips by bipartite merging.

Ties are broken everywhere by the lowest index, on every device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Alike = Literal["dot", "cosine"]
"""What makes neighbours alike: their dot product, which favours long vectors, or its cosine."""

Pairing = Literal["one_to_one", "many_to_one"]
"""How even tokens find odd ones: each at most once, or (ToMe) every even one its best, so that several may share it."""

LevelRule = Literal["monotone", "text_literal", "alg3_literal"]
"""How ω chooses a level, see `level_of`."""


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


def merge_ladder(x: Tensor, schedule: Sequence[int], *, alike: Alike = "dot") -> Merged:
    """Merge neighbours step by step until `schedule[-1]` tokens are left.

    x (V, N, D), sizes start at 1. The published ladder is 128 -> 80 -> 52 -> 32, by raw dot products of features that
    are not normalised, so that of two equally similar pairs the longer vectors merge; the paper's text has cosines.
    """
    merged = Merged(x, x.new_ones(x.shape[:2]), torch.arange(x.shape[1], device=x.device).expand(x.shape[:2]))
    for target in schedule:
        metric = F.normalize(merged.tokens, dim=-1) if alike == "cosine" else merged.tokens
        step = merge_neighbours(merged.tokens, merged.size, merged.tokens.shape[1] - target, metric=metric)
        merged = Merged(step.tokens, step.size, step.slot.gather(1, merged.slot))
    return merged


def merge_steps(start: int, stop: int, rate: float) -> tuple[int, ...]:
    """Tokens left after each step that merges `rate` percent of all pairs, until `stop` (paper, Eq. 9 and Alg. 2).

    128 to 32 at 75 % -> (80, 50, 32); 32 to 5 -> (20, 12, 8, 6, 5). Ends early where a step would change nothing.
    """
    steps: list[int] = []
    while start > stop:
        left = start - Fraction(start, 2) * Fraction(rate) / 100 + 1
        after = max(2 * (left // 2), stop)
        if after >= start:
            break
        steps.append(start := after)
    return tuple(steps)


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


def level_of(omega: Tensor, levels: Sequence[int], *, rule: LevelRule = "monotone") -> Tensor:
    """How many segments a video is cut into, by ω and the K levels: omega (V,) -> (V,) int64, one of `levels`.

    `monotone`, as released: one level further each time ω reaches 1/K, 2/K, ... The paper says two other things, and
    both contradict its own account that alike clips merge: `text_literal`, the smallest k with ω > (K-k)/K, merges most
    where clips differ and nothing where all are alike; `alg3_literal` (Alg. 3) takes at most one step, above (K-1)/K.
    """
    count = len(levels)
    k = torch.arange(1, count + 1, device=omega.device)
    if rule == "monotone":
        chosen = (omega[:, None] >= (k[:-1] / count).to(omega.dtype)).sum(1)
    else:
        passed = (omega[:, None] > ((count - k) / count).to(omega.dtype)).long()  # (V, K), from some k on
        chosen = passed.argmax(1) if rule == "text_literal" else passed[:, 0].clamp(max=count - 1)
    return torch.tensor(levels, device=omega.device)[chosen]


def merge_bipartite(x: Tensor, size: Tensor, target: int, *, pairing: Pairing = "one_to_one") -> Merged:
    """Fuse even tokens with odd ones, most alike first, until `target` are left.

    x (V, N, D), size (V, N); alike is a high cosine. `one_to_one`, as released: each at most once, and the mean stands
    at the even token's place. `many_to_one` (ToMe): even tokens join the odd one they are most like, at its place.
    """
    v, n, _ = x.shape
    unit = F.normalize(x, dim=-1)
    alike = unit[:, 0::2] @ unit[:, 1::2].mT  # (V, A, B)
    places = torch.arange(n, device=x.device)
    goes_to = places.repeat(v, 1)
    if pairing == "one_to_one":
        _pair_once(alike, goes_to, n - target)
    else:
        best, partner = alike.max(2)  # (V, A)
        joins = best.argsort(dim=1, descending=True, stable=True)[:, : n - target]  # (V, drop)
        goes_to.scatter_(1, 2 * joins, 2 * partner.gather(1, joins) + 1)
    stays = goes_to == places
    return fuse(x, size, (stays.cumsum(1) - 1).gather(1, goes_to), target)


def _pair_once(alike: Tensor, goes_to: Tensor, pairs: int) -> None:
    """Send odd tokens to even ones, the most alike free pair first.

    alike (V, A, B) is used up, goes_to (V, N) is changed where a token moves.
    """
    num_odd, rows = alike.shape[2], torch.arange(len(alike), device=alike.device)
    for _ in range(pairs):
        best = alike.flatten(1).argmax(1)  # the first of equals: lowest even token, then lowest odd one
        even, odd = best // num_odd, best % num_odd
        goes_to[rows, 2 * odd + 1] = 2 * even
        alike[rows, even] = -torch.inf
        alike[rows, :, odd] = -torch.inf


def segment_clips(
    clips: Tensor, size: Tensor, num_segments: Tensor, levels: Sequence[int], *, pairing: Pairing = "one_to_one"
) -> Tensor:
    """Which segment each clip belongs to when a video's clips are merged down to its own level.

    clips (V, C, E) what decides which are alike, C = levels[0]; size (V, C); num_segments (V,) one of `levels`
    -> (V, C) int64 in 0..num_segments-1.
    """
    x, total = clips, size
    segment = reached = torch.arange(clips.shape[1], device=clips.device).repeat(len(clips), 1)
    for target in levels[1:]:
        x, total, slot = merge_bipartite(x, total, target, pairing=pairing)
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
