"""Moments and highlights that somebody submitted, scored as the evaluators of QVHighlights and TVR score them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prvr.core.errors import ConfigError, DataError
from prvr.core.files import write_whole
from prvr.data.annotations import read_text
from prvr.data.benchmarks import benchmark, open_annotations
from prvr.data.benchmarks.forms import form
from prvr.evaluation import qvhighlights, submissions, tvr
from prvr.evaluation.report import grid


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """What an evaluator says of a submission."""

    title: str  # of the benchmark
    tree: Mapping[str, Any]  # the numbers under the names and in the form that the evaluator prints
    tables: Sequence[str]  # the main ones for people
    notes: Sequence[str]  # what was left out or counted as wrong

    def save(self, path: Path) -> None:
        """The tree as JSON. Raises DataError where it cannot be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(self.tree, indent=1).encode())
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror}); choose another place") from error


def evaluate_submission(
    path: Path, data: Path, split: str | None = None, *, strict: bool = True, nms: float | None = None
) -> Submitted:
    """Score a file by the ground truth in `data`: the authors' annotation file, or a folder of them.

    `strict`: DataError where the published evaluator fails; else what is missing counts as wrong. `nms`: windows that
    overlap a better one by more than this are dropped before. Raises DataError naming the file, the line and the next
    step.
    """
    if nms is not None and not 0 <= nms <= 1:
        raise ConfigError(f"--nms {nms:g}: is an overlap of two windows; give a number from 0 to 1, such as 0.5")
    text = read_text(path, expected="a submission to QVHighlights or TVR")
    name = submissions.kind_of(text, where=str(path))
    score = _corpus if name == "tvr" else _moments
    return score(text, str(path), *_ground_truth(data, split, name), strict, nms)


def _moments(text: str, where: str, truth: str, truth_where: str, strict: bool, nms: float | None) -> Submitted:
    given = submissions.predictions(text, where=where)
    asked = submissions.truths(truth, where=truth_where)
    with _naming(where):
        kept = given if nms is None else qvhighlights.suppressed(given, nms)
        scores = qvhighlights.evaluate(kept, asked, strict=strict)
    tree = scores.to_dict()
    tables = []
    if scores.moments is not None:
        rows = {
            name: {
                "queries": str(group.num_queries if group else 0),
                "mAP": tree[name]["MR-mAP"]["average"],
                **{f"mAP@{least}": tree[name]["MR-mAP"][least] for least in ("0.5", "0.75")},
                **{f"R1@{least}": tree[name]["MR-R1"][least] for least in ("0.5", "0.7")},
            }
            for name, group in reversed([*scores.moments.items()])
        }
        tables.append(_table("moments", rows))
    if scores.highlights is not None:
        levels = {name: tree[f"HL-min-{name}"] for name in scores.highlights}
        tables.append(
            _table("highlights", {name: {"mAP": x["HL-mAP"], "Hit1": x["HL-Hit1"]} for name, x in levels.items()})
        )
    return Submitted(title="QVHighlights", tree=tree, tables=tables, notes=scores.left_out.notes())


def _corpus(text: str, where: str, truth: str, truth_where: str, strict: bool, nms: float | None) -> Submitted:
    given = submissions.parse_submission(text, where=where)
    asked = submissions.corpus_truths(truth, where=truth_where)
    with _naming(where):
        scores = tvr.evaluate(given if nms is None else tvr.suppressed(given, nms), asked, strict=strict)
    tables = []
    for task, values in scores.tasks.items():
        typed = scores.by_type.get(task, {})
        kinds = [kind for kind in tvr.TYPES if f"{kind}-{next(iter(values), '')}" in typed]
        rows: dict[str, Mapping[str, float | None]] = {"all": values}
        rows |= {kind: {name: typed[f"{kind}-{name}"] for name in values} for kind in kinds}
        tables.append(_table(task, rows))
    return Submitted(title="TVR", tree=scores.to_dict(), tables=tables, notes=scores.notes())


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """What an evaluator finds wrong is wrong in this file."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _ground_truth(data: Path, split: str | None, name: str) -> tuple[str, str]:
    """The content of the authors' annotation file, and what it is called in errors."""
    title = benchmark(name).title
    if data.is_file():
        return read_text(data, expected=f"the annotations of {title}"), str(data)
    annotations = open_annotations(data, name=name)
    annotations = annotations.moments or annotations
    path = annotations.source(split or ("test" if "test" in annotations.splits else "val"))
    if annotations.form.name == name:
        return read_text(path, expected=f"the annotations of {title}"), str(path)
    queries = annotations.form.read(path)
    for query in queries:
        if (query.source or {}).get("benchmark") != name:
            raise DataError(
                f"{path}: query {query.query_id!r} does not say what the authors of {title} annotated of it, and the "
                f"submission is to {title}; give their annotation file as --data"
            )
    return form(name).render(queries), str(path)


def _table(title: str, rows: Mapping[str, Mapping[str, float | str | None]]) -> str:
    """A small table, a row each; a number that there is none for is n/a."""
    names = list(next(iter(rows.values())))
    columns = [[name, *(_cell(row[name]) for row in rows.values())] for name in names]
    return "\n".join(grid([title, *rows], columns))


def _cell(value: float | str | None) -> str:
    return value if isinstance(value, str) else "n/a" if value is None else f"{value:.2f}"
