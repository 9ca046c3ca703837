"""What lies in a folder of annotations and features, what is missing and what it would need, before an hour is lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median, median_low
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from prvr.core.checks import Check
from prvr.core.errors import FeatureError, PrvrError
from prvr.core.types import Query
from prvr.data.annotations import group_by_video
from prvr.data.benchmarks import Annotations, Benchmark, open_annotations
from prvr.data.benchmarks.catalogue import BENCHMARKS, PackFiles, Release
from prvr.data.sources import PackSource
from prvr.features.packs import NO_NUMBERS, FeaturePack, PackFolder, TextKeys, match, open_packs
from prvr.features.store import HEADER, FeatureStore

T = TypeVar("T")
K = TypeVar("K")

Counted = Callable[[int, int], None]
"""(entries read, of how many)"""

_NAMED = 3  # missing ids that are named
_NAMED_BROKEN = 20  # ids of entries that have to be made again
_PADDED = 3  # sentences differ by so many words, and all have as many rows


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A folder, looked at."""

    root: Path
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether one can train and evaluate with it."""
        return all(check.ok for check in self.checks)


def check(root: Path, *, on_progress: Counted | None = None) -> Checked:
    """Annotations and features below a folder, compared with each other and with what was published.

    Every video and every query is read. Raises nothing a user could have caused: what is wrong is a line, with its fix.
    """
    checks: list[Check] = []
    annotations = _tried(checks, "annotations", lambda: open_annotations(root))
    splits = _annotation_checks(checks, annotations) if annotations else {}
    benchmark = annotations.benchmark if annotations else None
    report = on_progress or (lambda *_: None)
    if (root / "features" / HEADER).exists():
        store = _tried(checks, "features", lambda: FeatureStore.open(root / "features"))
        checks += _store_checks(store, splits, report) if store else []
        return Checked(root=root, checks=tuple(checks))
    before = len(checks)
    packs = _tried(checks, "features", lambda: open_packs(root))
    if packs:
        checks += _pack_checks(packs, splits, benchmark or _benchmark_of(packs), report)
    elif len(checks) == before:
        checks.append(Check("features", False, f"none below {root}", _needed(benchmark, root)))
    return Checked(root=root, checks=tuple(checks))


def _tried(checks: list[Check], name: str, look: Callable[[], T]) -> T | None:
    """What `look` gives, or a line with the reason why it does not."""
    try:
        return look()
    except PrvrError as error:
        found, _, fix = str(error).partition("; ")
        checks.append(Check(name, False, found, fix))
        return None


def _annotation_checks(checks: list[Check], annotations: Annotations) -> dict[str, list[Query]]:
    """A line a file; the queries by the names that lead to them (`val, test`)."""
    names: dict[Path, list[str]] = {}
    for split in annotations.splits:
        names.setdefault(annotations.source(split), []).append(split)
    splits: dict[str, list[Query]] = {}
    for path, of_file in names.items():
        name = ", ".join(of_file)
        queries = _tried(checks, f"annotations of {name}", partial(annotations.queries, of_file[0]))
        if queries:
            splits[name] = queries
            release = annotations.benchmark.release(of_file[0]) if annotations.benchmark else None
            checks.append(_counts(name, path, queries, release))
    for split in (split for split in ("train", "val") if split not in annotations.splits):
        release = annotations.benchmark.release(split) if annotations.benchmark else None
        file = release.file if release else f"annotations/{split}.jsonl"
        checks.append(Check(f"annotations of {split}", False, "none", f"put {file} beside the others, to train"))
    return splits


def _counts(name: str, path: Path, queries: Sequence[Query], release: Release | None) -> Check:
    """The counts of one file beside the published ones."""
    videos = len(group_by_video(queries))
    found = f"{videos:,} videos, {len(queries):,} queries in {path}"
    if release and (release.videos, release.queries) != (videos, len(queries)):
        found += f"; published are {release.videos:,} and {release.queries:,}, so results cannot be compared with those"
    late = sum(bool((query.source or {}).get("relevant_windows")) for query in queries)
    if late:
        found += f"; {late:,} have moments that end after their video, which are clipped"
    return Check(f"annotations of {name}", True, found)


def _pack_checks(
    packs: PackFolder, splits: Mapping[str, Sequence[Query]], benchmark: Benchmark | None, report: Counted
) -> list[Check]:
    published = None if packs.simulated else _published(packs, benchmark)
    checks = [Check("simulated", True, "features are simulated from annotations, not made from videos")]
    checks = checks if packs.simulated else []
    checks += [
        _pack("video pack", packs.video, published.video_width if published else None, published),
        _pack("text pack", packs.text, published.text_width if published else None, published),
    ]
    queries = [query for part in splits.values() for query in part]
    source = PackSource(packs, queries, memory=packs.root / "prepared" / "contents.json")
    keys = match(packs.text, queries)
    swapped = _swapped(packs, source, keys)
    if swapped:
        return [*checks, swapped]
    missing = set(keys.missing)
    for split, part in splits.items():
        videos, ids = list(group_by_video(part)), [query.query_id for query in part]
        without = [video for video in videos if video not in source]
        checks.append(_present(f"videos of {split}", len(videos), without, packs.video))
        checks.append(_present(f"queries of {split}", len(ids), [one for one in ids if one in missing], packs.text))
    if keys.shared:
        checks.append(Check("queries", False, f"{packs.text.path}: {keys.said_of_shared}", NO_NUMBERS))
    annotated = [video for video in group_by_video(queries) if video in source]
    entries = {video: source.keys(video) for video in annotated} or {key: [key] for key in list(packs.video.keys())}
    words = {query.query_id: query.text for query in queries if query.query_id in keys.of}
    said = keys.of or {key: key for key in list(packs.text.keys())}
    total = len(entries) + len(said)
    number: dict[str, int] = {}  # rows of every key

    def read_video(keys: list[str]) -> NDArray[np.float32]:
        rows = [packs.video.read(key).numpy() for key in keys]
        number.update(zip(keys, map(len, rows), strict=True))
        return np.concatenate(rows)

    frames = _Seen.of(entries, read_video, report, 0, total)
    spoken = _Seen.of(said, lambda key: packs.text.read(key).numpy(), report, len(entries), total)
    checks += [frames.line("video features", packs.video.path), spoken.line("text features", packs.text.path)]
    checks += _padded(spoken, words)
    return checks + _rate(frames, source.durations) * bool(annotated) + _cuts(source, number)


def _pack(name: str, pack: FeaturePack, width: int | None, published: PackFiles | None) -> Check:
    """Its name, its size, and its width beside the published one."""
    found = f"{pack.name}: {len(pack):,} keys, {pack.width} wide, {pack.dtype}, in {pack.path}"
    if name == "video pack" and pack.dtype == "float16":
        found += " (MSC's authors prepare it in half precision: `--set prepare.precision=fp16`)"
    if published is None or width is None:
        return Check(name, True, f"{found}; not a published pack, so its width is taken as it is")
    if pack.width == width:
        return Check(name, True, f"{found}; as published ({published.title})")
    other = published.text_width if name == "video pack" else published.video_width
    guess = "it looks like the other pack of the pair" if pack.width == other else "it holds other features"
    return Check(
        name,
        False,
        f"{found}; published under this name ({published.title}) are features {width} wide: {guess}",
        f"get {published.video if name == 'video pack' else published.text} again, or give yours a name of its own",
    )


def _swapped(packs: PackFolder, source: PackSource, keys: TextKeys) -> Check | None:
    """Whether the keys of the video pack are queries, or those of the text pack videos."""
    known = any(video in source for video in source.videos)
    as_queries = not known and sum("#" in key for key in packs.video.keys()) > len(packs.video) / 2  # noqa: SIM118
    mirrored = PackFolder(root=packs.root, video=packs.text, text=packs.video)
    as_videos = not keys.of and any(mirrored.video_keys(video) for video in source.videos)
    if not as_queries and not as_videos:
        return None
    what = "the keys of the video pack are queries" if as_queries else "the keys of the text pack are videos"
    return Check(
        "keys",
        False,
        f"{what} ({packs.video.path if as_queries else packs.text.path})",
        "FeatureData is for the frames of videos, TextData for the words of queries: swap the files, or get them again",
    )


def _present(name: str, total: int, missing: Sequence[str], where: FeaturePack | Path) -> Check:
    """How many ids of the annotations have features, and which do not."""
    if not missing:
        return Check(name, True, f"all {total:,} have features")
    path, example = (where, "") if isinstance(where, Path) else (where.path, next(iter(where.keys())))
    found = f"{len(missing):,} of {total:,} have no features in {path}: {_some(missing, _NAMED)}"
    if len(missing) < total:
        fix = "get a pack that has them, or remove their lines from the annotations"
    elif re.fullmatch(r"(qid)?\d+", example):
        fix = NO_NUMBERS
    else:
        spelled = "its keys are spelled otherwise" + f", such as {example!r}" * bool(example)
        fix = f"this is the pack of other videos or queries, or {spelled}: get another"
    return Check(name, False, found, fix)


def _some(ids: Sequence[str], most: int) -> str:
    return ", ".join(ids[:most]) + ", …" * (len(ids) > most)


@dataclass
class _Seen:
    """What all entries of a pack or a store hold, of which no more than one is in memory."""

    rows: dict[str, int] = field(default_factory=dict)  # id -> its rows, padding left out
    unreadable: dict[str, str] = field(default_factory=dict)  # id -> why
    broken: list[str] = field(default_factory=list)  # hold NaN or infinity
    zero: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    padded: int = 0  # entries with rows of zeros around the others
    width: int = 0
    shortest: float = np.inf  # lengths of rows
    longest: float = 0.0

    @classmethod
    def of(
        cls, entries: Mapping[str, K], read: Callable[[K], NDArray[np.float32]], report: Counted, done: int, total: int
    ) -> Self:
        """Each entry, read once; `done` of `total` were read before."""
        seen = cls()
        for number, (name, key) in enumerate(entries.items(), done + 1):
            try:
                seen.add(name, read(key))
            except FeatureError as error:
                seen.unreadable[name] = str(error)
            if number % 64 == 0 or number == total:
                report(number, total)
        return seen

    def add(self, name: str, rows: NDArray[np.float32]) -> None:
        """One entry, (n, E)."""
        square = np.einsum("ne,ne->n", rows, rows)
        if not np.isfinite(square).all() and np.isfinite(rows).all():  # too long for float32 alone
            square = np.einsum("ne,ne->n", rows, rows, dtype=np.float64)
        real = square.nonzero()[0]  # NaN is one of them
        if not len(rows):
            self.empty.append(name)
        elif not np.isfinite(square).all():
            self.broken.append(name)
        elif not len(real):
            self.zero.append(name)
        else:
            self.width = rows.shape[1]
            self.rows[name] = int(real[-1] - real[0]) + 1
            self.padded += self.rows[name] < len(rows)
            kept = square[real[0] : real[-1] + 1]
            self.shortest, self.longest = min(self.shortest, kept.min()), max(self.longest, kept.max())

    def line(self, name: str, where: Path) -> Check:
        """Shapes, lengths of rows, and whether all of them are numbers that say something."""
        found = "none can be read"
        if self.rows:
            low, high = min(self.rows.values()), max(self.rows.values())
            lengths = f"{self.shortest**0.5:.3g} to {self.longest**0.5:.3g}"
            found = f"{len(self.rows):,} read: {low} to {high} rows, {self.width} wide, rows of length {lengths}"
        kinds = (
            (self.broken, "hold NaN or infinity"),
            (self.zero, "are zero throughout"),
            (self.empty, "hold no rows"),
            (list(self.unreadable), "cannot be read"),
        )
        wrong = [f"{len(ids):,} {what}: {_some(ids, _NAMED_BROKEN)}" for ids, what in kinds if ids]
        if not wrong:
            return Check(name, True, f"{found}, no NaN")
        reason = next(iter(self.unreadable.values()), "").partition("; ")[0]
        fix = f"make these features again ({where}), or take their lines out of the annotations"
        return Check(name, False, "; ".join([found, *wrong]) + f" ({reason})" * bool(reason), fix)


def _padded(spoken: _Seen, words: Mapping[str, str]) -> list[Check]:
    """Whether sentences are followed by rows that are none of their words."""
    checks = []
    if spoken.padded:
        found = f"{spoken.padded:,} queries have rows of zeros around their words; these are left out"
        checks.append(Check("padding", True, found))
    lengths = [len(text.split()) for text in words.values()]
    rows = {spoken.rows[name] for name in words if name in spoken.rows}
    if len(rows) == 1 and max(rows) > max(lengths) and max(lengths) - min(lengths) >= _PADDED:
        found = f"every query has {max(rows)} rows, though sentences have {min(lengths)} to {max(lengths)} words"
        checks.append(
            Check(
                "padding",
                False,
                f"{found}: they seem padded with rows that are not zero, and the last row is not the sentence",
                "write the words of each query alone, ending with its [EOS]",
            )
        )
    return checks


def _rate(frames: _Seen, durations: Mapping[str, float]) -> list[Check]:
    """Seconds a row stands for, by the annotated lengths; the same everywhere unless a pack caps its rows."""
    steps = {key: length / rows for key, rows in frames.rows.items() if (length := durations.get(key))}
    if not steps:
        return []
    usual = median(steps.values())
    odd = [key for key, step in steps.items() if not usual / 4 <= step <= usual * 4]
    found = f"a row every {usual:.3g} s in the middle of {len(steps)} videos, {min(steps.values()):.3g} to "
    found += f"{max(steps.values()):.3g} s"
    if len(odd) <= len(steps) / 10:
        return [Check("durations", True, found)]
    return [
        Check(
            "durations",
            False,
            f"{found}; {len(odd)} are far off, such as {odd[0]}",
            "the pack may be of other cuts of these videos, so that moments would be wrong: compare their lengths",
        )
    ]


def _cuts(source: PackSource, number: Mapping[str, int]) -> list[Check]:
    """Whether each cut has as many rows as its length says; a shorter download has fewer."""
    lengths = {cut: length for cuts in source.cuts.values() for cut, length in cuts.items() if number.get(cut)}
    if not lengths:
        return []
    usual = median_low(length / number[cut] for cut, length in lengths.items())
    odd = [cut for cut, length in lengths.items() if abs(length / usual - number[cut]) > max(1.5, 0.02 * number[cut])]
    if not odd:
        return [Check("cuts", True, f"each of {len(lengths):,} has a row every {usual:.3g} s")]
    first = f"{odd[0]} with {number[odd[0]]} rows in {lengths[odd[0]]:g} s"
    found = f"{len(odd):,} of {len(lengths):,} have more or fewer rows than one every {usual:.3g} s, such as {first}"
    return [Check("cuts", True, f"{found}; the rows of each are spread over its own length")]


def _store_checks(store: FeatureStore, splits: Mapping[str, Sequence[Query]], report: Counted) -> list[Check]:
    """Our own layout: a store of one encoder, which reads the sentences too."""
    encoder = store.header.encoder
    entries = {entry.video_id: entry for entry in store.entries()}
    checks = [
        Check(
            "feature store",
            bool(entries),
            f"{len(entries):,} videos by {encoder.fingerprint}, {encoder.width} wide, {store.header.rate:g} frames a "
            f"second, in {store.folder}; the same encoder reads the queries",
            "" if entries else f"fill it with `prvr extract PATH --out {store.folder}`",
        )
    ]
    for split, queries in splits.items():
        videos = list(group_by_video(queries))
        missing = [video for video in videos if video not in entries]
        line = _present(f"videos of {split}", len(videos), missing, store.folder)
        checks.append(line if line.ok else line._replace(fix=f"add them: `prvr extract PATH --out {store.folder}`"))
    if not entries:
        return checks
    names = {name: name for name in entries}
    seen = _Seen.of(names, lambda key: store.read(key).features.numpy(), report, 0, len(names))
    return [*checks, seen.line("video features", store.folder)]


def _published(packs: PackFolder, benchmark: Benchmark | None) -> PackFiles | None:
    """What was published under the name of these packs, if anything was."""
    names = {packs.video.name.removeprefix("simulated_"), packs.text.name.removeprefix("simulated_")}
    known = benchmark.packs if benchmark else ()
    return next((pack for pack in known if {Path(pack.video).stem, Path(pack.text).stem} & names), None)


def _benchmark_of(packs: PackFolder) -> Benchmark | None:
    """The benchmark that the packs' names say, where no annotations do."""
    return next((known for known in BENCHMARKS if _published(packs, known)), None)


def _needed(benchmark: Benchmark | None, root: Path) -> str:
    """What would have to lie there."""
    if benchmark is None:
        return f"`prvr extract VIDEOS --out {root / 'features'}`, or a pack in FeatureData/ and TextData/"
    wanted = " or ".join(
        f"{pack.video} ({pack.video_width} wide) with {pack.text} ({pack.text_width} wide)" for pack in benchmark.packs
    )
    return f"put {wanted} there; without them, `prvr data simulate` makes simulated features"
