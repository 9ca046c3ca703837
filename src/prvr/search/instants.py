"""Scores of several sentences at every instant of several videos: what negatives and order in time are read from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from prvr.core.types import Bank, Span
from prvr.search.moments import covered

GRID_S = 0.5  # an instant


class Instants(NamedTuple):
    """S sentences over K videos of at most G instants."""

    values: Tensor  # (S, K, G) fused score, -inf past the end of a video
    ends: Tensor  # (K,) int64, instants of each video
    step_s: float


def instants(
    banks: Sequence[Bank],
    queries: Tensor,
    *,
    clip_weight: float,
    durations_s: Sequence[float],
    step_s: float = GRID_S,
) -> Instants:
    """Fused score of every instant, as `moments.relevance` defines it, read in the middle of each.

    queries (S, D) of unit length. A token that covers no middle counts at the instant it lies in; one that lasts to the
    end counts at the last instant, however short that is.
    """
    tokens, spans = torch.cat([bank.tokens for bank in banks]), torch.cat([bank.spans for bank in banks])
    sizes = torch.tensor([len(bank.tokens) for bank in banks])
    lengths = torch.tensor(durations_s, dtype=torch.float64)
    ends = (lengths / step_s).ceil().long().clamp(min=1)  # (K,)
    owner = torch.arange(len(banks)).repeat_interleave(sizes)  # (ΣN,)
    place = torch.arange(len(tokens)) - (sizes.cumsum(0) - sizes)[owner]
    branch = (place >= torch.tensor([bank.num_frames for bank in banks])[owner]).long()  # 1 = clip
    scores = queries.to(tokens.dtype) @ tokens.T  # (S, ΣN)
    first = (spans[:, 0] / step_s - 0.5).ceil().long().clamp(min=0)
    last = torch.minimum((spans[:, 1] / step_s - 0.5).ceil().long(), ends[owner])  # exclusive
    last = torch.where(spans[:, 1] >= lengths[owner] - 1e-3, ends[owner], last)  # the last instant may be short
    inside = (spans.mean(1) / step_s).long().clamp(min=0).minimum(ends[owner] - 1)
    first = torch.where(last > first, first, inside)
    length = (last - first).clamp(min=1)
    token, instant = map(torch.from_numpy, covered(first.numpy(), length.numpy()))
    num, size = len(banks), int(ends.max())
    row = owner * 2 + branch
    best = _amax(scores[:, token], row[token] * size + instant, 2 * num * size).view(-1, num, 2, size)
    lowest = -_amax(-scores, row, 2 * num).view(-1, num, 2, 1)  # where no token of a branch covers an instant
    best = torch.where(best.isinf(), lowest, best)
    frame, clip = best.unbind(2)
    values = frame if not clip_weight else clip if clip_weight == 1 else (1 - clip_weight) * frame + clip_weight * clip
    past = torch.arange(size) >= ends[:, None]  # (K, G)
    return Instants(values.masked_fill(past, -torch.inf), ends, step_s)


def without(wanted: Instants, unwanted: Instants, *, strength: float) -> Instants:
    """Evidence for what must not be seen takes from what is wanted at the same instant.

    wanted (S, K, G), unwanted (M, K, G) -> (S, K, G): each sentence minus `strength` times the most that any of the
    unwanted stands above its own usual height, the median over all instants of these K videos.
    """
    real = unwanted.values.isfinite()  # (M, K, G), the same for every m
    usual = unwanted.values[:, real[0]].median(1).values  # (M,)
    above = (unwanted.values - usual[:, None, None]).clamp(min=0).amax(0)  # (K, G)
    return wanted._replace(values=wanted.values - strength * above)


class Chain(NamedTuple):
    """The best way to see S steps one after another in each of K videos."""

    score: Tensor  # (K,) mean of the steps' scores; -inf where a video is too short for them
    places: Tensor  # (K, S) int64, the instant of each step


def in_order(steps: Instants, *, within_s: Sequence[float | None]) -> Chain:
    """S sentences -> for every video the instants t_1 < t_2 < ... with the greatest mean score.

    `within_s` (S-1) bounds the time from each step to the next. Dynamic programming, exact:
    best_1(t) = s_1(t); best_i(t) = s_i(t) + max over u with t - within <= u < t of best_{i-1}(u).
    """
    best, came = steps.values[0], []  # (K, G)
    for values, bound in zip(steps.values[1:], within_s, strict=True):
        before, where = _best_before(best, None if bound is None else max(1, int(bound / steps.step_s + 1e-6)))
        best = values + before
        came.append(where)
    score, place = best.max(1)
    places = [place]
    for where in reversed(came):
        places.append(where.gather(1, places[-1][:, None]).squeeze(1))
    return Chain(score / len(steps.values), torch.stack(places[::-1], 1))


def stretch(curve: Tensor, at: int, *, step_s: float, height: float = 0.5) -> Span:
    """The stretch around instant `at` of curve (G,) that stays above `height` of the way from its median to there."""
    floor = curve.median()
    low = (curve < floor + height * (curve[at] - floor)).nonzero().squeeze(1)
    before, after = low[low < at], low[low > at]
    start = int(before[-1]) + 1 if len(before) else 0
    end = int(after[0]) if len(after) else len(curve)
    return start * step_s, end * step_s


def _best_before(values: Tensor, window: int | None) -> tuple[Tensor, Tensor]:
    """values (K, G) -> the greatest of the `window` values before each place, and where it stands, (K, G) both."""
    first = values.new_full((len(values), 1), -torch.inf)
    if window is None or window >= values.shape[1]:
        best, where = values.cummax(1)
        nowhere = where.new_zeros(len(values), 1)
        return torch.cat([first, best[:, :-1]], 1), torch.cat([nowhere, where[:, :-1]], 1)
    padded = torch.cat([first.expand(-1, window), values[:, :-1]], 1)  # (K, G-1+window)
    best, where = torch.nn.functional.max_pool1d(
        padded[:, None].clamp(min=torch.finfo(values.dtype).min), window, stride=1, return_indices=True
    )
    best, where = best[:, 0], (where[:, 0] - window).clamp(min=0)
    return best.masked_fill(best <= torch.finfo(values.dtype).min, -torch.inf), where


def _amax(values: Tensor, index: Tensor, size: int) -> Tensor:
    """values (S, P), index (P,) -> (S, size): the greatest value of each place, -inf where there is none."""
    return values.new_full((len(values), size), -torch.inf).scatter_reduce(
        1, index.expand(len(values), -1), values, "amax"
    )
