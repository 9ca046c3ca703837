"""The one way from the scores of tokens to ranked videos and to the moments in them: index, search and reports take it.

Tokens of V videos lie end to end, ΣN in all, however many each has: its frames, then its clips. Nothing here goes
through videos or queries one by one, which takes five times as long for the twenty videos of an answer
(benchmarks/answers.py); tests/core/slow.py has that loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Self, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from prvr.core.types import Bank, BranchScores, Candidate, Span

Array: TypeAlias = NDArray[Any]

PRODUCTS = 1 << 24
"""How many products of a query and a token are held at a time by default: 64 MiB."""
GRID_S = 0.5  # an instant


def sizes_of(banks: Sequence[Bank]) -> Array:
    """How many frames and how many clips each of V banks has -> (V, 2) int64."""
    sizes = [(bank.num_frames, len(bank.tokens) - bank.num_frames) for bank in banks]
    return np.array(sizes, np.int64).reshape(-1, 2)


def best_of_branches(cosines: Tensor, sizes: Array) -> BranchScores:
    """cosines (B, ΣN) on the CPU, sizes (V, 2) -> the best of every video's frames and of its clips, (B, V) each.

    A video without tokens of a branch has -inf there.
    """
    best = torch.from_numpy(_highest(cosines.contiguous().numpy(), sizes)).view(len(cosines), -1, 2)
    return BranchScores(frame=best[..., 0], clip=best[..., 1])


def score_banks(banks: Sequence[Bank], queries: Tensor, *, clip_weight: float) -> Tensor:
    """queries (B, D) of unit length -> (B, len(banks)), the fused score of each video."""
    tokens = torch.cat([bank.tokens for bank in banks]).float()
    return best_of_branches(queries @ tokens.T, sizes_of(banks)).fused(clip_weight)


def score_bank(video_id: str, bank: Bank, query: Tensor, *, clip_weight: float) -> Candidate:
    """query (D,) of unit length -> one video, scored."""
    cosines = bank.tokens @ query  # (N,)
    score = best_of_branches(cosines[None], sizes_of([bank])).fused(clip_weight)
    return Candidate(video_id, float(score), cosines, bank)


@torch.no_grad()
def highest_cosines(queries: Tensor, tokens: Tensor, valid: Tensor, *, products: int = PRODUCTS) -> Tensor:
    """queries (Q, D), tokens (V, N, D), of any length, valid (V, N) -> the best token's cosine, (Q, V).

    The same with videos padded to one length, on any device; -inf for a video without a valid token. Columns in which
    every token is zero cost nothing: a model may keep two branches side by side, each with zeros in the other's place.
    """
    queries, tokens = (functional.normalize(x, dim=-1, eps=1e-12) for x in (queries, tokens))
    read = tokens.flatten(0, 1).any(0)
    if not read.all():
        queries, tokens = queries[:, read], tokens[..., read]
    return highest_products(queries, tokens, valid, products=products)


@torch.no_grad()
def highest_products(queries: Tensor, tokens: Tensor, valid: Tensor, *, products: int = PRODUCTS) -> Tensor:
    """The same with dot products: queries (Q, D), tokens (V, N, D), valid (V, N) -> (Q, V).

    At most `products` of them, or those of one query, are held at a time. Training needs gradients and winners too:
    `parts.scoring.best_token`, which takes longer.
    """
    best = tokens.new_full((len(queries), len(tokens)), -torch.inf)
    if not valid.numel():
        return best
    flat, every = tokens.flatten(0, 1), bool(valid.all())  # (VN, D)
    at_a_time = max(1, products // valid.numel())
    for at in range(0, len(queries), at_a_time):
        found = (queries[at : at + at_a_time] @ flat.T).view(-1, *valid.shape)
        best[at : at + at_a_time] = (found if every else found.masked_fill_(~valid, -torch.inf)).amax(2)
    return best


class TokenScores(NamedTuple):
    """What relevance over time is read from: one query a video, or the same video again for another."""

    scores: Array  # (ΣN,) float32, cosine with the query
    spans: Array  # (ΣN, 2) float32, seconds
    sizes: Array  # (V, 2) int64, frames and clips of each video

    @classmethod
    def of(cls, candidates: Sequence[Candidate]) -> Self:
        """Those of the videos of an answer."""
        scores = torch.cat([one.token_scores for one in candidates]).float().numpy()
        spans = torch.cat([one.bank.spans for one in candidates]).float().numpy()
        return cls(scores, spans, sizes_of([one.bank for one in candidates]))


class Curves(NamedTuple):
    """Relevance of V videos over time, M intervals in all; the first of each video begins at 0 s."""

    ends: Array  # (M,) float32, seconds, increasing in each video
    values: Array  # (M,) float32, fused score until there
    sizes: Array  # (V,) int64, intervals of each video, one at least

    @property
    def first(self) -> Array:
        """(V,) the first interval of each video."""
        return np.asarray(self.sizes.cumsum() - self.sizes)

    @property
    def video(self) -> Array:
        """(M,) which video an interval belongs to."""
        return np.arange(len(self.sizes)).repeat(self.sizes)

    @property
    def starts(self) -> Array:
        """(M,) seconds."""
        starts = np.roll(self.ends, 1)
        starts[self.first] = 0
        return starts


def relevance(tokens: TokenScores, *, clip_weight: float, durations_s: Sequence[float] | Array) -> Curves:
    """Fused score of every moment of V videos: the best frame and the best clip that cover it, weighted.

    Spans may overlap (several positions of a short video show the same frame). Where no token of a branch covers a
    moment, that branch's lowest score counts.
    """
    num, length, size = len(durations_s), np.array(durations_s, dtype=np.float32), tokens.sizes.sum(1)
    video = np.arange(num).repeat(size)  # (ΣN,)
    spans = tokens.spans.clip(0, length[video, None])
    bounds = np.concatenate([spans[:, 0], spans[:, 1], np.zeros_like(length), length])
    owner = np.concatenate([video, video, np.arange(num), np.arange(num)])
    order = _by_video(owner, bounds)
    bounds, owner = bounds[order], owner[order]
    new = np.append(True, (bounds[1:] != bounds[:-1]) | (owner[1:] != owner[:-1]))  # edges, each once
    upto, place = new.cumsum(), np.empty_like(order)
    place[order] = upto - 1 - owner  # the interval that a bound begins; there is an edge more a video
    number = np.diff(upto[(2 * size + 2).cumsum() - 1], prepend=0) - 1
    first, last = place[: len(video)], place[len(video) : 2 * len(video)]
    values = _over_places(tokens.scores[None], tokens.sizes, first, last - first, number, clip_weight)
    return Curves(bounds[new & (bounds > 0)], values[0], number)


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
    """Fused score of every instant, as `relevance` defines it, read in the middle of each.

    queries (S, D) of unit length. A token that covers no middle counts at the instant it lies in; one that lasts to the
    end counts at the last instant, however short that is.
    """
    tokens, spans = torch.cat([bank.tokens for bank in banks]), torch.cat([bank.spans for bank in banks]).numpy()
    sizes, lengths = sizes_of(banks), np.array(durations_s)
    ends = np.ceil(lengths / step_s).astype(np.int64).clip(1)  # (K,)
    owner, size = np.arange(len(banks)).repeat(sizes.sum(1)), int(ends.max())
    first, last = np.ceil(spans / step_s - 0.5).astype(np.int64).T  # (ΣN,) each, the last one exclusive
    first, last = first.clip(0), np.minimum(last, ends[owner])
    last = np.where(spans[:, 1] >= lengths[owner] - 1e-3, ends[owner], last)  # the last instant may be short
    inside = np.minimum((spans.mean(1) / step_s).astype(np.int64).clip(0), ends[owner] - 1)
    first = np.where(last > first, first, inside)
    scores = (queries.to(tokens.dtype) @ tokens.T).numpy()  # (S, ΣN)
    every = np.full_like(ends, size)  # videos padded to one length, which order in time is read from
    found = _over_places(scores, sizes, owner * size + first, (last - first).clip(1), every, clip_weight)
    values = torch.from_numpy(found).view(len(scores), len(ends), size)
    past = torch.from_numpy(np.arange(size) >= ends[:, None])  # (K, G)
    return Instants(values.masked_fill(past, -torch.inf), torch.from_numpy(ends), step_s)


def on_grid(values: Sequence[Tensor], *, steps_s: Sequence[float]) -> Curves:
    """Scores of every instant of each video, (G,), and how long an instant of it lasts."""
    sizes = np.array([len(one) for one in values])
    ends = [np.arange(1, len(one) + 1) * step_s for one, step_s in zip(values, steps_s, strict=True)]
    return Curves(np.concatenate(ends).astype(np.float32), torch.cat(list(values)).float().numpy(), sizes)


def per_second(curves: Curves) -> list[tuple[float, ...]]:
    """The mean of each curve over every second of its video; the last one may be short."""
    length = curves.ends.astype(np.float64) - curves.starts
    area = np.append(0.0, (curves.values * length).cumsum())  # the curves as one, a video after the other
    duration = curves.ends[curves.first + curves.sizes - 1].astype(np.float64)
    began = duration.cumsum() - duration
    seconds = np.ceil(duration).astype(np.int64)
    video = np.arange(len(seconds)).repeat(seconds)
    second = np.arange(1, len(video) + 1) - (seconds.cumsum() - seconds)[video]
    times = np.append(0.0, began[video] + np.minimum(second, duration[video]))
    means = np.diff(np.interp(times, np.append(0.0, length.cumsum()), area)) / np.diff(times)
    return _parted(means.tolist(), seconds)


class Stretches(NamedTuple):
    """Moments of V videos, those of one after those of the other, best first in each."""

    spans: Array  # (K, 2) float32, seconds
    peaks: Array  # (K,) float32, the highest value of each
    sizes: Array  # (V,) int64, moments of each video, one at least

    def each(self) -> list[tuple[Span, ...]]:
        """The moments of every video."""
        return _parted([(start, end) for start, end in self.spans.tolist()], self.sizes)


def moments(curves: Curves, *, most: int = 3, height: float = 0.5) -> Stretches:
    """The stretches where a curve stands above `height` of the way from its median to its peak, best peak first.

    They never overlap and lie inside the video. A flat curve is one moment, the whole video.
    """
    above = _above(curves, np.maximum.reduceat(curves.values, curves.first), height)
    rises, spans = _runs(curves, above)
    video = curves.video[rises]
    peaks = np.maximum.reduceat(np.where(above, curves.values, -np.inf).astype(np.float32), rises)
    order = _by_video(video, -peaks)
    number = np.bincount(video, minlength=len(curves.sizes))
    rank = np.arange(len(order)) - (number.cumsum() - number).repeat(number)
    kept = order[rank < most]
    return Stretches(spans[kept], peaks[kept], np.minimum(number, most))


def around(curves: Curves, at: Array, *, height: float = 0.5) -> Array:
    """The stretch of each curve around its interval `at` (V,), above `height` of the way from its median to there.

    -> (V, 2) seconds.
    """
    here = curves.first + at
    above = _above(curves, curves.values[here], height)
    above[here] = True  # below the median too
    rises, spans = _runs(curves, above)
    return np.asarray(spans[np.searchsorted(rises, here, side="right") - 1])


def _highest(scores: Array, sizes: Array) -> Array:
    """scores (B, ΣN), sizes (V, 2) -> (B, 2V): the highest of every branch of every video, -inf without tokens."""
    counts = sizes.reshape(-1)
    there = counts > 0
    best = np.full((len(scores), len(counts)), -np.inf, scores.dtype)
    best[:, there] = np.maximum.reduceat(scores, (counts.cumsum() - counts)[there], axis=1)
    return best


def _over_places(scores: Array, sizes: Array, first: Array, length: Array, number: Array, clip_weight: float) -> Array:
    """scores (S, ΣN) of tokens that cover `length` (ΣN,) places from `first` (ΣN,) on -> (S, M), the fused score.

    sizes (V, 2) of the tokens, number (V,) of the places, M in all. Where no token of a branch is, its lowest score
    counts; a branch without tokens adds nothing.
    """
    num, upto = int(number.sum()), length.cumsum()
    offset = np.tile([0, num], len(sizes)).repeat(sizes.reshape(-1))  # (ΣN,) the frames of all places, then their clips
    place = np.arange(upto[-1]) + (offset + first + length - upto).repeat(length)  # (P,) every place of every token
    place = place + np.arange(len(scores))[:, None] * (2 * num)  # (S, P)
    best = np.full((len(scores), 2, num), -np.inf, scores.dtype)
    np.maximum.at(best.reshape(-1), place.reshape(-1), scores.repeat(length, 1).reshape(-1))
    bare = np.isinf(best)
    if bare.any():
        lowest = -_highest(-scores, sizes).reshape(len(scores), -1, 2).transpose(0, 2, 1)  # (S, 2, V)
        best[bare] = np.where(np.isinf(lowest), 0, lowest).repeat(number, 2)[bare]
    frame, clip = cast(Iterable[Tensor], best.swapaxes(0, 1))  # arrays are weighted like tensors, and sooner
    return np.asarray(BranchScores(frame, clip).fused(clip_weight))


def _by_video(video: Array, values: Array) -> Array:
    """The stable order by video, then by value: video (n,) int64, values (n,) float32 -> (n,) int64.

    As one integer, the bits of a float below its video; an eighth of the time of `lexsort`.
    """
    bits = (values + 0.0).view(np.int32)  # -0.0 is 0.0
    return ((video << 32) + (bits ^ (bits >> 31 & 0x7FFFFFFF))).argsort(kind="stable")


def _above(curves: Curves, peak: Array, height: float) -> Array:
    """peak (V,) -> (M,) whether a curve stands above `height` of the way from its median to there."""
    middle = _median(curves)
    return np.asarray(curves.values >= (middle + height * (peak - middle))[curves.video])


def _runs(curves: Curves, above: Array) -> tuple[Array, Array]:
    """above (M,) -> the first interval of every stretch of it, (K,), and its seconds, (K, 2)."""
    beside = curves.video[1:] == curves.video[:-1]
    rises, falls = above.copy(), above.copy()
    rises[1:] &= ~(above[:-1] & beside)
    falls[:-1] &= ~(above[1:] & beside)
    return rises.nonzero()[0], np.stack([curves.starts[rises], curves.ends[falls]], 1)


def _median(curves: Curves) -> Array:
    """(V,) the median of each curve over time, not over tokens."""
    video, first = curves.video, curves.first
    length = (curves.ends - curves.starts).astype(np.float32)
    order = _by_video(video, curves.values)
    upto = length[order].cumsum(dtype=np.float64)
    before = np.append(0.0, upto)[first]
    half = (upto[first + curves.sizes - 1] - before).astype(np.float32) / 2
    # Single precision from here on: the half of many equal lengths is met exactly, whatever was rounded on the way.
    short = (upto - before.repeat(curves.sizes)).astype(np.float32) < half.repeat(curves.sizes)
    at = np.minimum(np.add.reduceat(short, first, dtype=np.int64), curves.sizes - 1)
    return np.asarray(curves.values[order][first + at])


def _parted(items: list[Any], sizes: Array) -> list[tuple[Any, ...]]:
    """Items of one video after the other -> those of each."""
    return [tuple(items[start:end]) for start, end in pairwise([0, *sizes.cumsum().tolist()])]
