"""A folder of annotations, whatever form they lie there in."""

from __future__ import annotations

import contextlib
import json
import re
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from prvr.core.errors import DataError
from prvr.core.types import Query
from prvr.data.benchmarks import charades_text
from prvr.data.benchmarks.catalogue import BENCHMARKS, Benchmark, benchmark
from prvr.data.benchmarks.forms import CAPTIONS, JSONL, AnnotationForm, form
from prvr.data.benchmarks.rows import one_line

SPLITS = ("train", "val", "test")
_CAPTION_FILE = re.compile(r"(?P<collection>.*?)(?P<split>train|val|test)\.caption\.txt")


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """The annotation files of one benchmark, found and not yet read.

    Training selects on `val` and reports on `test`. Where a benchmark has one evaluated split (the authors' files of
    all four; caption files without the other), both names lead to it: that is the published protocol.
    """

    root: Path
    form: AnnotationForm = field(repr=False)
    benchmark: Benchmark | None = field(repr=False)  # None where the files do not say
    files: Mapping[str, Path] = field(repr=False)  # every name that a split is reached by -> its file
    moments: Annotations | None = field(default=None, repr=False)  # the authors' files that lie beside caption files

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of train, val and test that are there."""
        return tuple(split for split in SPLITS if split in self.files)

    def source(self, split: str) -> Path:
        """The file of `train`, `val`, `test`, or of a split by its authors' name (`val_2`).

        Raises DataError when it is not there.
        """
        if split not in self.files:
            there = ", ".join(sorted(self.files))
            raise DataError(f"{self._expected(split)}: no annotations of split {split!r} here; there are {there}")
        return self.files[split]

    def queries(self, split: str) -> list[Query]:
        """The queries of one split, in file order. Raises DataError naming file, line and what was expected.

        Caption files know no moments: they come from the authors' files where those lie in the same folder.
        """
        queries = self.form.read(self.source(split))
        if self.moments and split in self.moments.files:
            return with_moments(queries, self.moments.queries(split))
        return queries

    def all_queries(self) -> list[Query]:
        """Those of every split, each file once."""
        files = {self.files[split]: split for split in reversed(self.splits)}
        return [query for split in sorted(files.values(), key=SPLITS.index) for query in self.queries(split)]

    def _expected(self, split: str) -> Path:
        folder = next(iter(self.files.values())).parent
        release = self.benchmark.release(split) if self.benchmark else None
        if self.form is JSONL:
            return folder / f"{split}.jsonl"
        return folder / release.file if release and self.form is not CAPTIONS else folder


def open_annotations(root: Path, *, name: str | None = None) -> Annotations:
    """The annotations below a folder: the project's own, else the field's caption files, else the authors' files::

        root/annotations/{train,val,test}.jsonl
        root/[<collection>/]TextData/<collection>{train,val,test}.caption.txt
        root/[<benchmark>/]<the authors' file names>, see `catalogue`

    `name` chooses a benchmark where several lie below root. Raises DataError saying what was looked for and where,
    ConfigError for a benchmark that does not exist.
    """
    wanted = benchmark(name) if name else None
    for found in (_own(root, wanted), _captions(root, wanted), _authors(root, wanted)):
        if len(found) > 1:
            names = ", ".join(str(one.files[one.splits[0]].parent) for one in found)
            raise DataError(
                f"{root}: holds annotations of more than one benchmark ({names}); name one of these folders"
            )
        if found:
            return found[0]
    chosen = (wanted,) if wanted else BENCHMARKS
    files = "; ".join(
        f"{one.title}: {', '.join(file for release in one.releases for file in release.files)}" for one in chosen
    )
    raise DataError(
        f"{root}: no annotations here; looked for annotations/train.jsonl, val.jsonl, test.jsonl, for "
        f"TextData/<collection>train.caption.txt, and for the authors' files ({files})"
    )


def with_moments(queries: Sequence[Query], known: Sequence[Query]) -> list[Query]:
    """The queries, with moments and lengths of those among `known` that say the same of the same video.

    Spacing does not matter. What a video's queries say twice is given in order; a query without its like stays as is.
    """
    waiting: dict[tuple[str, str], deque[Query]] = defaultdict(deque)
    for query in known:
        waiting[query.video_id, one_line(query.text)].append(query)

    def found(query: Query) -> Query:
        alike = waiting[query.video_id, one_line(query.text)]
        if not alike:
            return query
        twin = alike.popleft()
        return replace(query, windows=twin.windows, duration_s=twin.duration_s, source=twin.source)

    return [found(query) for query in queries]


def _own(root: Path, wanted: Benchmark | None) -> list[Annotations]:
    files = {split: path for split in SPLITS if (path := root / "annotations" / f"{split}.jsonl").is_file()}
    if not files:
        return []
    known = _said(next(iter(files.values()))) or wanted
    return [Annotations(root=root, form=JSONL, benchmark=known, files=files)] if wanted in (None, known) else []


def _said(path: Path) -> Benchmark | None:
    """The benchmark that the first query of one of our files came from, if it says so."""
    with (
        contextlib.suppress(OSError, ValueError),
        path.open(encoding="utf-8-sig") as file,
    ):  # told when the file is read
        match json.loads(file.readline()):
            case {"source": {"benchmark": str() as name}}:
                return next((known for known in BENCHMARKS if known.name == name), None)
    return None


def _captions(root: Path, wanted: Benchmark | None) -> list[Annotations]:
    by_collection: dict[tuple[Path, str], dict[str, Path]] = {}
    for path in sorted([*root.glob("TextData/*.caption.txt"), *root.glob("*/TextData/*.caption.txt")]):
        if match := _CAPTION_FILE.fullmatch(path.name):
            by_collection.setdefault((path.parent, match["collection"]), {})[match["split"]] = path
    of_collection = {known.collection: known for known in BENCHMARKS} | {known.name: known for known in BENCHMARKS}
    found = []
    for (_, collection), files in by_collection.items():
        known = of_collection.get(collection)
        if wanted in (None, known):
            both = {"val": files.get("test"), "test": files.get("val")} | files
            there = {split: file for split in SPLITS if (file := both.get(split))}
            moments = next(iter(_authors(root, known)), None) if known else None
            found.append(Annotations(root=root, form=CAPTIONS, benchmark=known, files=there, moments=moments))
    return found


def _authors(root: Path, wanted: Benchmark | None) -> list[Annotations]:
    found = []
    for known in (wanted,) if wanted else BENCHMARKS:
        for folder in dict.fromkeys((root, root / known.folder, root / known.name)):
            names = dict.fromkeys((*SPLITS, *(release.split for release in known.releases)))
            pairs = [(split, one) for split in names if (one := known.release(split))]
            files = {split: path for split, one in pairs if (path := folder / one.file).is_file()}
            texts = {
                split: path for split, one in pairs if one.text_file and (path := folder / one.text_file).is_file()
            }
            if files or texts:
                written = form(known.name if files else charades_text.NAME)
                found.append(Annotations(root=root, form=written, benchmark=known, files=files or texts))
                break
    return found
