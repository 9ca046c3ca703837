"""Folders of video -> an index: extract, encode, add. Only what is missing or has changed is done again."""

from __future__ import annotations

import filecmp
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from prvr.core.errors import ConfigError, IndexFolderError
from prvr.core.facts import Facts
from prvr.core.files import own_folder, there, write_whole
from prvr.core.places import data_folder
from prvr.core.text import text_of
from prvr.core.types import Encoder, EncoderSpec, Query, QueryAtVideo
from prvr.core.weights import WEIGHTS
from prvr.features.extract import Extraction, Progress, extract
from prvr.features.hands import Workplace
from prvr.features.store import Entry, FeatureStore, holds_features
from prvr.index.base import ZERO_SHOT, Index, IndexHeader
from prvr.index.collection import CollectionForm
from prvr.index.database import explained
from prvr.index.embedded import EmbeddedIndex
from prvr.index.opening import OpenIndex, engine_of, header_of, make_index
from prvr.index.segments import VectorForm
from prvr.index.upkeep import OTHER_WORDS, Damage, mend_catalogue
from prvr.ranker.ranker import CONFIG, Ranker, open_run, zero_shot
from prvr.search import pruning
from prvr.search.calibration import Calibrated
from prvr.search.engine import SearchEngine
from prvr.search.examples import keep_examples
from prvr.search.folders import note_read
from prvr.search.places import locate
from prvr.search.readings import keep_reading
from prvr.search.spoken import Spoken

NO_FACTS: Mapping[str, Facts] = MappingProxyType({})
SOON_S = 5.0  # how soon what is read can be searched, while the rest is read


@dataclass(frozen=True, kw_only=True)
class Indexing:
    """What building an index did."""

    extraction: Extraction
    added: tuple[str, ...]  # video ids whose vectors were made now
    num_videos: int  # in the index, in all
    removed: tuple[str, ...] = ()  # video ids whose files are gone
    missing: tuple[str, ...] = ()  # those of them that stay, since nobody asked to take them out
    spared: tuple[str, ...] = ()  # a line for each path of which too many were gone to take them out unforced
    bytes_per_hour: float = 0.0  # of video, on the disk; 0 where a server holds the vectors
    calibrated: Calibrated | None = None  # None: that was not asked for

    @property
    def notes(self) -> list[str]:
        """A line for what subtitles could not be read."""
        return self.extraction.notes


