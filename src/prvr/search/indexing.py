"""Folders of video -> an index: extract, encode, add. Only what is missing or has changed is done again."""

from __future__ import annotations

import filecmp
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

from prvr.core.errors import IndexFolderError
from prvr.core.facts import Facts
from prvr.core.files import emptied, there, write_whole
from prvr.core.text import count, text_of
from prvr.core.types import Encoder, EncoderSpec, Query, QueryAtVideo
from prvr.core.weights import WEIGHTS
from prvr.features.extract import Extraction, Progress, extract
from prvr.features.failures import Failures
from prvr.features.store import Entry, FeatureStore
from prvr.index.base import ZERO_SHOT, Index, IndexHeader
from prvr.index.embedded import EmbeddedIndex
from prvr.index.opening import OpenIndex, header_of, make_index
from prvr.index.segments import VectorForm
from prvr.index.upkeep import Damage, mend_catalogue
from prvr.ranker.ranker import CONFIG, Ranker, open_run, zero_shot
from prvr.search.calibration import Calibrated
from prvr.search.engine import SearchEngine
from prvr.search.examples import keep_examples
from prvr.search.folders import note_read
from prvr.search.places import locate
from prvr.search.readings import keep_reading
from prvr.search.spoken import Spoken
from prvr.video.find import passed_over
from prvr.video.source import shown

NO_FACTS: Mapping[str, Facts] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Indexing:
    """What building an index did."""

    extraction: Extraction
    added: tuple[str, ...]  # video ids whose vectors were made now
    num_videos: int  # in the index, in all
    removed: tuple[str, ...] = ()  # video ids whose files are gone
    missing: tuple[str, ...] = ()  # those of them that stay, since nobody asked to take them out, or
    away: Mapping[Path, Sequence[str]] = field(
        default_factory=dict
    )  # by folder: since nothing at all is left where they lay
    bytes_per_hour: float = 0.0  # of video, on the disk; 0 where a server holds the vectors
    calibrated: Calibrated | None = None  # None: that was not asked for

    @property
    def notes(self) -> list[str]:
        """A line for what subtitles could not be read, and for every folder that was emptied."""
        return self.extraction.notes + [
            f"{shown(folder)}: shows nothing, as where a drive is not connected; its {count(len(ids), 'video')} stay "
            f"in the index. If the files are gone for good: `prvr remove {shown(folder)}`"
            for folder, ids in self.away.items()
        ]


