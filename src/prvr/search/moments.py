"""From the scores of tokens to the moments in their videos: all videos of an answer at once, however long each is.

Arrays hold one video after the other. One by one, twenty videos take five times as long, most of it the overhead of
small operations (benchmarks/answers.py); tests/search/slow.py has that loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prvr.core.types import Candidate, Span

Array: TypeAlias = NDArray[Any]


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


def on_grid(values: Sequence[Tensor], *, steps_s: Sequence[float]) -> Curves:
    """Scores of every instant of each video, (G,), and how long an instant of it lasts."""
    sizes = np.array([len(one) for one in values])
    ends = [np.arange(1, len(one) + 1) * step_s for one, step_s in zip(values, steps_s, strict=True)]
    return Curves(np.concatenate(ends).astype(np.float32), torch.cat(list(values)).float().numpy(), sizes)


def relevance(candidates: Sequence[Candidate], *, clip_weight: float, durations_s: Sequence[float]) -> Curves:
    """Fused score of every instant: the best frame token and the best clip token that cover it, weighted.

    Token spans may overlap (several positions of a short video show the same frame). An instant that no token of a
    branch covers takes that branch's lowest score.
    """
    num, length = len(candidates), np.array(durations_s, dtype=np.float32)
    tokens = np.array([len(one.token_scores) for one in candidates])
    frames = np.array([one.bank.num_frames for one in candidates])
    video = np.arange(num).repeat(tokens)  # (ΣN,)
    scores = torch.cat([one.token_scores for one in candidates]).float().numpy()
    spans = torch.cat([one.bank.spans for one in candidates]).float().numpy().clip(0, length[video, None])
    bounds = np.concatenate([spans[:, 0], spans[:, 1], np.zeros_like(length), length])
    owner = np.concatenate([video, video, np.arange(num), np.arange(num)])
    order = by_video(owner, bounds)
    bounds, owner = bounds[order], owner[order]
    new = np.append(True, (bounds[1:] != bounds[:-1]) | (owner[1:] != owner[:-1]))  # edges, each once
    place = np.empty_like(order)
    place[order] = new.cumsum() - 1 - owner  # the interval that a bound begins; there is an edge more a video
    inside = new & (bounds > 0)
    ends, sizes = bounds[inside], np.bincount(owner[inside], minlength=num)
    first, last = place[: len(video)], place[len(video) : 2 * len(video)]
    token, interval = covered(first, last - first)
    clip = np.arange(len(video)) >= (tokens.cumsum() - tokens + frames)[video]
    best = np.full((len(ends), 2), -np.inf, dtype=np.float32)
    np.maximum.at(best.reshape(-1), 2 * interval + clip[token], scores[token])
    lowest = np.full(2 * num, np.inf, dtype=np.float32)
    np.minimum.at(lowest, 2 * video + clip, scores)
    lowest[np.isinf(lowest)] = 0  # a branch without tokens adds nothing
    best = np.where(np.isinf(best), lowest.reshape(num, 2).repeat(sizes, 0), best)
    return Curves(ends, (1 - clip_weight) * best[:, 0] + clip_weight * best[:, 1], sizes)


def covered(first: Array, length: Array) -> tuple[Array, Array]:
    """Pairs (token, place) of N tokens that cover `length` (N,) places from `first` (N,) on -> (P,) each."""
    token = np.arange(len(first)).repeat(length)
    return token, first[token] + np.arange(len(token)) - (length.cumsum() - length)[token]


def by_video(video: Array, values: Array) -> Array:
    """The stable order by video, then by value: video (n,) int64, values (n,) float32 -> (n,) int64.

    As one integer, the bits of a float below its video; an eighth of the time of `lexsort`.
    """
    bits = (values + 0.0).view(np.int32)  # -0.0 is 0.0
    return ((video << 32) + (bits ^ (bits >> 31 & 0x7FFFFFFF))).argsort(kind="stable")


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


def moments(curves: Curves, *, most: int = 3, height: float = 0.5) -> list[tuple[Span, ...]]:
    """The stretches where a curve stands above `height` of the way from its median to its peak, best peak first.

    They never overlap and lie inside the video. A flat curve is one moment, the whole video.
    """
    starts, video, first, values = curves.starts, curves.video, curves.first, curves.values
    middle, peak = _median(curves), np.maximum.reduceat(values, first)
    above = values >= (middle + height * (peak - middle))[video]
    beside = video[1:] == video[:-1]
    rises, falls = above.copy(), above.copy()
    rises[1:] &= ~(above[:-1] & beside)
    falls[:-1] &= ~(above[1:] & beside)
    spans = np.stack([starts[rises], curves.ends[falls]], 1)
    best = np.maximum.reduceat(np.where(above, values, -np.inf).astype(np.float32), rises.nonzero()[0])
    order = by_video(video[rises], -best)
    number = np.bincount(video[rises], minlength=len(first))
    rank = np.arange(len(order)) - (number.cumsum() - number).repeat(number)
    found = spans[order[rank < most]].tolist()
    return _parted([(start, end) for start, end in found], np.minimum(number, most))


def _median(curves: Curves) -> Array:
    """(V,) the median of each curve over time, not over tokens."""
    video, first = curves.video, curves.first
    length = (curves.ends - curves.starts).astype(np.float32)
    order = by_video(video, curves.values)
    upto = length[order].cumsum(dtype=np.float64)
    before = np.append(0.0, upto)[first]
    half = (upto[first + curves.sizes - 1] - before).astype(np.float32) / 2
    # Single precision from here on: the half of many equal lengths is met exactly, whatever was rounded on the way.
    short = (upto - before[video]).astype(np.float32) < half[video]
    at = np.minimum(np.add.reduceat(short, first, dtype=np.int64), curves.sizes - 1)
    return np.asarray(curves.values[order][first + at])


def _parted(items: list[Any], sizes: Array) -> list[tuple[Any, ...]]:
    """Items of one video after the other -> those of each."""
    return [tuple(items[start:end]) for start, end in pairwise([0, *sizes.cumsum().tolist()])]
