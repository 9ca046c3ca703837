"""Annotations from one form to another: the project's own, the field's caption files, each benchmark's own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prvr.core.errors import DataError
from prvr.core.files import write_whole
from prvr.core.types import Query
from prvr.data.annotations import group_by_video
from prvr.data.benchmarks import charades, charades_text
from prvr.data.benchmarks.catalogue import BENCHMARKS
from prvr.data.benchmarks.forms import CAPTIONS, JSONL, AnnotationForm, form, form_of
from prvr.data.benchmarks.opening import Annotations, open_annotations

_FIELDS = {
    "query_id": "query ids",
    "video_id": "video ids",
    "text": "spacing of the sentence",
    "windows": "moments",
    "duration_s": "length of the video",
    "attributes": "true meaning",
    "source": "what the source file says beyond a query",
}


@dataclass(frozen=True, kw_only=True)
class Unwritten:
    """What a form has no place for."""

    file: Path
    field: str  # of `Query`
    queries: int  # how many read back with another value

    def __str__(self) -> str:
        return f"{self.file.name}: {_FIELDS[self.field]} of {self.queries:,} queries"


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What was written, and what could not be."""

    files: tuple[Path, ...]
    queries: int
    lost: tuple[Unwritten, ...]  # empty: reading the files gives the same queries


def convert(source: Path, target: Path, *, to: str) -> Converted:
    """Write annotations down in another form (`prvr.data.benchmarks.forms`), whole or not at all.

    A file becomes the file `target`; a folder becomes every split below the folder `target`, under the names that the
    form has for them. What is written is first read back: `Converted.lost` counts every field that would differ.
    Raises ConfigError for a form that does not exist; DataError for a source that cannot be read, for queries that the
    form cannot hold at all, and for files that are there already.
    """
    wanted = form(to)
    if source.is_dir():
        annotations = open_annotations(source)
        inputs = _targets(annotations, target, wanted)
        read = {path: annotations.queries(split) for path, split in inputs.items()}
    else:
        read = {target: form_of(source).read(source)}
    written = {path: _rendered(queries, wanted, source) for path, queries in read.items()}
    lost = [loss for path, queries in read.items() for loss in _losses(path, queries, written[path][1])]
    _write_all({path: text for path, (text, _) in written.items()})
    return Converted(files=tuple(written), queries=sum(map(len, read.values())), lost=tuple(lost))


def _targets(annotations: Annotations, target: Path, wanted: AnnotationForm) -> dict[Path, str]:
    """File to write -> the split that goes into it."""
    as_text = wanted.name == charades_text.NAME
    known = next((one for one in BENCHMARKS if one.name == (charades.NAME if as_text else wanted.name)), None)
    if known is None:
        collection = annotations.benchmark.collection if annotations.benchmark else annotations.root.resolve().name
        name = {JSONL.name: "annotations/{split}.jsonl", CAPTIONS.name: f"TextData/{collection}{{split}}.caption.txt"}
        return {target / name[wanted.name].format(split=split): split for split in annotations.splits}
    evaluated = {annotations.source(split) for split in annotations.splits if split != known.train}
    if len(evaluated) > 1:
        raise DataError(
            f"{annotations.root}: has a val and a test split, and {known.title} has one evaluated split; "
            "convert one file at a time"
        )
    releases = {split: release for split in annotations.splits if (release := known.release(split))}
    return {target / (one.text_file if as_text else one.file): split for split, one in releases.items()}


def _rendered(queries: Sequence[Query], wanted: AnnotationForm, source: Path) -> tuple[str, list[Query]]:
    """The text of a file, and what is read from it. Raises DataError where the form cannot hold some query at all."""
    try:
        text = wanted.render(queries)
        return text, wanted.parse(text, where=wanted.name)
    except DataError as error:
        raise DataError(f"{source}: cannot be written in the form {wanted.name!r} ({error})") from error


def _losses(path: Path, queries: Sequence[Query], again: Sequence[Query]) -> list[Unwritten]:
    """What reading the written text back does not give again."""
    before, after = _by_video(queries), _by_video(again)  # one form keeps queries by video
    counts = {
        name: sum(getattr(old, name) != getattr(new, name) for old, new in zip(before, after, strict=True))
        for name in _FIELDS
    }
    return [Unwritten(file=path, field=name, queries=count) for name, count in counts.items() if count]


def _by_video(queries: Sequence[Query]) -> list[Query]:
    return [query for group in group_by_video(queries).values() for query in group]


def _write_all(contents: Mapping[Path, str]) -> None:
    """Write several files, or none of them. Raises DataError when one is there already or cannot be written."""
    for path in contents:
        if path.exists():
            raise DataError(f"{path}: is there already; name another target, or move it away")
    parts = {path: path.with_name(f".{path.name}.{os.getpid()}.part") for path in contents}
    done: list[Path] = []
    try:
        for path, text in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(parts[path], text.encode())
        for path, part in parts.items():
            part.replace(path)
            done.append(path)
    except OSError as error:
        for path in (*parts.values(), *done):
            with contextlib.suppress(OSError):
                path.unlink()
        raise DataError(f"{error.filename or next(iter(contents))}: cannot be written ({error.strerror})") from error
