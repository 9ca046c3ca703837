"""Ranks and recalls of text-to-video retrieval: one right video a query, and a tie counts against us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from prvr.core.errors import DataError, PrvrError

PLACES = (1, 5, 10, 100)
"""The K of R@K."""

_ROWS = 256  # compared at a time, which stay in the cache


def ranks(scores: Tensor, truth: Tensor) -> Tensor:
    """How many videos score at least as high as the right one, itself among them.

    scores (Q, V), truth (Q,) the column of each query's video -> (Q,) int64 from 1. Rows do not look at each other, so
    the ranks of chunks, end to end, are the ranks of the whole. Raises PrvrError for a score that is no number.
    """
    broken = scores.amax(1).isnan()  # a maximum hands NaN on, and nothing of the size of the scores is made
    if broken.any():
        raise PrvrError(
            f"scores of {int(broken.sum())} of {len(scores)} queries are not numbers (first: row "
            f"{int(broken.nonzero()[0])}); its weights are damaged, or have diverged in training: "
            "choose an earlier checkpoint, or train again into another folder"
        )
    own = scores.gather(1, truth[:, None])
    parts = zip(torch.split(scores, _ROWS), torch.split(own, _ROWS), strict=True)
    found = [(some >= right).sum(1, dtype=torch.int32) for some, right in parts]  # sums of int64 take far longer
    return torch.cat(found).long() if found else truth.new_empty(0)


@dataclass(frozen=True, kw_only=True)
class Recalls:
    """What is reported of one ranking: recalls and mAP in percent, ranks from 1."""

    r1: float
    r5: float
    r10: float
    r100: float
    med_r: float  # of an even number of ranks: the mean of the two in the middle
    mean_r: float
    mean_ap: float  # one right video a query: the mean of 1 / rank

    @property
    def sum_r(self) -> float:
        """R@1 + R@5 + R@10 + R@100, before any rounding."""
        return self.r1 + self.r5 + self.r10 + self.r100

    @classmethod
    def of(cls, found: Tensor) -> Self:
        """The ranks of Q queries, (Q,) -> Recalls. Raises DataError where there is no query."""
        if not len(found):
            raise DataError("there is no query to evaluate; the split has no annotated videos")
        exact = found.sort().values.double()
        at = [100 * float((found <= k).double().mean()) for k in PLACES]
        return cls(
            r1=at[0],
            r5=at[1],
            r10=at[2],
            r100=at[3],
            med_r=float(exact[(len(exact) - 1) // 2] + exact[len(exact) // 2]) / 2,
            mean_r=float(exact.mean()),
            mean_ap=100 * float(exact.reciprocal().mean()),
        )

    def to_dict(self) -> dict[str, float]:
        """By the names that the field uses: R@1, R@5, R@10, R@100, SumR, MedR, MeanR, mAP."""
        return {
            "R@1": self.r1,
            "R@5": self.r5,
            "R@10": self.r10,
            "R@100": self.r100,
            "SumR": self.sum_r,
            "MedR": self.med_r,
            "MeanR": self.mean_r,
            "mAP": self.mean_ap,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, float]) -> Self:
        """What `to_dict` gave."""
        return cls(
            r1=values["R@1"],
            r5=values["R@5"],
            r10=values["R@10"],
            r100=values["R@100"],
            med_r=values["MedR"],
            mean_r=values["MeanR"],
            mean_ap=values["mAP"],
        )