def build_index(
    paths: Sequence[Path],
    folder: Path,
    encoder: Encoder,
    *,
    model: Path | None = None,
    rate: float = 1.0,
    max_frames: int | None = None,
    workers: int | None = None,
    place: Workplace | None = None,
    prune: bool = False,
    forced: bool = False,
    tags: Sequence[str] = (),
    engine: str | None = None,
    form: VectorForm | None = None,
    collection: CollectionForm | None = None,
    retry: Collection[str] | None = None,
    exclude: Sequence[str] = (),
    home: Sequence[str | Query] | None = None,
    clip_weight: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Indexing:
    """Every video below `paths` into the index at `folder`.

    `model` is a run folder; without it the model that the index has, or the bare encoder in a new one. `prune` takes
    out the videos below `paths` whose files are gone, unless that is more than half of those below one of them and it
    is not `forced`: see `pruning`. `tags` are given to all that are there. `engine` is a server
    (`qdrant://host:port/collection`) that is to hold the vectors, and to keep them as `collection` says; `form` is how
    a new index in the folder keeps them. What is read can be searched a few seconds later, in a server at the end.
    `place`, `retry` and `exclude`: as `extract`. `clip_weight` is the share of windows in the score beside frames,
    where there are both; without it that which the index has, or a half. With `home`, which may be empty, hits say how
    sure they are from then on; see `calibration.calibrate`.

    Raises IndexFolderError when the index there is of another encoder, model or form: see `replacing`. Stopped at any
    moment, it keeps the features that are finished, and the next call goes on from there.
    """
    _close(folder)
    known = header_of(folder)
    model = model or _model_of(folder, known)
    trained = fitting(model, encoder, _weight(known, encoder.spec) if clip_weight is None else clip_weight)
    header = _header(folder, known, encoder, trained)
    opened = partial(make_index, folder, header, engine=engine, form=form, collection=collection)
    step = on_progress if engine else _soon(folder, trained, tags, opened, on_progress)
    with ExitStack() as held:
        index = held.enter_context(opened()) if engine else None  # a server that does not answer is told at once
        if model:
            keep_model(model, folder / "model")  # whoever searches meanwhile needs it
        read = extract(
            paths,
            encoder,
            folder / "features",
            rate=rate,
            max_frames=max_frames,
            workers=workers,
            place=place,
            retry=retry,
            exclude=exclude,
            on_progress=step,
        )
        held.enter_context(read.store.writing())
        index = held.enter_context(opened()) if index is None else index
        back = {key: known for key, known in pruning.recall(read.store).items() if key not in index.versions}
        pruned = pruning.prune(index, folder, read.store, paths, read.video_ids, asked=prune, forced=forced)
        added = refresh(
            index, read.store, trained, read.entries, tags=tags, moved=read.moved, before=back, notes=read.notes
        )
        index.save(folder)
        note_read(folder, paths, exclude)
        return Indexing(
            extraction=read,
            added=tuple(added),
            num_videos=len(index),
            **pruned._asdict(),
            calibrated=make_ready(index, folder, read, encoder, trained, home),
            bytes_per_hour=bytes_per_hour(index),
        )


def _close(folder: Path) -> None:
    """The default index is its user's alone."""
    if folder.absolute().is_relative_to(data_folder().absolute()):
        with explained(folder, "written"):
            own_folder(folder)


def make_ready(
    index: Index,
    folder: Path,
    read: Extraction,
    encoder: Encoder,
    trained: Ranker,
    home: Sequence[str | Query] | None,
) -> Calibrated | None:
    """Measure how sure hits are, unless `home` is None, choose what is offered to be asked, note how it was read."""
    asked = SearchEngine(index, folder, encoder, trained)
    calibrated = None if home is None else asked.calibrate(home)
    keep_examples(asked)
    keep_reading(index, read)
    return calibrated


def fitting(model: Path | None, encoder: Encoder, clip_weight: float | None = None) -> Ranker:
    """The model of a run folder, or the bare encoder, its branches weighted where it has two.

    Raises IndexFolderError where it cannot serve this index, ConfigError for a weight that cannot be.
    """
    if model and clip_weight is not None:
        raise ConfigError("--clip-weight: a trained model has its own; leave it out, or index without --model")
    trained = open_run(model) if model else zero_shot(encoder.spec, clip_weight)
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


def _weight(header: IndexHeader | None, encoder: EncoderSpec) -> float | None:
    """The share of windows beside frames in an index of this bare encoder, where it reads both."""
    if header is None or header.model != ZERO_SHOT or not header.encoder.same_as(encoder) or encoder.clips is None:
        return None
    return header.clip_weight if encoder.clips.width < encoder.width else None


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
    everything = index.all_facts() if entries else {}
    known |= {entry.video_id: everything[entry.video_id] for entry in entries if entry.video_id in everything}
    spoken = Spoken(store.folder)
    stale = []
    for entry in entries:
        kept = known.get(entry.video_id)
        facts, file = _facts(folder, entry, (moved or {}).get(entry.video_id), kept, tags)
        version = _version(entry, spoken.stamp(entry, file))
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
    on_progress: Callable[[Progress], None] | None,
) -> Callable[[Progress], None]:
    """Called with every step of the extraction: adds what is finished, at a tenth of the time at most."""
    added, due = 0, time.monotonic() + SOON_S

    def step(progress: Progress) -> None:
        nonlocal added, due
        began = time.monotonic()
        if began >= due and len(progress.made) > added:
            made = progress.made[added:]
            with opened() as index:
                refresh(index, FeatureStore.open(folder / "features"), trained, made, tags=tags)
            added += len(made)
            due = time.monotonic() + max(SOON_S, 9 * (time.monotonic() - began))
        if on_progress:
            on_progress(progress)

    return step


