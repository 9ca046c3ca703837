"""How sure a number is: bootstrap intervals over queries or videos, and paired tests between two runs.

Every figure here is conditional on the trained weights; what another seed would give is the spread over seeds, which
`report.table` shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import lgamma, log
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from prvr.core.errors import DataError
from prvr.evaluation.metrics import PLACES

Array = NDArray[np.float64]
Unit = Literal["query", "video"]

NAMES = (*(f"R@{place}" for place in PLACES), "SumR", "MedR", "MeanR", "mAP")
RESAMPLES = 2000
_CELLS = 1 << 21  # (resample, query) held at a time


class Interval(NamedTuple):
    """From the lower to the upper bound."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Percentile bootstrap: Q queries (or V videos with all their queries) drawn with replacement, again and again."""

    unit: Unit  # what was drawn; queries of one video are not independent, so videos are the honester choice
    level: float  # of confidence, 0.95
    resamples: int
    seed: int
    of: Mapping[str, Interval]  # by metric: R@1, R@5, R@10, R@100, SumR, MedR, MeanR, mAP


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The second run minus the first."""

    value: float
    low: float  # of the paired bootstrap
    high: float
    p_bootstrap: float  # twice the share of resamples on the rarer side of 0
    p_exact: float | None  # sign flips, all of them; None for MedR, MeanR and mAP


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs on the same queries.

    Bootstrap: both runs are read on the same draws, so what makes a query hard for both cancels. Exact: under the
    hypothesis that the two runs are exchangeable, each query's (video's) difference may as well have the other sign;
    p is the share of all sign patterns whose sum is at least as far from 0. For R@K over queries that is McNemar's
    exact test, for SumR the paired permutation test. Both are two-sided.
    """

    unit: Unit
    level: float
    resamples: int
    seed: int
    of: Mapping[str, Difference]


