"""Folders of video -> an index: extract, encode, add. Only what is missing or has changed is done again."""

from __future__ import annotations

import filecmp
import time
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prvr.core.errors import IndexFolderError
from prvr.core.facts import Facts
from prvr.core.files import there, write_whole
from prvr.core.types import Encoder, EncoderSpec, Query, QueryAtVideo
from prvr.core.weights import WEIGHTS
from prvr.features.extract import Extraction, Progress, extract
from prvr.features.failures import Failures
from prvr.features.store import Entry, FeatureStore
from prvr.index.base import ZERO_SHOT, Cue, Index, IndexHeader
from prvr.index.embedded import EmbeddedIndex
from prvr.index.opening import OpenIndex, header_of, make_index
from prvr.index.segments import VectorForm
from prvr.index.upkeep import Damage, mend_catalogue
from prvr.ranker.ranker import CONFIG, Ranker, open_run, zero_shot
from prvr.search.calibration import Calibrated
from prvr.search.engine import SearchEngine
from prvr.search.examples import keep_examples
from prvr.search.places import locate
from prvr.search.subtitles import SUFFIXES, read_cues


@dataclass(frozen=True, kw_only=True)
class Indexing:
    """What building an index did."""

    extraction: Extraction
    added: tuple[str, ...]  # video ids whose vectors were made now
    num_videos: int  # in the index, in all
    removed: tuple[str, ...] = ()  # video ids whose files are gone
    bytes_per_hour: float = 0.0  # of video, on the disk; 0 where a server holds the vectors
    calibrated: Calibrated | None = None  # None: that was not asked for


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
    home: Sequence[str | Query] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Indexing:
    """Every video below `paths` into the index at `folder`.

    `model` is a run folder; without it the model that the index has, or the bare encoder in a new one. `prune` takes
    out the videos below `paths` whose files are gone; `tags` are given to all that are there. `engine` is a server
    (`qdrant://host:port/collection`) that is to hold the vectors, `form` how a new index keeps them. With `soon_s`
    what was read can be searched at most about so many seconds later, else when all is read. `retry`: as `extract`.
    With `home`, which may be empty, hits say how sure they are from then on; see `calibration.calibrate`.

    Raises IndexFolderError when the index there is of another encoder, model or form. Stopped at any moment, it keeps
    the features that are finished, and the next call goes on from there.
    """
    known = header_of(folder)
    model = model or _model_of(folder, known)
    trained = _fitting(model, encoder)
    opened = partial(make_index, folder, _header(folder, known, encoder, trained), engine=engine, form=form)
    step = on_progress if soon_s is None else _soon(folder, trained, tags, opened, soon_s, on_progress)
    with ExitStack() as held:
        # A server that does not answer is told before hours of extraction; a folder is left to others meanwhile.
        index = held.enter_context(opened()) if engine else None
        if model and soon_s is not None:
            _keep_model(model, folder / "model")  # whoever searches meanwhile needs it
        extraction = extract(
            paths,
            encoder,
            folder / "features",
            rate=rate,
            max_frames=max_frames,
            workers=workers,
            retry=retry,
            on_progress=step,
        )
        held.enter_context(extraction.store.writing())
        index = held.enter_context(opened()) if index is None else index
        if model:
            _keep_model(model, folder / "model")
        removed = _prune(index, extraction.store, paths, extraction.video_ids) if prune else []
        added = refresh(index, extraction.store, trained, extraction.entries, tags=tags, moved=extraction.moved)
        index.save(folder)
        asked = SearchEngine(index, folder, encoder, trained)
        calibrated = None if home is None else asked.calibrate(home)
        keep_examples(asked)
        return Indexing(
            extraction=extraction,
            added=tuple(added),
            num_videos=len(index),
            removed=tuple(removed),
            calibrated=calibrated,
            bytes_per_hour=_bytes_per_hour(index),
        )


