"""What must not be seen, and order in time: both read from the scores of sentences at every instant of videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from prvr.core.ranking import Instants


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