def verify(folder: Path) -> list[Damage]:
    """Read all of an index and compare it with its checksums; -> what is damaged. Raises IndexFolderError."""
    _need_own(folder)
    with EmbeddedIndex.open(folder) as index:
        return index.verify() + [Damage(*one) for one in _damaged(folder).values()]


def _need_own(folder: Path) -> None:
    """Raises IndexFolderError where a server holds the vectors."""
    if remote := engine_of(folder):
        raise IndexFolderError(
            f"{folder}: its vectors are in {remote}, which looks after its own files; to have them here and read them: "
            f"`prvr index --copy-from {remote} --index {folder}`"
        )


def _damaged(folder: Path) -> dict[str, tuple[str, None, str]]:
    """Of videos whose features are not what was written, the file, and what is to be done."""
    if not holds_features(folder / "features"):
        return {}
    store = FeatureStore.open(folder / "features")
    why = "has not the numbers that were written; the next run over its folder reads the video anew"
    return {video_id: (str(store.path_of(video_id)), None, why) for video_id in store.damaged()}


def repair(folder: Path) -> tuple[list[Damage], list[str]]:
    """Make again what is damaged, from the features in the folder; -> the damages, and the videos made again.

    Raises IndexFolderError when it cannot be written, FeatureError when there are no features.
    """
    _need_own(folder)
    store = FeatureStore.open(folder / "features")
    bad = _damaged(folder)
    for entry in store.entries():
        if entry.video_id in bad and there(entry.file):  # else there is nothing better
            store.remove(entry.video_id)
    found = mend_catalogue(folder)
    bare = not (folder / "model").exists()
    known = None
    with suppress(IndexFolderError):  # of a format that is not read any more, or damaged: then as a new one
        known = header_of(folder)
    encoder = store.header.encoder
    trained = zero_shot(encoder, _weight(known, encoder)) if bare else open_run(folder / "model")
    with EmbeddedIndex.create(folder, header_for(encoder, trained)) as index:
        found += index.verify()
        everything = index.all_facts()
        before = {one.video_id: everything[one.video_id] for one in found if one.video_id in everything}
        index.repair([one for one in found if one.why != OTHER_WORDS or (one.video_id or "") in store])
        out = pruning.recall(store).keys() - index.versions.keys()
        added = refresh(
            index,
            store,
            trained,
            [entry for entry in store.entries() if entry.video_id not in out | bad.keys()],
            before=before,
        )
        index.save(folder)
    return found + [Damage(*one) for one in bad.values()], added


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


def _facts(
    folder: Path, entry: Entry, moved: Path | None, known: Facts | None, tags: Sequence[str]
) -> tuple[Facts, Path]:
    """-> what is known of a video, and where its file is.

    Paths are kept relative to the index folder or the one it lies in, so that the two may be moved together.
    """
    if known and (there(old := locate(folder, known.path)) or not there(moved or entry.file)):
        path, file = known.path, old
    else:
        file = moved or entry.file
        bases = (folder.resolve(), folder.resolve().parent)
        path = text_of(next((file.relative_to(base) for base in bases if file.is_relative_to(base)), file))
    every = dict.fromkeys((*(known.tags if known else ()), *tags))
    facts = Facts(
        path=path,
        duration_s=entry.duration_s,
        modified=entry.mtime_ns / 1e9,
        tags=tuple(every),
    )
    return facts, file


def _version(entry: Entry, said: str) -> str:
    """Changes with the video and with what is said in it."""
    read = f":{entry.reading}" if entry.reading > 1 else ""
    return f"{entry.size}:{entry.mtime_ns}{read}" + f":{said}" * bool(said)
