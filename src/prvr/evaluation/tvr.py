"""Moments in a corpus of videos as the TVR evaluator counts them: one moment a query, rankings instead of scores.

VCMR: the moment among all videos; SVMR: the moment within the right video; VR: the video alone. The published behaviour
is the default, with its failures; `strict=False` scores whatever there is, and `left_out` says what happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prvr.core.errors import DataError
from prvr.evaluation.windows import Array, Mask, Windows, any_of, suppress

QueryId = int | str

TASKS = ("VCMR", "SVMR", "VR")
TYPES = ("v", "t", "vt")
"""What a TVR sentence speaks of: the picture, the subtitles, or both."""

PLACES = (1, 5, 10, 100)
OVERLAPS = (0.5, 0.7)
MOST = 100
"""Predictions of a query that count, in file order."""

_Single = NDArray[np.float32]


class Ranked(NamedTuple):
    """What was submitted for a query, best first."""

    query_id: QueryId
    rows: Array  # (P, 3 or more) number of the video, start, end; the rest is not looked at


class Submission(NamedTuple):
    """All that was submitted."""

    video_index: Mapping[str, int]
    tasks: Mapping[str, Sequence[Ranked]]  # VCMR, SVMR, VR: those that were submitted


class CorpusTruth(NamedTuple):
    """What is annotated of a query."""

    query_id: QueryId
    video_id: str
    spans: Array  # (A, 2) start and end; of four annotators or more two must agree (DiDeMo)
    kind: str | None = None  # one of TYPES


@dataclass(frozen=True, kw_only=True)
class CorpusScores:
    """Recalls in percent with two decimals."""

    tasks: Mapping[str, Mapping[str, float]]  # by task: r1 … r100 of VR, 0.5-r1 … 0.7-r100 of the others
    by_type: Mapping[str, Mapping[str, float | None]]  # by task: the same with the type in front, None: no such query
    shares: str | None  # of the types, in percent: 'v 60.0 t 17.5 vt 22.5'
    not_answered: Mapping[str, int]  # by task: queries without a prediction, which count as wrong
    not_annotated: Mapping[str, int]  # by task: predictions of unknown queries, which are ignored

    def to_dict(self) -> dict[str, Any]:
        """The published tree."""
        tree: dict[str, Any] = {task: dict(values) for task, values in self.tasks.items()}
        for task, values in self.by_type.items():
            tree[f"{task}_by_type"] = {**values, "desc_type_ratio": self.shares}
        return tree

    def notes(self) -> list[str]:
        """For people, one line each; empty where all is as it should be."""
        lines = [(number, f"{task}: {number} annotated queries were not answered and count as wrong")
                 for task, number in self.not_answered.items()]  # fmt: skip
        lines += [(number, f"{task}: {number} answers are to queries that are not annotated and are ignored")
                  for task, number in self.not_annotated.items()]  # fmt: skip
        return [text for number, text in lines if number]


def evaluate(
    given: Submission, truths: Sequence[CorpusTruth], *, by_type: bool = True, strict: bool = True
) -> CorpusScores:
    """Score the tasks that were submitted. Of two lines of one query the last counts.

    `strict`: DataError where the published evaluator fails: ids that differ, an empty list, two or three annotators, a
    right video without a number. Else such a query counts as wrong (two or three annotators: two must agree).
    """
    asked = list({one.query_id: one for one in truths}.values())
    by_type = by_type and all(one.kind is not None for one in asked)
    right = np.array([_video(given, one, strict=strict) for one in asked], dtype=np.float32)
    spans, known = _annotators(asked, strict=strict)
    kinds = np.array([one.kind for one in asked])
    tasks: dict[str, dict[str, float]] = {}
    types: dict[str, dict[str, float | None]] = {}
    missing: dict[str, int] = {}
    unknown: dict[str, int] = {}
    for task in [name for name in TASKS if name in given.tasks]:
        lists = {one.query_id: one.rows for one in given.tasks[task]}
        missing[task], unknown[task] = _compare(lists, asked, task, strict=strict)
        rows, valid = _pad([lists.get(one.query_id, np.empty((0, 3))) for one in asked])
        own = (rows[..., 0] == right[:, None]) & valid  # (Q, P)
        found = _found(task, own, _overlaps(rows[..., 1:], spans, known))
        tasks[task] = {name: _percent(hits.mean()) for name, hits in found.items()} if asked else {}
        if by_type:
            chosen = {kind: kinds == kind for kind in TYPES}
            types[task] = {
                f"{kind}-{name}": _percent(hits[rows].mean()) if rows.any() else None
                for kind, rows in chosen.items()
                for name, hits in found.items()
            }
    shares = " ".join(f"{kind} {_percent((kinds == kind).mean())}" for kind in TYPES) if by_type and asked else None
    return CorpusScores(tasks=tasks, by_type=types, shares=shares, not_answered=missing, not_annotated=unknown)


def suppressed(given: Submission, threshold: float) -> Submission:
    """Without moments that overlap a better one of their video; VR ranks videos, and stays. Raises DataError."""
    tasks = dict(given.tasks)
    for task in tasks.keys() - {"VR"}:
        for one in tasks[task]:
            if len(one.rows) and one.rows.shape[1] < 4:
                raise DataError(
                    f"{task}: the predictions of query {one.query_id} have no score behind start and end, by which "
                    "one of two that overlap is dropped; add it, or leave out --nms"
                )
        tasks[task] = [one._replace(rows=suppress_ranked(one.rows, threshold)) for one in tasks[task]]
    return given._replace(tasks=tasks)


def suppress_ranked(rows: Array, threshold: float, *, before: int = 1000, most: int = 100) -> Array:
    """One query's answers, (P, 4) video, start, end, score, without those that overlap a better one of their video.

    The first `before` are looked at; at most 100 a video and `most` in all are left, best first.
    """
    rows = rows[:before]
    if not len(rows):
        return rows
    window = Windows(rows[None, :, 1:3], rows[None, :, 3], np.ones((1, len(rows)), dtype=bool))
    left, place = suppress(window, threshold, most=most, group=rows[None, :, 0].astype(np.int64))
    kept: Array = rows[place[0][left.valid[0]]]
    return kept


def _found(task: str, own: Mask, overlaps: _Single) -> dict[str, Mask]:
    """own (Q, P): the right video, overlaps (Q, P) -> by name, whether a query is answered rightly (Q,)."""
    if task == "VR":
        return {f"r{place}": any_of(own[:, :place]) for place in PLACES}
    rank = own.cumsum(1) if task == "SVMR" else np.broadcast_to(np.arange(1, own.shape[1] + 1), own.shape)
    return {
        f"{least}-r{place}": any_of(own & (overlaps >= np.float32(least)) & (rank <= place))
        for least in OVERLAPS
        for place in PLACES
    }


def _overlaps(windows: _Single, spans: _Single, known: Mask) -> _Single:
    """windows (Q, P, 2), spans (Q, A, 2), known (Q, A) -> (Q, P): the best, or of several annotators the second best.

    In float32 throughout, as published; 0 for an empty hull.
    """
    windows, spans = windows[:, :, None], spans[:, None]
    shared = np.minimum(windows[..., 1], spans[..., 1]) - np.maximum(windows[..., 0], spans[..., 0])
    hull = np.maximum(windows[..., 1], spans[..., 1]) - np.minimum(windows[..., 0], spans[..., 0])
    shared = np.maximum(shared, np.float32(0))
    found = np.divide(shared, hull, out=np.zeros_like(hull), where=hull != 0)
    found = np.sort(np.where(known[:, None], found, np.float32(-1)), axis=2)
    return np.where(known.sum(1)[:, None] > 1, found[..., -min(2, found.shape[2])], found[..., -1])


def _annotators(asked: Sequence[CorpusTruth], *, strict: bool) -> tuple[_Single, Mask]:
    """-> spans (Q, A, 2) and which are real (Q, A)."""
    for one in asked if strict else ():
        if len(one.spans) in (0, 2, 3):
            raise DataError(
                f"query {one.query_id}: has {len(one.spans)} annotated spans, which is not defined; give one, or four "
                "or more, or score what there is: `--lenient`, strict=False"
            )
    number = np.array([len(one.spans) for one in asked], dtype=np.int64)
    known = np.arange(max(1, int(number.max(initial=1)))) < number[:, None]
    spans = np.zeros((*known.shape, 2), dtype=np.float32)
    if known.any():
        spans[known] = np.concatenate([one.spans for one in asked if len(one.spans)])
    return spans, known


def _pad(lists: Sequence[Array]) -> tuple[_Single, Mask]:
    """The first hundred of each list -> (Q, 100, 3) and which are real (Q, 100)."""
    number = np.array([len(rows) for rows in lists], dtype=np.int64)
    valid = np.arange(MOST) < number[:, None]
    table = np.zeros((*valid.shape, 3), dtype=np.float32)
    if valid.any():
        table[valid] = np.concatenate([rows[:MOST, :3] for rows in lists if len(rows)])
    return table, valid


def _compare(
    lists: Mapping[QueryId, Array], asked: Sequence[CorpusTruth], task: str, *, strict: bool
) -> tuple[int, int]:
    """How many queries were not answered, and how many answers are of unknown queries."""
    ids = {one.query_id for one in asked}
    empty = [query_id for query_id in ids if not len(lists.get(query_id, ()))]
    unknown = [query_id for query_id in lists if query_id not in ids]
    if strict and (empty or unknown):
        raise DataError(
            f"{task}: {len(empty)} annotated queries have no prediction and {len(unknown)} predictions are of unknown "
            f"queries (first: {[*empty, *unknown][0]}); mend the submission, or score what there is: `--lenient`, "
            "strict=False"
        )
    return len(empty), len(unknown)


def _video(given: Submission, one: CorpusTruth, *, strict: bool) -> float:
    if strict and one.video_id not in given.video_index:
        raise DataError(
            f"query {one.query_id}: video {one.video_id!r} has no number in the submission's video2idx; add it, or "
            "score what there is: `--lenient`, strict=False"
        )
    return given.video_index.get(one.video_id, np.nan)


def _percent(share: float) -> float:
    """With two decimals, rounded as NumPy does."""
    return float(np.round(100 * share, 2))
