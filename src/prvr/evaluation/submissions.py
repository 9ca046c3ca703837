"""The files that moment evaluators read: JSON lines of QVHighlights, and TVR's submission with its annotations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prvr.core.errors import DataError
from prvr.core.files import write_whole
from prvr.evaluation.qvhighlights import Prediction, Truth
from prvr.evaluation.tvr import TASKS, CorpusTruth, Ranked, Submission
from prvr.evaluation.windows import Array


def read_predictions(path: Path) -> list[Prediction]:
    """A QVHighlights submission, JSON lines. Raises DataError naming the file, the line and what was expected."""
    return [prediction(row, where=where) for row, where in _lines(path)]


def read_truths(path: Path) -> list[Truth]:
    """QVHighlights annotations, JSON lines. Raises DataError naming the file, the line and what was expected."""
    return [truth(row, where=where) for row, where in _lines(path)]


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """A QVHighlights submission; windows are written as they stand, and R1 reads the first. Whole or not at all."""
    rows = []
    for one in predictions:
        row: dict[str, Any] = {"qid": one.query_id}
        if one.windows is not None:
            row["pred_relevant_windows"] = one.windows.tolist()
        if one.saliency is not None:
            row["pred_saliency_scores"] = one.saliency.tolist()
        rows.append(json.dumps(row))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, ("\n".join(rows) + "\n").encode())


def read_submission(path: Path) -> Submission:
    """A TVR submission, one JSON object. Raises DataError naming the file and what was expected."""
    found = _json(_text(path), where=str(path))
    return submission(found, where=str(path))


def read_corpus_truths(path: Path) -> list[CorpusTruth]:
    """TVR annotations, JSON lines. Raises DataError naming the file, the line and what was expected."""
    return [corpus_truth(row, where=where) for row, where in _lines(path)]


def write_submission(path: Path, given: Submission) -> None:
    """A TVR submission; the order of a list is its ranking. Whole or not at all."""
    tree: dict[str, Any] = {"video2idx": dict(given.video_index)}
    for task, lists in given.tasks.items():
        rows = [(one.query_id, one.rows.tolist()) for one in lists]
        tree[task] = [
            {"desc_id": query_id, "predictions": [[int(row[0]), *row[1:]] for row in found]} for query_id, found in rows
        ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(tree).encode())


def prediction(row: Mapping[str, Any], *, where: str) -> Prediction:
    """One line of a QVHighlights submission. Raises DataError."""
    windows, saliency = row.get("pred_relevant_windows"), row.get("pred_saliency_scores")
    return Prediction(
        _id(row, "qid", where=where),
        None if windows is None else _table(windows, 3, "pred_relevant_windows", where=where),
        None if saliency is None else _numbers(saliency, "pred_saliency_scores", where=where),
    )


def truth(row: Mapping[str, Any], *, where: str) -> Truth:
    """One line of QVHighlights annotations. Raises DataError."""
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
    """The object of a TVR submission. Raises DataError."""
    index = tree.get("video2idx")
    if not isinstance(index, dict) or not all(isinstance(number, int) for number in index.values()):
        raise DataError(f"{where}: 'video2idx' must map names of videos to whole numbers")
    tasks = {}
    for task in TASKS:
        if task in tree:
            at = f"{where}, {task}"
            tasks[task] = [
                Ranked(
                    _id(row, "desc_id", where=at),
                    _table(row.get("predictions", []), 3, "predictions", where=at, more=1),
                )
                for row in tree[task]
            ]
    return Submission(index, tasks)


def corpus_truth(row: Mapping[str, Any], *, where: str) -> CorpusTruth:
    """One line of TVR annotations; `ts` is one span, or the spans that several annotators gave. Raises DataError."""
    spans = row.get("ts", [])
    nested = bool(spans) and isinstance(spans[0], Sequence)
    video = row.get("vid_name")
    if not isinstance(video, str):
        raise DataError(f"{where}: 'vid_name' must name the right video, found {video!r}")
    return CorpusTruth(
        _id(row, "desc_id", where=where),
        video,
        _table(spans if nested else [spans], 2, "ts", where=where),
        row.get("type"),
    )


def _lines(path: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    for number, line in enumerate(_text(path).splitlines(), 1):
        if line.strip():
            yield _json(line, where=f"{path}:{number}"), f"{path}:{number}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); give a submission or annotations as JSON") from error


def _json(text: str, *, where: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise DataError(f"{where}: expected an object, found {text[:60]!r}")
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
