"""The forms that annotations come in: how each is recognised, read and written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prvr.core.config import closest
from prvr.core.errors import DataError
from prvr.core.types import Query
from prvr.data.annotations import parse_queries, read_text, render_queries
from prvr.data.benchmarks import activitynet, captions, charades, charades_text, qvhighlights, tvr


class Parse(Protocol):
    """The content of a file -> its queries; `where` names the file in errors."""

    def __call__(self, text: str, *, where: str) -> list[Query]:
        """Raises DataError."""
        ...


@dataclass(frozen=True, kw_only=True)
class AnnotationForm:
    """One way of writing annotations down."""

    name: str  # as said to `prvr data convert --to`
    expected: str  # what a file of it holds, for people
    parse: Parse
    render: Callable[[Sequence[Query]], str]

    def read(self, path: Path) -> list[Query]:
        """One file -> its queries, in file order. Raises DataError naming file, line and what was expected."""
        return self.parse(read_text(path, expected=self.expected), where=str(path))


JSONL = AnnotationForm(
    name="jsonl", expected="JSON lines, one query a line", parse=parse_queries, render=render_queries
)
CAPTIONS = AnnotationForm(
    name="captions", expected="lines of '<video id>#<n> <sentence>'", parse=captions.parse, render=captions.render
)
FORMS: tuple[AnnotationForm, ...] = (
    JSONL,
    CAPTIONS,
    AnnotationForm(
        name=qvhighlights.NAME,
        expected="QVHighlights' JSON lines",
        parse=qvhighlights.parse,
        render=qvhighlights.render,
    ),
    AnnotationForm(name=tvr.NAME, expected="TVR's JSON lines", parse=tvr.parse, render=tvr.render),
    AnnotationForm(
        name=activitynet.NAME,
        expected="ActivityNet Captions' one JSON object",
        parse=activitynet.parse,
        render=activitynet.render,
    ),
    AnnotationForm(
        name=charades.NAME, expected="Charades-STA's JSON lines", parse=charades.parse, render=charades.render
    ),
    AnnotationForm(
        name=charades_text.NAME,
        expected="Charades-STA's lines of '<video> <start> <end>##<sentence>'",
        parse=charades_text.parse,
        render=charades_text.render,
    ),
)


def form(name: str) -> AnnotationForm:
    """The form of a name; a benchmark's own form is called as the benchmark is. Raises ConfigError."""
    by_name = {known.name: known for known in FORMS}
    return by_name[closest(name, list(by_name), what=f"form of annotations {name!r}")]


def form_of(path: Path) -> AnnotationForm:
    """The form of one file, told by its first query. Raises DataError when it is none of them."""
    text = read_text(path, expected=f"one of the forms {', '.join(known.name for known in FORMS)}")
    first = next((line.strip() for line in text.split("\n") if line.strip()), "")
    try:
        row = json.loads(text if path.suffix == ".json" else first)
    except json.JSONDecodeError:
        if charades_text.is_line(first):
            return form(charades_text.NAME)
        if not first.startswith("{") and captions.is_line(first):
            return CAPTIONS
        raise DataError(
            f"{path}: is of no form that is known ({', '.join(known.name for known in FORMS)}); found {first[:60]!r}"
        ) from None
    return form(_name_of(row, path))


def _name_of(row: object, path: Path) -> str:
    """The form whose keys a first row has."""
    keys = set(row) if isinstance(row, dict) else set()
    if "query_id" in keys:
        return JSONL.name
    if "vid_name" in keys:
        return tvr.NAME
    if isinstance(row, dict) and "vid" in keys:  # the split that is sent in to be scored has no moments
        cut = "relevant_windows" not in keys and qvhighlights.is_cut(row["vid"])
        return qvhighlights.NAME if cut or "saliency_scores" in keys else charades.NAME
    if isinstance(row, dict) and all(isinstance(value, dict) and "sentences" in value for value in row.values()):
        return activitynet.NAME
    raise DataError(
        f"{path}: is of no form that is known ({', '.join(known.name for known in FORMS)}); "
        f"its first row has the keys {', '.join(sorted(map(str, keys))[:6]) or 'of none'}"
    )