def build_index(
    paths: Sequence[Path],
    folder: Path,
    encoder: Encoder,
    *,
    model: Path | None = None,
    rate: float = 1.0,
    max_frames: int | None = None,
    workers: int | None = None,
    prune: bool = False,
    tags: Sequence[str] = (),
    engine: str | None = None,
    form: VectorForm | None = None,
    soon_s: float | None = None,
    retry: Collection[str] | None = None,
    exclude: Sequence[str] = (),
    home: Sequence[str | Query] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Indexing:
    """Every video below `paths` into the index at `folder`.

    `model` is a run folder; without it the model that the index has, or the bare encoder in a new one. `prune` takes
    out the videos below `paths` whose files are gone, but of no folder in which nothing at all is left; `tags` are
    given to all that are there. `engine` is a server (`qdrant://host:port/collection`) that is to hold the vectors,
    `form` how a new index keeps them. With `soon_s`
    what was read can be searched at most about so many seconds later, else when all is read. `retry` and `exclude`: as
    `extract`. With `home`, which may be empty, hits say how sure they are from then on; see `calibration.calibrate`.

    Raises IndexFolderError when the index there is of another encoder, model or form: see `replacing`. Stopped at any
    moment, it keeps the features that are finished, and the next call goes on from there.
    """
    known = header_of(folder)
    model = model or _model_of(folder, known)
    trained = fitting(model, encoder)
    opened = partial(make_index, folder, _header(folder, known, encoder, trained), engine=engine, form=form)
    step = on_progress if soon_s is None else _soon(folder, trained, tags, opened, soon_s, on_progress)
    with ExitStack() as held:
        index = held.enter_context(opened()) if engine else None  # a server that does not answer is told at once
        if model and soon_s is not None:
            keep_model(model, folder / "model")  # whoever searches meanwhile needs it
        read = extract(
            paths,
            encoder,
            folder / "features",
            rate=rate,
            max_frames=max_frames,
            workers=workers,
            retry=retry,
            exclude=exclude,
            on_progress=step,
        )
        held.enter_context(read.store.writing())
        index = held.enter_context(opened()) if index is None else index
        if model:
            keep_model(model, folder / "model")
        gone = _gone(index, folder, paths, read.video_ids)
        away = _away(gone)
        removed = _take_out(index, read.store, paths, gone, away) if prune else ()
        added = refresh(index, read.store, trained, read.entries, tags=tags, moved=read.moved, notes=read.notes)
        index.save(folder)
        note_read(folder, paths)
        return Indexing(
            extraction=read,
            added=tuple(added),
            num_videos=len(index),
            removed=removed,
            missing=tuple(sorted(gone.keys() - removed)),
            away=away,
            calibrated=make_ready(index, folder, read.store, encoder, trained, home),
            bytes_per_hour=bytes_per_hour(index),
        )


def make_ready(
    index: Index,
    folder: Path,
    store: FeatureStore,
    encoder: Encoder,
    trained: Ranker,
    home: Sequence[str | Query] | None,
) -> Calibrated | None:
    """Measure how sure hits are, unless `home` is None, choose what is offered to be asked, note how it was read."""
    asked = SearchEngine(index, folder, encoder, trained)
    calibrated = None if home is None else asked.calibrate(home)
    keep_examples(asked)
    keep_reading(index, store)
    return calibrated


def fitting(model: Path | None, encoder: Encoder) -> Ranker:
    """The model of a run folder, or the bare encoder. Raises IndexFolderError where it cannot serve this index."""
    trained = open_run(model) if model else zero_shot(encoder.spec)
    if isinstance(trained.model, QueryAtVideo):
        raise IndexFolderError(
            f"{model}: {trained.title} needs the query at the video, so no index of vectors can serve it; it "
            "can only re-rank: index with a model that makes a fixed bank of vectors, or without --model, and measure "
            "this one with `prvr evaluate`"
        )
    if not trained.encoder.same_as(encoder.spec):
        raise IndexFolderError(
            f"{model}: was trained on features of encoder {trained.encoder.fingerprint}, "
            f"not {encoder.spec.fingerprint}; index with `--encoder {trained.encoder.source or trained.encoder.name}`"
        )
    return trained


def refresh(
    index: Index,
    store: FeatureStore,
    trained: Ranker,
    entries: Sequence[Entry],
    *,
    tags: Sequence[str] = (),
    moved: Mapping[str, Path] | None = None,
    before: Mapping[str, Facts] = NO_FACTS,
    notes: list[str] | None = None,
    size: int = 64,
) -> list[str]:
    """Add the videos whose features, subtitles, tags or places are newer than what the index has; -> their ids.

    `moved` says where the files of some lie now, unless they are still where the index has them; `before` what is to be
    kept of some that the index does not have; `notes` gets a line for what subtitles beside them could not be read.
    Every `size` of the videos are on the disk before the next ones are made.
    """
    folder = store.folder.parent
    versions = index.versions
    known = dict(before)
    known |= {entry.video_id: index.facts(entry.video_id) for entry in entries if entry.video_id in versions}
    spoken = Spoken(store.folder)
    stale = []
    for entry in entries:
        kept, file = known.get(entry.video_id), (moved or {}).get(entry.video_id, entry.file)
        facts = _facts(folder, entry, file, kept, tags)
        version = _version(entry, spoken.stamp(entry, locate(folder, facts.path)))
        same = kept is not None and (facts.tags, facts.path) == (kept.tags, kept.path)
        if not same or versions.get(entry.video_id) != version:
            stale.append((entry.video_id, version, facts))
    for at in range(0, len(stale), size):
        chunk = stale[at : at + size]
        videos = [store.read(video_id) for video_id, _, _ in chunk]
        for (video_id, version, facts), bank in zip(chunk, trained.banks(videos), strict=True):
            cues = spoken.cues(video_id, locate(folder, facts.path), [] if notes is None else notes)
            index.add(video_id, bank, version=version, facts=facts, cues=cues)
    return [video_id for video_id, _, _ in stale]


def _soon(
    folder: Path,
    trained: Ranker,
    tags: Sequence[str],
    opened: Callable[[], OpenIndex],
    every_s: float,
    on_progress: Callable[[Progress], None] | None,
) -> Callable[[Progress], None]:
    """Called with every step of the extraction: adds what is finished, at a tenth of the time at most."""
    added, due = 0, time.monotonic() + every_s

    def step(progress: Progress) -> None:
        nonlocal added, due
        began = time.monotonic()
        if began >= due and len(progress.made) > added:
            made = progress.made[added:]
            with opened() as index:
                refresh(index, FeatureStore.open(folder / "features"), trained, made, tags=tags)
            added += len(made)
            due = time.monotonic() + max(every_s, 9 * (time.monotonic() - began))
        if on_progress:
            on_progress(progress)

    return step


def verify(folder: Path) -> list[Damage]:
    """Read all of an index and compare it with its checksums; -> what is damaged. Raises IndexFolderError."""
    with EmbeddedIndex.open(folder) as index:
        return index.verify()


def repair(folder: Path) -> tuple[list[Damage], list[str]]:
    """Make again what is damaged, from the features in the folder; -> the damages, and the videos made again.

    Raises IndexFolderError when it cannot be written, FeatureError when there are no features.
    """
    store = FeatureStore.open(folder / "features")
    trained = open_run(folder / "model") if (folder / "model").exists() else zero_shot(store.header.encoder)
    found = mend_catalogue(folder)
    with EmbeddedIndex.create(folder, header_for(store.header.encoder, trained)) as index:
        found += index.verify()
        index.repair(found)
        added = refresh(index, store, trained, store.entries())
        index.save(folder)
    return found, added


def _model_of(folder: Path, header: IndexHeader | None) -> Path | None:
    """Where the model of an index lies; None for a bare encoder, or where there is no index yet."""
    return None if header is None or header.model == ZERO_SHOT else folder / "model"


def _header(folder: Path, ours: IndexHeader | None, encoder: Encoder, trained: Ranker) -> IndexHeader:
    """What the index is to be made with. Raises IndexFolderError when there is one (`ours`) that was made otherwise."""
    header = header_for(encoder.spec, trained)
    if ours is not None and (not ours.encoder.same_as(header.encoder) or ours.model != header.model):
        raise IndexFolderError(
            f"{folder}: was made with encoder {ours.encoder.fingerprint} and model {ours.model}, not with "
            f"{header.encoder.fingerprint} and {header.model}, and scores of the two cannot be compared: add --replace "
            "to make this index anew (what was read for the old one is kept), or --index ANOTHER to have both"
        )
    return header


def header_for(encoder: EncoderSpec, trained: Ranker) -> IndexHeader:
    """What an index of these two is made with."""
    return IndexHeader(
        encoder=encoder,
        model=trained.fingerprint or ZERO_SHOT,
        width=trained.width,
        clip_weight=trained.model.clip_weight,
    )


def bytes_per_hour(index: Index) -> float:
    """Bytes on the disk for an hour of video; 0 where there are none, or no duration is known."""
    num_bytes = index.num_bytes
    seconds = sum(facts.duration_s for facts in index.all_facts().values()) if num_bytes else 0.0
    return num_bytes / seconds * 3600 if seconds else 0.0


def _gone(index: Index, folder: Path, paths: Sequence[Path], present: Sequence[str]) -> dict[str, Path]:
    """The videos below `paths` whose files are gone, or lie where nothing is looked for, and where that is."""
    roots, seen = [path.resolve() for path in paths], set(present)
    files = {one: locate(folder, facts.path) for one, facts in index.all_facts().items() if one not in seen}

    def is_gone(file: Path) -> bool:
        below = [file.relative_to(root) for root in roots if file.is_relative_to(root)]
        return bool(below) and (not there(file) or any(map(passed_over, below)))

    return {one: file for one, file in files.items() if is_gone(file)}


def _away(gone: Mapping[str, Path]) -> dict[Path, list[str]]:
    """Of the videos that are gone those of folders in which nothing at all is left."""
    found: dict[Path, list[str]] = {}
    for video_id, file in gone.items():
        if not there(file) and (folder := emptied(file)):
            found.setdefault(folder, []).append(video_id)
    return found


def _take_out(
    index: Index, store: FeatureStore, paths: Sequence[Path], gone: Collection[str], away: Mapping[Path, Sequence[str]]
) -> tuple[str, ...]:
    """Videos that are gone and not away, and what could not be read below `paths` and is gone; -> these videos."""
    failures = Failures(store.folder)
    failures.prune(paths)
    failures.save()
    stay = {video_id for ids in away.values() for video_id in ids}
    removed = tuple(video_id for video_id in gone if video_id not in stay)
    for video_id in removed:
        index.remove(video_id)
        store.remove(video_id)
    return removed


def keep_model(run: Path, copy: Path) -> None:
    """The index carries its model, so that moving or deleting the run changes nothing."""
    try:
        copy.mkdir(parents=True, exist_ok=True)
        for name in (CONFIG, WEIGHTS):
            if not (copy / name).exists() or not filecmp.cmp(run / name, copy / name, shallow=False):
                write_whole(copy / name, (run / name).read_bytes())
    except OSError as error:
        raise IndexFolderError(
            f"{copy}: the model cannot be copied here ({error.strerror}); free some space, then run the command again"
        ) from error


def _facts(folder: Path, entry: Entry, file: Path, known: Facts | None, tags: Sequence[str]) -> Facts:
    """Paths are kept relative to the index folder or the one it lies in, so that the two may be moved together."""
    if known and (there(locate(folder, known.path)) or not there(file)):
        path = known.path
    else:
        bases = (folder.resolve(), folder.resolve().parent)
        path = text_of(next((file.relative_to(base) for base in bases if file.is_relative_to(base)), file))
    every = dict.fromkeys((*(known.tags if known else ()), *tags))
    return Facts(
        path=path,
        duration_s=entry.duration_s,
        modified=entry.mtime_ns / 1e9,
        tags=tuple(every),
    )


def _version(entry: Entry, said: str) -> str:
    """Changes with the video and with what is said in it."""
    read = f":{entry.reading}" if entry.reading > 1 else ""
    return f"{entry.size}:{entry.mtime_ns}{read}" + f":{said}" * bool(said)
