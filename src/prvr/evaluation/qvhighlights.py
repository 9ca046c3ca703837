"""Moments and highlights as the QVHighlights evaluator counts them: one video a query, several windows, scores.

The published behaviour is the default, to its last digit and with its failures. `strict=False` scores whatever there
is: a query that was not answered counts as 0, a group without queries is None, and `LeftOut` says what happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from prvr.core.errors import DataError
from prvr.evaluation.highlights import CLIP_S, HighlightScores, highlight_scores
from prvr.evaluation.windows import (
    THRESHOLDS,
    Array,
    Mask,
    Windows,
    any_of,
    average_precision,
    best_overlap,
    pad,
    suppress,
)

QueryId = int | str

GROUPS = {"short": (0.0, 10.0), "middle": (10.0, 30.0), "long": (30.0, 150.0), "full": None}
"""Lengths in seconds of the annotated windows, (above, up to)."""

MOST = 10
"""Windows of a query that count, in file order."""


class Prediction(NamedTuple):
    """What was submitted for a query."""

    query_id: QueryId
    windows: Array | None = None  # (P, 3) start, end, score, in file order; None: no moments were predicted
    saliency: Array | None = None  # (clips,) a score a clip of two seconds; None: no highlights were predicted


class Truth(NamedTuple):
    """What is annotated of a query."""

    query_id: QueryId
    windows: Array  # (G, 2) start, end
    duration_s: float | None = None
    clips: Array | None = None  # (n,) positions of the clips that somebody rated
    ratings: Array | None = None  # (n, 3) 0 to 4, three annotators

    @property
    def num_clips(self) -> int | None:
        """Clips of the video, a rest cut; None where nothing was rated or the duration is not known."""
        return None if self.duration_s is None or self.clips is None else int(self.duration_s / CLIP_S)


@dataclass(frozen=True, kw_only=True)
class MomentScores:
    """Of one length group, shares from 0 to 1, one a threshold."""

    num_queries: int
    precision: tuple[float, ...]  # average precision, a mean over queries
    recall: tuple[float, ...]  # R1: the first window is right

    @property
    def mean_precision(self) -> float:
        """MAP: the mean over the thresholds."""
        return float(np.mean(self.precision))


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """What did not count as it should have."""

    not_answered: int = 0  # annotated queries without a prediction; they count as 0, or were cut as asked
    without_windows: int = 0  # annotated queries without a window; left out
    without_ratings: int = 0  # annotated queries without a rated clip or a duration; no highlights are scored of them
    not_annotated: int = 0  # predictions of unknown queries; ignored

    def notes(self) -> list[str]:
        """For people, one line each; empty where all is as it should be."""
        lines = {
            "annotated queries were not answered": self.not_answered,
            "annotated queries have no window and are left out of the moments": self.without_windows,
            "annotated queries have no rated clip and are left out of the highlights": self.without_ratings,
            "predictions are of queries that are not annotated and are ignored": self.not_annotated,
        }
        return [f"{number} {text}" for text, number in lines.items() if number]


@dataclass(frozen=True, kw_only=True)
class QVHighlightsScores:
    """All that the evaluator reports."""

    moments: Mapping[str, MomentScores | None] | None  # by length group; None: no moments were predicted
    highlights: Mapping[str, HighlightScores] | None  # by level; None: no highlights were predicted
    left_out: LeftOut

    def to_dict(self) -> dict[str, Any]:
        """The published tree: percent with two decimals, `brief` beside the whole; None where a group is empty."""
        tree: dict[str, Any] = {}
        brief: dict[str, float | None] = {}
        for name, group in (self.moments or {}).items():
            nothing = dict.fromkeys(map(str, THRESHOLDS))
            precision: Mapping[str, float | None] = percents(group.precision) if group else nothing
            recall: Mapping[str, float | None] = percents(group.recall) if group else nothing
            brief[f"MR-{name}-mAP"] = percent(group.mean_precision) if group else None
            tree[name] = {"MR-mAP": {**precision, "average": brief[f"MR-{name}-mAP"]}, "MR-R1": recall}
            if name == "full":
                brief |= {f"MR-full-mAP@{level}": precision[level] for level in ("0.5", "0.75")}
                brief |= {f"MR-full-R1@{level}": recall[level] for level in ("0.5", "0.7")}
        for name, one in (self.highlights or {}).items():
            shares = {"mAP": one.mean_precision, "Hit1": one.hit}
            found = {kind: percent(share) if one.num_queries else None for kind, share in shares.items()}
            tree[f"HL-min-{name}"] = {f"HL-{kind}": value for kind, value in found.items()}
            brief |= {f"HL-min-{name}-{kind}": value for kind, value in found.items()}
        return {"brief": brief, **tree}


def evaluate(
    predictions: Sequence[Prediction], truths: Sequence[Truth], *, strict: bool = True, match_ids: bool = True
) -> QVHighlightsScores:
    """Score a submission; what the first prediction holds (moments, highlights) decides what is scored.

    `strict`: DataError where the published evaluator fails: ids that differ (unless not `match_ids`, which cuts both
    sides to the ids in common), a query without a window on either side, a length group without queries.
    """
    with_moments = any(one.windows is not None for one in (predictions[:1] if strict else predictions))
    with_highlights = any(one.saliency is not None for one in (predictions[:1] if strict else predictions))
    given, asked = {one.query_id for one in predictions}, {one.query_id for one in truths}
    if strict and match_ids and given != asked:
        raise DataError(
            f"{len(asked - given)} annotated queries have no prediction and {len(given - asked)} predictions are of "
            f"unknown queries (first: {next(iter(asked ^ given))}); mend the submission, or score what there is: "
            "`--lenient`, strict=False"
        )
    answered = {one.query_id for one in predictions if not with_moments or len(_first(one.windows, 1))}
    if not match_ids:
        truths = [one for one in truths if one.query_id in given]
    left_out = LeftOut(
        not_answered=len(asked - answered),
        without_windows=len({one.query_id for one in truths if with_moments and not len(one.windows)}),
        without_ratings=len({one.query_id for one in truths if with_highlights and one.num_clips is None}),
        not_annotated=len(given - asked),
    )
    moments = {name: _group(predictions, truths, name, strict=strict) for name in GROUPS} if with_moments else None
    highlights = highlights_of(predictions, truths, strict=strict) if with_highlights else None
    return QVHighlightsScores(moments=moments, highlights=highlights, left_out=left_out)


def suppressed(predictions: Sequence[Prediction], threshold: float, *, most: int = MOST) -> list[Prediction]:
    """The first `most` windows of each, best first, without those that overlap a better one by more than that."""
    firsts = pad([_first(one.windows, most) for one in predictions])
    left, _ = suppress(firsts, threshold, most=most)
    rows = [
        np.column_stack([spans, scores])[valid]
        for spans, scores, valid in zip(left.spans, left.scores, left.valid, strict=True)
    ]
    return [
        one if one.windows is None else one._replace(windows=found)
        for one, found in zip(predictions, rows, strict=True)
    ]


def precision_of(
    predictions: Sequence[Prediction], truths: Sequence[Truth], *, most: int | None = MOST, strict: bool = True
) -> tuple[float, ...]:
    """Average precision at each threshold, a mean over queries. Two lines of one query count as one.

    `strict`, as published: a query without predictions is left out of the mean, one without annotated windows makes it
    NaN. Else the first counts as 0 and the second is left out.
    """
    ids = list(dict.fromkeys(one.query_id for one in truths))
    predicted = _joined(ids, ((one.query_id, _first(one.windows, most)) for one in predictions))
    annotated = _joined(ids, ((one.query_id, one.windows) for one in truths))
    counts = any_of((predicted if strict else annotated).valid)
    return _mean(average_precision(predicted.take(counts), annotated.take(counts), empty_hits=strict))


def recall_of(predictions: Sequence[Prediction], truths: Sequence[Truth], *, strict: bool = True) -> tuple[float, ...]:
    """R1 at each threshold: the first window in file order overlaps some annotated window by that much or more.

    Of two lines of one query the last counts. `strict`: DataError for a query without a window on either side.
    """
    last = {one.query_id: _first(one.windows, 1) for one in predictions}
    asked = {one.query_id: one.windows for one in truths}
    predicted, annotated = _joined(list(asked), last.items()), _joined(list(asked), asked.items())
    there = predicted.valid[:, 0] & any_of(annotated.valid)
    if strict and not there.all():
        raise DataError(
            f"query {list(asked)[int(there.argmin())]}: has no predicted or no annotated window, so that R1 is not "
            "defined; mend the file, or score what there is: `--lenient`, strict=False"
        )
    found = np.where(there, best_overlap(predicted.spans[:, 0], annotated), 0.0)
    return _mean(found[any_of(annotated.valid), None] >= np.asarray(THRESHOLDS))


def highlights_of(
    predictions: Sequence[Prediction], truths: Sequence[Truth], *, strict: bool = True
) -> dict[str, HighlightScores]:
    """Highlight detection by level. Of two lines of one query the last counts.

    `strict`: DataError for a query without predicted scores, or without ratings.
    """
    last, asked = {one.query_id: one.saliency for one in predictions}, {one.query_id: one for one in truths}
    rated = [one for one in asked.values() if strict or one.num_clips is not None]
    for one in rated if strict else ():
        if one.num_clips is None or last.get(one.query_id) is None:
            raise DataError(
                f"query {one.query_id}: has no predicted saliency, or no ratings; mend the file, or score what there "
                "is: `--lenient`, strict=False"
            )
    nothing = np.empty(0)
    return highlight_scores(
        [nothing if (given := last.get(one.query_id)) is None else given for one in rated],
        np.array([one.num_clips for one in rated], dtype=np.int64),
        [nothing if one.clips is None else one.clips for one in rated],
        [np.empty((0, 3)) if one.ratings is None else one.ratings for one in rated],
    )


def percent(share: float) -> float:
    """In percent with two decimals, rounded as the evaluator does: half to even of the exact binary value."""
    return float(f"{100 * share:.2f}")


def percents(shares: Sequence[float]) -> dict[str, float]:
    """One a threshold -> by the names that the evaluator uses: 0.5, 0.55 … 0.95."""
    return {str(threshold): percent(share) for threshold, share in zip(THRESHOLDS, shares, strict=True)}


def _group(
    predictions: Sequence[Prediction], truths: Sequence[Truth], name: str, *, strict: bool
) -> MomentScores | None:
    """Annotated windows of some lengths only, against all predictions of their queries."""
    if (lengths := GROUPS[name]) is not None:
        truths = [one._replace(windows=_of_length(one.windows, *lengths)) for one in truths]
    if lengths is not None or not strict:
        truths = [one for one in truths if len(one.windows)]
    if not truths and strict:
        raise DataError(
            f"length group {name!r} {lengths}: has no annotated window; to go on without: `--lenient`, strict=False"
        )
    if not truths:
        return None
    return MomentScores(
        num_queries=len({one.query_id for one in truths}),
        precision=precision_of(predictions, truths, strict=strict),
        recall=recall_of(predictions, truths, strict=strict),
    )


def _of_length(windows: Array, above: float, most: float) -> Array:
    length = windows[:, 1] - windows[:, 0]
    return windows[(length > above) & (length <= most)]


def _first(windows: Array | None, most: int | None) -> Array:
    return np.empty((0, 3)) if windows is None else windows[:most]


def _joined(ids: Sequence[QueryId], lines: Iterable[tuple[QueryId, Array]]) -> Windows:
    """The windows of each query, those of several lines end to end."""
    lists: dict[QueryId, list[Array]] = {query_id: [] for query_id in ids}
    for query_id, windows in lines:
        if query_id in lists:
            lists[query_id].append(windows)
    return pad([np.concatenate(found) if found else np.empty((0, 2)) for found in lists.values()])


def _mean(found: Array | Mask) -> tuple[float, ...]:
    """(Q, S) -> (S,), NaN of no query."""
    return tuple(found.mean(0).tolist()) if len(found) else (float("nan"),) * found.shape[1]
