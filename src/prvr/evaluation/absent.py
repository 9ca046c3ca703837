"""Queries that nothing, one moment or several moments answer: how well an answer is refused where there is none.

The measures of generalized moment retrieval (arXiv 2605.02623): AUROC of the score that decides, F1 of rejection, and
G-mIoU, which counts an answer that is rightly refused as a perfect one and one that is wrongly refused as none.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prvr.evaluation.windows import Array, Mask, Windows, by_score, overlap

PLACES = (1, 3, 5)
"""The k of G-mIoU@k: moments of an answer that are looked at."""


@dataclass(frozen=True, kw_only=True)
class AbsentReport:
    """Answers to P queries that a video answers and to as many pairs of a query and a video that does not; percent."""

    split: str
    num_absent: int
    num_one: int  # with one annotated moment
    num_several: int
    auroc: float  # chance that a query scores higher in a video that answers it than in one that does not
    library_auroc: float  # the same of the best score in the whole library, with the query's own video and without it
    threshold: float  # below which an answer is refused
    chosen_on: str  # the split whose rejection the threshold is best for
    precision: float  # of what was refused, what had to be
    recall: float  # of what had to be refused, what was
    rejection_f1: float
    g_miou: dict[int, float]  # by k, over all
    g_miou_one: dict[int, float]  # of queries that one moment answers
    g_miou_several: dict[int, float]  # NaN where no query has several
    simulated: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; what is not defined is None."""
        plain = asdict(self)
        for name, value in plain.items():
            if isinstance(value, dict):
                plain[name] = {str(k): None if np.isnan(x) else x for k, x in value.items()}
        return plain

    def table(self) -> str:
        """The same as Markdown."""
        head = [f"G-mIoU@{k}" for k in self.g_miou]
        rows = [
            (f"all ({self.num_absent + self.num_one + self.num_several})", self.g_miou),
            (f"one moment ({self.num_one})", self.g_miou_one),
            (f"several moments ({self.num_several})", self.g_miou_several),
        ]
        shown = [[title, *("n/a" if np.isnan(x) else f"{x:.1f}" for x in row.values())] for title, row in rows]
        return "\n".join(
            [
                "| AUROC | AUROC, library | rejection: precision | recall | F1 |",
                "| ---: | ---: | ---: | ---: | ---: |",
                f"| {self.auroc:.1f} | {self.library_auroc:.1f} | {self.precision:.1f} | {self.recall:.1f} | "
                f"{self.rejection_f1:.1f} |",
                "",
                f"| queries | {' | '.join(head)} |",
                f"| --- |{' ---: |' * len(head)}",
                *(f"| {' | '.join(row)} |" for row in shown),
            ]
        )


def separation(higher: Array, lower: Array) -> float:
    """Chance that one of `higher` (n,) is greater than one of `lower` (m,), equal ones counting half: AUROC, 0 to 1."""
    ordered = np.sort(lower)
    below = np.searchsorted(ordered, higher, "left") + np.searchsorted(ordered, higher, "right")
    return float(below.mean()) / (2 * len(lower))


def rejection(present: Array, absent: Array, threshold: float) -> tuple[float, float, float]:
    """Precision, recall and F1, 0 to 1, of refusing what scores below a threshold: scores of what is there and of what
    is not, (n,) and (m,).
    """
    right, wrong = int((absent < threshold).sum()), int((present < threshold).sum())
    precision = right / (right + wrong) if right + wrong else 0.0
    recall = right / len(absent)
    return precision, recall, 2 * right / (right + wrong + len(absent))


def best_threshold(present: Array, absent: Array) -> float:
    """The lowest threshold whose rejection has the highest F1, half way between two scores."""
    scores = np.unique(np.concatenate([present, absent]))
    bounds = np.concatenate([(scores[1:] + scores[:-1]) / 2, [np.inf]])
    right = np.searchsorted(np.sort(absent), bounds)
    wrong = np.searchsorted(np.sort(present), bounds)
    return float(bounds[(2 * right / (right + wrong + len(absent))).argmax()])


def set_overlap(predicted: Windows, truth: Windows, *, most: int) -> NDArray[np.float64]:
    """How well the best `most` windows of each query are those annotated, as sets -> (Q,), 0 to 1.

    Pairs are made of the two that overlap most, then of the two that do among the rest, as long as any do; the sum of
    overlaps over the number of windows on both sides, pairs counted once. 1 where both sides are empty.
    """
    ranked = by_score(predicted)
    spans, valid = ranked.spans[:, :most], ranked.valid[:, :most]
    pairs: Mask = valid[:, :, None] & truth.valid[:, None]
    alike = np.where(pairs, np.nan_to_num(overlap(spans[:, :, None], truth.spans[:, None])), 0.0)  # (Q, P, G)
    total, matched = np.zeros(len(alike)), np.zeros(len(alike))
    rows = np.arange(len(alike))
    for _ in range(min(alike.shape[1:])):
        place = alike.reshape(len(alike), -1).argmax(1)
        p, g = np.divmod(place, alike.shape[2])
        found = alike[rows, p, g]
        total += found
        matched += found > 0
        alike[rows, p], alike[rows, :, g] = 0.0, 0.0
    either = valid.sum(1) + truth.valid.sum(1) - matched
    return np.where(either > 0, total / np.maximum(either, 1), 1.0)


def absent_report(
    split: str,
    present: Array,
    absent: Array,
    predicted: Windows,
    truth: Windows,
    *,
    library: tuple[Array, Array],
    threshold: float,
    chosen_on: str,
    simulated: bool = False,
) -> AbsentReport:
    """present (P,) scores of queries in their own videos, whose windows are `predicted` and `truth`; absent (A,) scores
    in videos that do not answer; library the best scores (P,) with the own video and without.
    """
    precision, recall, f1 = rejection(present, absent, threshold)
    several = truth.valid.sum(1) > 1
    own = {k: np.where(present < threshold, 0.0, set_overlap(predicted, truth, most=k)) for k in PLACES}
    refused = (absent < threshold).astype(float)
    return AbsentReport(
        split=split,
        num_absent=len(absent),
        num_one=int((~several).sum()),
        num_several=int(several.sum()),
        auroc=100 * separation(present, absent),
        library_auroc=100 * separation(*library),
        threshold=threshold,
        chosen_on=chosen_on,
        precision=100 * precision,
        recall=100 * recall,
        rejection_f1=100 * f1,
        g_miou={k: 100 * float(np.concatenate([x, refused]).mean()) for k, x in own.items()},
        g_miou_one={k: _mean(x[~several]) for k, x in own.items()},
        g_miou_several={k: _mean(x[several]) for k, x in own.items()},
        simulated=simulated,
    )


def _mean(x: Array) -> float:
    return 100 * float(x.mean()) if len(x) else float("nan")
