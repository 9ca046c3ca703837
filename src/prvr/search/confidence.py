"""How sure an answer is, without labels: a score beside the scores of sentences that have no target here.

A cosine alone says little: general sentences score higher with everything, short ones otherwise than long ones, the
best of many videos is higher than the best of few, and every encoder has a scale of its own. So a score is compared
with the best scores of background sentences of the same kind (`Null`): p is the share of them that does at least as
well, below 2 % the tail of a generalised Pareto distribution fitted to the highest tenth of them.

Of two banks of background sentences the foreign one, about other topics, gives p_topic, and the home one, about the
library's own topics with the described video left out, gives p_instance. benchmarks/confidence.py measures all of it.

Nothing is taken off the score of a video for what it scores with the background: wherever it was measured that ranked
worse than the bare score, and trained models suffered most (benchmarks/bias.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from prvr.core.types import Hit

CONFIDENT, RELATED, NOTHING, UNCALIBRATED = "confident", "related", "nothing found", "not calibrated"
LABELS = (CONFIDENT, RELATED, NOTHING, UNCALIBRATED)

LEVEL = 0.05  # p up to which a hit stands out
FEWEST_SENTENCES = 100  # of a bank; below, nothing is said
FEWEST_VIDEOS = 30  # of a library
FEWEST_FOR_TAIL = 300  # sentences that a tail can be fitted to
TAIL = 0.1  # share of a bank that the tail is fitted to
SLACK = 1e-3  # the sentences are kept in half precision: what is as close as that is equal
BELOW = 0.02  # p below which the tail is read instead of counting


class Tail(NamedTuple):
    """A generalised Pareto distribution of what stands above a height."""

    above: float
    shape: float  # xi
    scale: float  # sigma

    @classmethod
    def of(cls, values: Tensor) -> Self:
        """values (B,) ascending. Probability-weighted moments of the excesses over the 90 % quantile."""
        above = torch.quantile(values, 1 - TAIL)
        excess = values[values > above] - above
        if len(excess) < 2 or float(excess.max()) <= 0:
            return cls(float(above), 0.0, 1e-12)
        place = torch.arange(len(excess), 0, -1, dtype=excess.dtype) - 1  # how many are greater
        b0, b1 = excess.mean(), (place / (len(excess) - 1) * excess).mean()
        shape = float((2 - b0 / (b0 - 2 * b1)).clamp(-0.5, 0.3))
        return cls(float(above), shape, max(float(b0) * (1 - shape), 1e-12))

    def p(self, t: Tensor) -> Tensor:
        """Chance that a background sentence reaches t, for t above the height."""
        excess = (t - self.above).clamp(min=0) / self.scale
        if abs(self.shape) < 1e-6:
            return TAIL * torch.exp(-excess)
        return TAIL * (1 + self.shape * excess).clamp(min=1e-12) ** (-1 / self.shape)


class Null(NamedTuple):
    """What the best video of a library is worth to a sentence that has no target in it."""

    values: Tensor  # (B,) ascending, normalised
    tail: Tail | None  # None where there are too few sentences for one

    @classmethod
    def of(cls, values: Tensor) -> Self | None:
        """(B,) best normalised values of background sentences; None where they are too few to say anything."""
        if len(values) < FEWEST_SENTENCES:
            return None
        ordered = values.double().sort().values
        return cls(ordered, Tail.of(ordered) if len(values) >= FEWEST_FOR_TAIL else None)

    def p(self, t: Tensor) -> Tensor:
        """t (...) -> chance that a sentence without a target does as well; falls as t rises.

        Counted, (1 + number of sentences with at least t) / (B + 1), which is a conformal p-value; below 2 % from the
        tail.
        """
        flat = t.double().flatten()
        at_least = len(self.values) - torch.searchsorted(self.values, flat - SLACK)
        counted = (1 + at_least).double() / (len(self.values) + 1)
        if self.tail is not None:
            counted = torch.where(counted < BELOW, self.tail.p(flat).clamp(max=BELOW), counted)
        return counted.view(t.shape)


def label(p_topic: float | None, p_instance: float | None) -> str:
    """The word for two chances; without a home bank nothing better than `related` can be said."""
    if p_topic is None:
        return UNCALIBRATED
    if p_topic > LEVEL:
        return NOTHING
    return CONFIDENT if p_instance is not None and p_instance <= LEVEL else RELATED


def verdict(hits: Sequence[Hit]) -> str:
    """The word for a whole answer: that of its surest hit; `nothing found` where there is no hit."""
    return min((hit.confidence for hit in hits), key=LABELS.index, default=NOTHING)
