"""What lies in a folder of annotations and features, what is missing and what it would need, before an hour is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from prvr.core.checks import Check
from prvr.core.errors import FeatureError, PrvrError
from prvr.core.types import Query
from prvr.data.annotations import group_by_video
from prvr.data.benchmarks import Annotations, Benchmark, open_annotations
from prvr.data.benchmarks.catalogue import BENCHMARKS, PackFiles, Release
from prvr.features.packs import FeaturePack, PackFolder, open_packs
from prvr.features.store import HEADER, FeatureStore

T = TypeVar("T")

SAMPLE = 64  # keys of a pack that are decoded, spread over all of it
_NAMED = 3  # missing ids that are named


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A folder, looked at."""

    root: Path
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether one can train and evaluate with it."""
        return all(check.ok for check in self.checks)


class _Rows(NamedTuple):
    """A sample of what a pack or a store holds."""

    keys: list[str]
    rows: list[Tensor]  # (n, E) float32 each


def check(root: Path, *, sample: int = SAMPLE) -> Checked:
    """Annotations and features below a folder, compared with each other and with what was published.

    Raises nothing a user could have caused: what is wrong is a line, with its fix.
    """
    checks: list[Check] = []
    annotations = _tried(checks, "annotations", lambda: open_annotations(root))
    splits = _annotation_checks(checks, annotations) if annotations else {}
    benchmark = annotations.benchmark if annotations else None
    if (root / "features" / HEADER).exists():
        store = _tried(checks, "features", lambda: FeatureStore.open(root / "features"))
        checks += _store_checks(store, splits, sample) if store else []
        return Checked(root=root, checks=tuple(checks))
    before = len(checks)
    packs = _tried(checks, "features", lambda: open_packs(root))
    if packs:
        checks += _pack_checks(packs, splits, benchmark or _benchmark_of(packs), sample)
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
    return Check(f"annotations of {name}", True, found)


def _pack_checks(
    packs: PackFolder, splits: Mapping[str, Sequence[Query]], benchmark: Benchmark | None, sample: int
) -> list[Check]:
    published = None if packs.simulated else _published(packs, benchmark)
    checks = [Check("simulated", True, "features are simulated from annotations, not made from videos")]
    checks = checks if packs.simulated else []
    checks += [
        _pack("video pack", packs.video, published.video_width if published else None, published),
        _pack("text pack", packs.text, published.text_width if published else None, published),
    ]
    swapped = _swapped(packs, splits)
    if swapped:
        return [*checks, swapped]
    for split, queries in splits.items():
        videos = list(group_by_video(queries))
        checks.append(_present(f"videos of {split}", len(videos), packs.missing_videos(videos), packs.video.path))
        ids = [query.query_id for query in queries]
        checks.append(_present(f"queries of {split}", len(ids), packs.missing_queries(ids), packs.text.path))
    durations = {query.video_id: query.duration_s for queries in splits.values() for query in queries}
    annotated = [video for video in durations if packs.has_video(video)]
    frames = _sample(
        annotated or packs.video.keys(),
        lambda key: packs.read_video(key).features if annotated else packs.video.read(key),
        sample,
    )
    words = _sample(packs.text.keys(), packs.text.read, sample)
    checks += [_values("video sample", frames, packs.video.path), _values("text sample", words, packs.text.path)]
    if isinstance(frames, _Rows) and annotated:
        checks += _rate(frames, durations)
    return checks


def _pack(name: str, pack: FeaturePack, width: int | None, published: PackFiles | None) -> Check:
    """Its name, its size, and its width beside the published one."""
    found = f"{pack.name}: {len(pack):,} keys, {pack.width} wide, {pack.dtype}, in {pack.path}"
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


def _swapped(packs: PackFolder, splits: Mapping[str, Sequence[Query]]) -> Check | None:
    """Whether the keys of the video pack are queries, or those of the text pack videos."""
    queries = [query for part in splits.values() for query in part]
    as_queries = sum("#" in key for key in packs.video.keys()) > len(packs.video) / 2  # noqa: SIM118
    mirrored = PackFolder(root=packs.root, video=packs.text, text=packs.video)
    as_videos = bool(queries) and mirrored.has_video(queries[0].video_id) and not packs.has_query(queries[0].query_id)
    if not as_queries and not as_videos:
        return None
    what = "the keys of the video pack are queries" if as_queries else "the keys of the text pack are videos"
    return Check(
        "keys",
        False,
        f"{what} ({packs.video.path if as_queries else packs.text.path})",
        "FeatureData is for the frames of videos, TextData for the words of queries: swap the files, or get them again",
    )


def _present(name: str, total: int, missing: Sequence[str], where: Path) -> Check:
    """How many ids of the annotations have features, and which do not."""
    if not missing:
        return Check(name, True, f"all {total:,} have features")
    first = ", ".join(missing[:_NAMED]) + ", …" * (len(missing) > _NAMED)
    return Check(
        name,
        False,
        f"{len(missing):,} of {total:,} have no features in {where}: {first}",
        "get a pack that has them, or remove their lines from the annotations"
        if len(missing) < total
        else "this is the pack of other videos or queries, or its keys are spelled otherwise: get the right one",
    )


def _sample(keys: Sequence[str], read: Callable[[str], Tensor], count: int) -> _Rows | FeatureError:
    """Keys spread over all of them, and what they hold; or why one cannot be read."""
    step = max(1, len(keys) // max(count, 1))
    chosen = list(keys)[::step][:count]
    try:
        return _Rows(chosen, [read(key) for key in chosen])
    except FeatureError as error:
        return error


def _values(name: str, sample: _Rows | FeatureError, where: Path) -> Check:
    """Shapes, lengths of rows, and whether all of them are numbers."""
    if isinstance(sample, FeatureError):
        found, _, fix = str(sample).partition("; ")
        return Check(name, False, found, fix)
    empty = [key for key, rows in zip(*sample, strict=True) if not len(rows)]
    broken = [key for key, rows in zip(*sample, strict=True) if not rows.isfinite().all()]
    for keys, what in ((empty, "hold no rows"), (broken, "hold NaN or infinity")):
        if keys:
            first = ", ".join(keys[:_NAMED]) + ", …" * (len(keys) > _NAMED)
            return Check(
                name, False, f"{len(keys)} of {len(sample.keys)} looked at {what}: {first}", f"get {where} again"
            )
    counts = [len(rows) for rows in sample.rows]
    norms = torch.cat([rows.norm(dim=1) for rows in sample.rows])
    found = (
        f"{len(counts)} read: {min(counts)} to {max(counts)} rows, {sample.rows[0].shape[1]} wide, "
        f"rows of length {norms.min():.3g} to {norms.max():.3g}, no NaN"
    )
    if norms.max() == 0:
        return Check(name, False, f"{found}; all of them are zero", f"get {where} again")
    return Check(name, True, found)


def _rate(frames: _Rows, durations: Mapping[str, float | None]) -> list[Check]:
    """Seconds a row stands for, by the annotated lengths; the same everywhere unless a pack caps its rows."""
    pairs = zip(frames.keys, frames.rows, strict=True)
    steps = {key: length / len(rows) for key, rows in pairs if len(rows) and (length := durations.get(key))}
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
            f"{found}; {len(odd)} lie far off, such as {odd[0]}",
            "the pack may be of other cuts of these videos, so that moments would be wrong: compare their lengths",
        )
    ]


def _store_checks(store: FeatureStore, splits: Mapping[str, Sequence[Query]], sample: int) -> list[Check]:
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
    rows = _sample(list(entries), lambda key: store.read(key).features, sample)
    return [*checks, _values("video sample", rows, store.folder)] if entries else checks


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
