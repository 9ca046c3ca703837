"""What moment evaluators read: JSON lines of QVHighlights, and TVR's submission with its annotations.

Every function raises DataError that names the file, the line and what was expected there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from prvr.core.errors import DataError
from prvr.evaluation.qvhighlights import Prediction, Truth
from prvr.evaluation.tvr import TASKS, CorpusTruth, Ranked, Submission
from prvr.evaluation.windows import Array


def kind_of(text: str, *, where: str) -> Literal["qvhighlights", "tvr"]:
    """Whose submission the content of a file is."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    if '"video2idx"' in text:
        return "tvr"
    if '"qid"' in first:
        return "qvhighlights"
    raise DataError(
        f"{where}:1: is no submission of QVHighlights (JSON lines with 'qid') and none of TVR (one JSON object with "
        f"'video2idx'), found {first[:60]!r}; give the file that such an evaluator reads"
    )


def predictions(text: str, *, where: str) -> list[Prediction]:
    """A QVHighlights submission."""
    return [prediction(row, where=place) for row, place in _lines(text, where)]


def truths(text: str, *, where: str) -> list[Truth]:
    """QVHighlights annotations."""
    return [truth(row, where=place) for row, place in _lines(text, where)]


def corpus_truths(text: str, *, where: str) -> list[CorpusTruth]:
    """TVR annotations."""
    return [corpus_truth(row, where=place) for row, place in _lines(text, where)]


def parse_submission(text: str, *, where: str) -> Submission:
    """A TVR submission."""
    return submission(_json(text, where=where), where=where)


def prediction(row: Mapping[str, Any], *, where: str) -> Prediction:
    """One line of a QVHighlights submission."""
    windows, saliency = row.get("pred_relevant_windows"), row.get("pred_saliency_scores")
    return Prediction(
        _id(row, "qid", where=where),
        None if windows is None else _table(windows, 3, "pred_relevant_windows", where=where),
        None if saliency is None else _numbers(saliency, "pred_saliency_scores", where=where),
    )


def truth(row: Mapping[str, Any], *, where: str) -> Truth:
    """One line of QVHighlights annotations."""
    clips, ratings, duration = (row.get(name) for name in ("relevant_clip_ids", "saliency_scores", "duration"))
    rated = clips is not None and ratings is not None
    found = Truth(
        _id(row, "qid", where=where),
        _table(row.get("relevant_windows", []), 2, "relevant_windows", where=where),
        None if duration is None else float(_numbers([duration], "duration", where=where)[0]),
        _numbers(clips, "relevant_clip_ids", where=where) if rated else None,
        _table(ratings, 3, "saliency_scores", where=where) if rated else None,
    )
    if found.clips is not None and found.ratings is not None and len(found.clips) != len(found.ratings):
        raise DataError(f"{where}: {len(found.clips)} relevant_clip_ids, but {len(found.ratings)} saliency_scores")
    return found


def submission(tree: Mapping[str, Any], *, where: str) -> Submission:
    """The object of a TVR submission."""
    index = tree.get("video2idx")
    if not isinstance(index, dict) or not all(isinstance(number, int) for number in index.values()):
        raise DataError(f"{where}:1: 'video2idx' must map names of videos to whole numbers, found {str(index)[:60]}")
    tasks = {}
    for task in TASKS:
        if task in tree:
            if not isinstance(tree[task], list):
                raise DataError(f"{where}: {task!r} must be a list of answers, found {str(tree[task])[:60]}")
            tasks[task] = [_ranked(row, where=f"{where}, {task}[{place}]") for place, row in enumerate(tree[task])]
    return Submission(index, tasks)


def corpus_truth(row: Mapping[str, Any], *, where: str) -> CorpusTruth:
    """One line of TVR annotations; `ts` is one span, or the spans that several annotators gave."""
    spans = row.get("ts", [])
    nested = bool(spans) and isinstance(spans[0], Sequence)
    video = row.get("vid_name")
    if not isinstance(video, str):
        raise DataError(f"{where}: 'vid_name' must name the right video, found {video!r}; give TVR's annotations")
    return CorpusTruth(
        _id(row, "desc_id", where=where),
        video,
        _table(spans if nested else [spans], 2, "ts", where=where),
        row.get("type"),
    )


def _ranked(row: Any, *, where: str) -> Ranked:
    query_id = _id(row, "desc_id", where=where)
    return Ranked(query_id, _table(row.get("predictions", []), 3, "predictions", where=where, more=1))


def _lines(text: str, where: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _json(line, where=where, first=number), f"{where}:{number}"


def _json(text: str, *, where: str, first: int = 1) -> Mapping[str, Any]:
    """One object; `first` is the number of its first line."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"{where}:{first + error.lineno - 1}"
        raise DataError(f"{place}: is not JSON ({error.msg}, column {error.colno}); mend this line") from error
    if not isinstance(found, dict):
        raise DataError(f"{where}:{first}: expected an object, found {text[:60]!r}")
    return found


def _id(row: Any, name: str, *, where: str) -> int | str:
    found = row.get(name) if isinstance(row, Mapping) else None
    if not isinstance(found, (int, str)):
        raise DataError(f"{where}: {name!r} must be a number or a text, found {found!r}")
    return found


def _table(rows: Any, columns: int, name: str, *, where: str, more: int = 0) -> Array:
    """Rows of at least so many numbers -> (n, columns), with up to `more` that are kept where they are there."""
    if isinstance(rows, list) and not rows:
        return np.empty((0, columns))
    wrong = DataError(f"{where}: {name!r} must be a list of rows of {columns} numbers, found {str(rows)[:60]}")
    try:
        table = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise wrong from error
    if table.ndim != 2 or table.shape[1] < columns or not np.isfinite(table).all():
        raise wrong
    return table[:, : columns + more]


def _numbers(values: Any, name: str, *, where: str) -> Array:
    try:
        found = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {name!r} must be a list of numbers, found {str(values)[:60]}") from error
    if found.ndim != 1 or not np.isfinite(found).all():
        raise DataError(f"{where}: {name!r} must be a list of finite numbers, found {str(values)[:60]}")
    return found