def bootstrap(
    ranks: Tensor,
    *,
    video_of_query: Tensor | None = None,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> Intervals:
    """ranks (Q,) from 1 -> intervals; with video_of_query (Q,), videos are drawn. Raises DataError of no query."""
    drawn = _draw([_numbers(ranks)], _codes(ranks, video_of_query), resamples, seed)[0]
    bounds = _bounds(drawn, level)
    return Intervals(
        unit="query" if video_of_query is None else "video",
        level=level,
        resamples=resamples,
        seed=seed,
        of={name: Interval(*bounds[:, place].tolist()) for place, name in enumerate(NAMES)},
    )


def compare(
    ours: Tensor,
    theirs: Tensor,
    *,
    video_of_query: Tensor | None = None,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Ranks of the same queries by two runs, (Q,) each -> theirs minus ours, with intervals and tests.

    With video_of_query (Q,) videos are drawn, and change their sign, whole. Raises DataError for runs of different
    length, or of no query.
    """
    if len(ours) != len(theirs):
        raise DataError(
            f"ranks of {len(ours)} and of {len(theirs)} queries cannot be paired; measure on the same split"
        )
    codes = _codes(ours, video_of_query)
    one, other = _numbers(ours), _numbers(theirs)
    drawn = _draw([one, other], codes, resamples, seed)
    samples = drawn[1] - drawn[0]
    ones = np.ones((1, len(one)))
    value = (_statistics(other, ones) - _statistics(one, ones))[0]
    bounds = _bounds(samples, level)
    rarer = np.minimum((samples <= 0).sum(0), (samples >= 0).sum(0))
    exact = _exact(one, other, codes)
    return Comparison(
        unit="query" if video_of_query is None else "video",
        level=level,
        resamples=resamples,
        seed=seed,
        of={
            name: Difference(
                value=float(value[i]),
                low=float(bounds[0, i]),
                high=float(bounds[1, i]),
                p_bootstrap=min(1.0, 2 * float(rarer[i] + 1) / (resamples + 1)),
                p_exact=exact.get(name),
            )
            for i, name in enumerate(NAMES)
        },
    )


def sign_flip_p(differences: NDArray[np.int64]) -> float:
    """Share of all 2^n sign patterns of n whole differences whose sum is at least as far from 0 as theirs.

    Exact, without drawing: n differences of one size m add m · (2 X - n) with X binomial, and the sizes' distributions
    are convolved. With differences of -1, 0 and 1 this is McNemar's exact (sign) test.
    """
    sizes, number = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    chances = np.ones(1)
    for size, many in sorted(zip(sizes.tolist(), number.tolist(), strict=True), key=lambda pair: pair[0] * pair[1]):
        ups = np.zeros(size * many + 1)
        ups[::size] = np.exp(
            [lgamma(many + 1) - lgamma(k + 1) - lgamma(many - k + 1) - many * log(2) for k in range(many + 1)]
        )
        chances = np.convolve(chances, ups)
    total = int((sizes * number).sum())
    sums = 2 * np.arange(total + 1) - total
    return min(1.0, float(chances[np.abs(sums) >= abs(int(differences.sum()))].sum()))


def _exact(one: NDArray[np.int64], other: NDArray[np.int64], codes: NDArray[np.int64]) -> dict[str, float]:
    gained = {f"R@{place}": (other <= place).astype(np.int64) - (one <= place) for place in PLACES}
    gained["SumR"] = sum(gained.values(), np.zeros_like(one))
    return {name: sign_flip_p(np.bincount(codes, weights=x).astype(np.int64)) for name, x in gained.items()}


def _draw(runs: Sequence[NDArray[np.int64]], codes: NDArray[np.int64], resamples: int, seed: int) -> list[Array]:
    """Ranks of the same queries by some runs, the unit of each query -> the metrics of every resample, (B, 8) each."""
    rng = np.random.default_rng(seed)
    units = int(codes.max()) + 1
    found: list[list[Array]] = [[] for _ in runs]
    for many in _pieces(resamples, len(codes)):
        drawn = rng.integers(units, size=(many, units)) + units * np.arange(many)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=many * units).reshape(many, units)[:, codes]  # (b, Q)
        for ranks, parts in zip(runs, found, strict=True):
            parts.append(_statistics(ranks, weights))
    return [np.concatenate(parts) for parts in found]


def _statistics(ranks: NDArray[np.int64], weights: NDArray[np.int64] | Array) -> Array:
    """ranks (Q,), how often each query counts (B, Q) -> the metrics in the order of NAMES, (B, 8)."""
    order = ranks.argsort(kind="stable")
    ranks, weights = ranks[order], weights[:, order]
    each = np.stack([*(100.0 * (ranks <= place) for place in PLACES), ranks, 100.0 / ranks], 1)
    upto = weights.cumsum(1)
    number = upto[:, -1:]
    means = weights @ each / number
    middle = [ranks[(upto <= at).sum(1)] for at in ((number - 1) // 2, number // 2)]
    sum_r = means[:, : len(PLACES)].sum(1)
    return np.column_stack([means[:, : len(PLACES)], sum_r, (middle[0] + middle[1]) / 2, means[:, -2:]])


def _bounds(samples: Array, level: float) -> Array:
    """(B, 8) -> (2, 8)."""
    bounds: Array = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return bounds


def _pieces(resamples: int, queries: int) -> Iterator[int]:
    each = max(1, _CELLS // queries)
    for at in range(0, resamples, each):
        yield min(each, resamples - at)


def _numbers(ranks: Tensor) -> NDArray[np.int64]:
    if not len(ranks):
        raise DataError("there is no query to draw; the split has no annotated videos")
    return ranks.cpu().numpy().astype(np.int64)


def _codes(ranks: Tensor, video_of_query: Tensor | None) -> NDArray[np.int64]:
    """What is drawn: the number of each query's unit, without gaps."""
    if video_of_query is None:
        return np.arange(len(ranks))
    codes: NDArray[np.int64] = np.unique(video_of_query.cpu().numpy(), return_inverse=True)[1]
    return codes
