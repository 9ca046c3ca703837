"""An index made anew, for another encoder, model or form, in the place of the old one, which answers until it is whole.

All videos of the old index are read for the new one, with their tags. What was read for the old one is kept beside it
(`features-ENCODER`), so that going back reads nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from prvr.core.errors import FeatureError
from prvr.core.facts import Facts
from prvr.core.files import there
from prvr.core.text import text_of
from prvr.core.types import Encoder, Query
from prvr.features.extract import Progress, extract
from prvr.features.failures import FILE as FAILURES
from prvr.features.hands import Workplace
from prvr.features.store import FeatureStore, StoreHeader
from prvr.index.base import IndexHeader
from prvr.index.opening import exists, open_index, remake_index
from prvr.index.segments import VectorForm
from prvr.search.calibration import HOME, CalibrationState
from prvr.search.folders import note_read
from prvr.search.indexing import (
    Indexing,
    bytes_per_hour,
    fitting,
    header_for,
    keep_model,
    make_ready,
    refresh,
)
from prvr.search.places import locate, root_of


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """What is known of an index that is to be made anew."""

    header: IndexHeader | None = None  # None: it is not there
    facts: dict[str, Facts] = field(default_factory=dict)
    files: dict[Path, Path] = field(
        default_factory=dict
    )  # those that are there -> the folder that their id counts from
    home: tuple[str | Query, ...] = ()  # sentences that its user gave to calibrate it


def look_at(folder: Path) -> Replaced:
    """The index at `folder`. Raises IndexFolderError for one that cannot be read: what is in it would be lost."""
    if not exists(folder):
        return Replaced()
    with open_index(folder) as index:
        header, facts, state = index.header, dict(index.all_facts()), CalibrationState.of(index)
    found, files = {}, {}
    for video_id, one in facts.items():
        file = locate(folder, one.path)
        name = video_id
        if one.path and there(file):
            root = root_of(file, video_id)
            files[file], name = root, text_of(file.relative_to(root))
        found[name] = one
    said = [one for one in (state.sentences if state else ()) if one.source == HOME]
    home = tuple(Query(query_id="", video_id=one.own, text=one.text) for one in said)
    return Replaced(header=header, facts=found, files=files, home=home)


def replace_index(
    paths: Sequence[Path],
    folder: Path,
    encoder: Encoder,
    *,
    model: Path | None = None,
    rate: float = 1.0,
    max_frames: int | None = None,
    workers: int | None = None,
    place: Workplace | None = None,
    tags: Sequence[str] = (),
    form: VectorForm | None = None,
    exclude: Sequence[str] = (),
    home: Sequence[str | Query] = (),
    clip_weight: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Indexing:
    """As `build_index`, but whatever index lies at `folder` is replaced: its videos are read again, with those below
    `paths`. `tags` are given to all that are read. `place`: as `extract`.

    Videos whose files are gone stay where features of this encoder are kept of them; the others are said to be
    `removed`. Stopped at any moment, the old index is as it was, and the next call goes on from what was read. Raises
    IndexFolderError as `build_index`, and where a server holds the vectors.
    """
    old, trained = look_at(folder), fitting(model, encoder, clip_weight)
    header = StoreHeader(encoder=encoder.spec, rate=rate, max_frames=max_frames)
    features = features_for(folder, header)
    _remember_failures(folder, features)
    extraction = extract(
        paths,
        encoder,
        features,
        rate=rate,
        max_frames=max_frames,
        workers=workers,
        place=place,
        exclude=exclude,
        also=old.files,
        on_progress=on_progress,
    )
    store = extraction.store
    read = {entry.video_id for entry in extraction.entries}
    rest = [entry for one in old.facts if one not in read and (entry := store.entry(one))]
    with store.writing(), remake_index(folder, header_for(encoder.spec, trained), form=form) as index:
        anew = partial(refresh, index, store, trained, before=old.facts, notes=extraction.notes)
        anew(extraction.entries, tags=tags, moved=extraction.moved)
        anew(rest)
        calibrated = make_ready(index, folder, extraction, encoder, trained, home or old.home)
        if model:
            keep_model(model, folder / "model")
        there_now, per_hour, count = set(index.versions), bytes_per_hour(index), len(index)
    if not model:
        shutil.rmtree(folder / "model", ignore_errors=True)
    settle(folder, header)
    note_read(folder, paths, exclude)
    return Indexing(
        extraction=replace(extraction, store=FeatureStore.open(folder / "features")),
        added=tuple(sorted(there_now)),
        num_videos=count,
        removed=tuple(one for one in old.facts if one not in there_now),
        missing=tuple(entry.video_id for entry in rest),
        bytes_per_hour=per_hour,
        calibrated=calibrated,
    )


def features_for(folder: Path, header: StoreHeader) -> Path:
    """Where the features of this kind are in an index folder, or are to be made."""
    aside, ours = folder / _name(header), folder / "features"
    if aside.exists():
        return aside
    return ours if _fits(ours, header) in (True, None) else aside


def kept_features(folder: Path) -> list[Path]:
    """The features of other encoders that are kept in an index folder."""
    return sorted(folder.glob("features-*"))


def settle(folder: Path, header: StoreHeader) -> None:
    """Bring the features of the index that is there now to their place, and those of the one before aside."""
    aside, ours = folder / _name(header), folder / "features"
    if not aside.exists():
        return
    with suppress(FeatureError):  # what is no store any more is named for what it is: in the way
        if ours.exists():
            ours.rename(folder / _name(FeatureStore.open(ours).header))
    if ours.exists():
        ours.rename(folder / "features-damaged")
    aside.rename(ours)


def _fits(folder: Path, header: StoreHeader) -> bool | None:
    """Whether the features in a folder are of this kind; None where there are none."""
    if not folder.exists():
        return None
    try:
        FeatureStore.open(folder).require(header)
    except FeatureError:
        return False
    return True


def _name(header: StoreHeader) -> str:
    """Of a folder for features of one kind."""
    sampled = "" if header.rate == 1 else f"-{header.rate:g}fps"
    sampled += f"-{header.max_frames}" if header.max_frames else ""
    return f"features-{header.encoder.fingerprint.replace('/', '--')}{sampled}"


def _remember_failures(folder: Path, place: Path) -> None:
    """What could not be read, and what of that is to be left alone, is known to the new features too."""
    known = folder / "features" / FAILURES
    if not place.exists() and known.exists():
        place.mkdir()
        shutil.copy(known, place / FAILURES)
