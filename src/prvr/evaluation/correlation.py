"""Table 9: whether two encoders find the same sentences alike.

The rank correlation (Spearman's ρ, equal values share the mean of their places) between the cosines that a model gives
to pairs of queries and those that another gives to the same pairs, over all pairs of two different queries, i < j.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

EXACT = 2000
"""Queries up to which all pairs are sorted; of more, pairs that are nearly alike share a place."""

_PLACES = 2048  # that pairs of a large set share, about equally many in each
_CELLS = 1 << 20  # of cosines, from which a place is looked up
_ROWS = 256  # of queries compared with all others at a time


def rank_correlation(ours: Tensor, theirs: Tensor, *, exact: int = EXACT) -> float | None:
    """ours (Q, D), theirs (Q, E), vectors of any length -> ρ from -1 to 1; None where it is not defined.

    Up to `exact` queries the Q (Q - 1) / 2 pairs are sorted. For more, all pairs still count, but neighbours share one
    of 2,048 places, chosen so that about as many pairs are in each. That changes ρ in the seventh digit (4e-7 at Q =
    5,000), and needs neither a sort nor (Q, Q) numbers: one pass counts how many pairs have which two places.
    """
    if len(ours) <= exact:
        return spearman(cosine_matrix(ours), cosine_matrix(theirs))
    one, other = (functional.normalize(x.cpu().float(), dim=-1, eps=1e-12) for x in (ours, theirs))
    scales = _Scale.of(one), _Scale.of(other)
    joint = torch.zeros(_PLACES * _PLACES, dtype=torch.int32)
    for x, y in zip(_pairs(one), _pairs(other), strict=True):
        place = scales[0].places(x).mul_(_PLACES).add_(scales[1].places(y))
        joint.scatter_add_(0, place, torch.ones((), dtype=torch.int32).expand(len(place)))
    return _of_joint(joint.view(_PLACES, _PLACES))


def cosine_matrix(vectors: Tensor) -> Tensor:
    """vectors (Q, D) of any length -> (Q, Q) float32 on the CPU."""
    unit = functional.normalize(vectors.cpu().float(), dim=-1, eps=1e-12)
    return unit @ unit.T


def spearman(ours: Tensor, theirs: Tensor) -> float | None:
    """Rank correlation of two similarity matrices, over all pairs of two different items.

    ours, theirs (Q, Q), symmetric -> -1 to 1; None where it is not defined: fewer than two pairs, or all alike.
    """
    pairs = torch.ones(ours.shape, dtype=torch.bool).triu_(1)
    x, y = average_ranks(ours.cpu()[pairs]), average_ranks(theirs.cpu()[pairs])
    if len(x) < 2:
        return None
    middle = (len(x) + 1) / 2
    x, y = x.sub_(middle), y.sub_(middle)
    scale = float((x @ x).sqrt() * (y @ y).sqrt())
    return float(x @ y) / scale if scale else None


def average_ranks(values: Tensor) -> Tensor:
    """values (n,) -> (n,) float64 from 1, ascending; equal values share the mean of their places."""
    ordered, order = values.sort()
    _, group, size = torch.unique_consecutive(ordered, return_inverse=True, return_counts=True)
    middle: Tensor = size.cumsum(0) - (size - 1).double() / 2
    return middle.new_empty(len(values)).scatter_(0, order, middle[group])


def _pairs(unit: Tensor) -> Iterator[Tensor]:
    """unit (Q, D) -> the cosines of all pairs i < j, in pieces."""
    for at in range(0, len(unit), _ROWS):
        rows = unit[at : at + _ROWS]
        cosine = rows @ unit[at:].T
        own = torch.ones(len(rows), len(rows), dtype=torch.bool).triu_(1)
        yield cosine[:, : len(rows)][own]
        yield cosine[:, len(rows) :].reshape(-1)


class _Scale(NamedTuple):
    """From a cosine to the place that it shares."""

    low: float
    cells: float  # to a unit of cosine
    place_of_cell: Tensor  # (cells,) int64, not decreasing

    @classmethod
    def of(cls, unit: Tensor) -> _Scale:
        """unit (Q, D) -> places of about equally many pairs, by the cosines of some rows with all."""
        rows = torch.linspace(0, len(unit) - 1, min(len(unit), _ROWS)).long()
        cosine = (unit[rows] @ unit.T).flatten()
        low, high = float(cosine.min()), float(cosine.max())
        scale = cls(low, (_CELLS - 1) / max(high - low, 1e-12), torch.arange(_CELLS))
        upto = scale.places(cosine).bincount(minlength=_CELLS).cumsum(0)
        return scale._replace(place_of_cell=((upto - 1) * _PLACES // upto[-1]).clamp_(min=0))

    def places(self, cosine: Tensor) -> Tensor:
        """(n,) -> (n,) int64; cosine is overwritten."""
        cell = cosine.sub_(self.low).mul_(self.cells).clamp_(0, _CELLS - 1).long()
        return self.place_of_cell.take(cell)


def _of_joint(joint: Tensor) -> float | None:
    """How many pairs lie in each field of a grid, (n, n) -> ρ; the pairs of a row, or of a column, share a place."""
    number = joint.sum(1), joint.sum(0)  # int64
    x, y = ((size.cumsum(0) - (size - 1).double() / 2 - (size.sum() + 1) / 2) for size in number)
    scale = float((number[0] * x.square()).sum().sqrt() * (number[1] * y.square()).sum().sqrt())
    shared = float(joint.double() @ y @ x)
    return shared / scale if scale else None