def _fitting(model: Path | None, encoder: Encoder) -> Ranker:
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
    size: int = 64,
) -> list[str]:
    """Add the videos whose features, subtitles, tags or places are newer than what the index has; -> their ids.

    `moved` says where the files of some lie now, unless they are still where the index has them. Every `size` of the
    videos are on the disk before the next ones are made.
    """
    folder = store.folder.parent
    versions = index.versions
    known = {entry.video_id: index.facts(entry.video_id) for entry in entries if entry.video_id in versions}
    sources = {entry.video_id: str((moved or {}).get(entry.video_id, entry.source)) for entry in entries}
    found = {
        entry.video_id: _facts(folder, entry, sources[entry.video_id], known.get(entry.video_id), tags)
        for entry in entries
    }
    cues = _cues({video_id: locate(folder, facts.path) for video_id, facts in found.items()})
    stale = [
        (entry.video_id, version, facts)
        for entry, facts in zip(entries, found.values(), strict=True)
        if versions.get(entry.video_id) != (version := _version(entry, cues.get(entry.video_id, [])))
        or (facts.tags, facts.path) != (known[entry.video_id].tags, known[entry.video_id].path)
    ]
    for at in range(0, len(stale), size):
        chunk = stale[at : at + size]
        videos = [store.read(video_id) for video_id, _, _ in chunk]
        for (video_id, version, facts), bank in zip(chunk, trained.banks(videos), strict=True):
            index.add(video_id, bank, version=version, facts=facts, cues=cues.get(video_id, []))
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
    with EmbeddedIndex.create(folder, _header_of(store.header.encoder, trained)) as index:
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
    header = _header_of(encoder.spec, trained)
    if ours is not None and (not ours.encoder.same_as(header.encoder) or ours.model != header.model):
        raise IndexFolderError(
            f"{folder}: was made with encoder {ours.encoder.fingerprint} and model {ours.model}, not with "
            f"{header.encoder.fingerprint} and {header.model}; scores of the two cannot be compared: "
            "give the same ones, or index into another folder"
        )
    return header


def _header_of(encoder: EncoderSpec, trained: Ranker) -> IndexHeader:
    return IndexHeader(
        encoder=encoder,
        model=trained.fingerprint or ZERO_SHOT,
        width=trained.width,
        clip_weight=trained.model.clip_weight,
    )


def _bytes_per_hour(index: Index) -> float:
    """Bytes on the disk for an hour of video; 0 where there are none, or no duration is known."""
    num_bytes = index.num_bytes
    seconds = sum(facts.duration_s for facts in index.all_facts().values()) if num_bytes else 0.0
    return num_bytes / seconds * 3600 if seconds else 0.0


def _prune(index: Index, store: FeatureStore, paths: Sequence[Path], present: Sequence[str]) -> list[str]:
    """Take out the videos below `paths` whose files are gone; -> their ids."""
    failures = Failures(store.folder)
    failures.prune(paths)
    failures.save()
    roots, folder = [path.resolve() for path in paths], store.folder.parent
    gone = []
    for video_id in sorted(index.versions.keys() - set(present)):
        path = locate(folder, index.facts(video_id).path)
        if not there(path) and any(path.is_relative_to(root) for root in roots):
            index.remove(video_id)
            store.remove(video_id)
            gone.append(video_id)
    return gone


def _keep_model(run: Path, copy: Path) -> None:
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


def _facts(folder: Path, entry: Entry, path: str, known: Facts | None, tags: Sequence[str]) -> Facts:
    """Paths are kept relative to the index folder or the one it lies in, so that the two may be moved together."""
    if known and (there(locate(folder, known.path)) or not there(Path(path))):
        path = known.path
    else:
        bases = (folder.resolve(), folder.resolve().parent)
        below = [Path(path).relative_to(base).as_posix() for base in bases if Path(path).is_relative_to(base)]
        path = below[0] if below else path
    every = dict.fromkeys((*(known.tags if known else ()), *tags))
    return Facts(
        path=path,
        duration_s=entry.duration_s,
        modified=entry.mtime_ns / 1e9,
        tags=tuple(every),
    )


def _cues(files: Mapping[str, Path]) -> dict[str, list[Cue]]:
    """Video id -> file, to the subtitles beside it; a folder without any is looked at once."""
    spoken = {
        parent
        for parent in {file.parent for file in files.values()}
        if parent.is_dir() and any(path.suffix.lower() in SUFFIXES for path in parent.iterdir())
    }
    return {video_id: read_cues(file) for video_id, file in files.items() if file.parent in spoken}


def _version(entry: Entry, cues: Sequence[Cue]) -> str:
    """Changes with the video and with what is said in it."""
    said = f":{zlib.crc32(repr(list(cues)).encode()):08x}" if cues else ""
    return f"{entry.size}:{entry.mtime_ns}{said}"
