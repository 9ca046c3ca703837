"""A library kept up to date: folders are read into it, a video is taken out or found again, failures are kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from prvr.core.errors import FeatureError, IndexFolderError, OtherFile, VideoError
from prvr.core.files import there
from prvr.core.text import nearest
from prvr.encoders.loading import load_encoder
from prvr.features.extract import Progress
from prvr.features.failures import Failure, Failures
from prvr.features.store import Entry, FeatureStore
from prvr.index.base import Index
from prvr.index.opening import open_index
from prvr.ranker.ranker import Ranker
from prvr.search.calibration import Calibrated
from prvr.search.choosing import Chosen, choose_encoder
from prvr.search.folders import drop, recall
from prvr.search.indexing import Indexing, build_index, refresh
from prvr.search.meaning import forget_words
from prvr.search.places import locate
from prvr.video.source import check_file, shown


def read_into(
    paths: Sequence[Path],
    folder: Path,
    *,
    encoder: str | None = None,
    device: str = "auto",
    prune: bool = False,
    tags: Sequence[str] = (),
    retry: Collection[str] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[Indexing, Calibrated]:
    """Every video below `paths` into the index at `folder`, with the encoder that it was made with, then calibrate it.

    `encoder` names the one of a new index (else see `choosing`), or says where that of an old one lies now. Videos
    can be searched a few seconds after they were read. What was left out of a folder when it was read before is left
    out again. Raises as `build_index`.
    """
    known = recall(folder)
    exclude = [one for path in paths if (before := known.get(path.resolve())) for one in before.exclude]
    chosen = Chosen(encoder) if encoder else choose_encoder(paths, folder)
    loaded = load_encoder(chosen.encoder, device=device, fetching=chosen.fetching)
    done = build_index(
        paths,
        folder,
        loaded,
        prune=prune,
        tags=tags,
        retry=retry,
        exclude=exclude,
        home=(),
        on_progress=on_progress,
    )
    assert done.calibrated is not None
    return done, done.calibrated


def forget(folder: Path, *video_ids: str, below: Sequence[Path] = ()) -> None:
    """Take videos out of the index at `folder` and out of the features beside it; their files stay.

    What could not be read `below` some paths is forgotten too, and that these folders were read or watched. Raises
    IndexFolderError when one of the videos is not there, and then takes none, or when another process is writing.
    """
    with _writing(folder) as store, open_index(folder, write=True) as index:
        _need(index, video_ids)
        _take_out(index, folder, store, video_ids, below)
    drop(folder, *below, below=True)


def forget_folder(folder: Path, path: Path, video_ids: Sequence[str]) -> None:
    """Take a folder with its videos, and what could not be read in it, out of the index at `folder`; files stay.

    A video that is not there any more is none to take out. Raises IndexFolderError when another process is writing.
    """
    with _writing(folder) as store, open_index(folder, write=True) as index:
        _take_out(index, folder, store, video_ids, [path])
    drop(folder, path)


def _take_out(
    index: Index, folder: Path, store: FeatureStore | None, video_ids: Sequence[str], below: Sequence[Path]
) -> None:
    for video_id in index.versions.keys() & set(video_ids):
        index.remove(video_id)
    index.save(folder)
    if store:
        for video_id in video_ids:
            store.remove(video_id)
            forget_words(store.folder.parent, video_id)
        known = Failures(store.folder)
        for one in [one for path in below for one in known.below(path)]:
            known.drop(Path(one.path))
        known.save()


def untag(folder: Path, tag: str, *video_ids: str) -> list[str]:
    """Take a tag from videos of the index at `folder`; -> the ids of those that had it. Raises as `forget`."""
    with _writing(folder), open_index(folder, write=True) as index:
        _need(index, video_ids)
        had = {one: tags for one in video_ids if tag in (tags := index.facts(one).tags)}
        index.put_tags({one: [name for name in tags if name != tag] for one, tags in had.items()})
        index.save(folder)
        return list(had)


def _need(index: Index, video_ids: Sequence[str]) -> None:
    for video_id in video_ids:
        if video_id not in index.versions:
            raise IndexFolderError(f"{video_id}: no such video in the index")


def relocate(folder: Path, video_id: str, path: Path, trained: Ranker) -> Path:
    """Tell the index at `folder` where the file of a video lies now, or in which folder; nothing is decoded.

    The file must be as long, and last changed when, the one that was read was. -> Where it lies. Raises OtherFile
    where it is not that one, VideoError for a path that leads nowhere, IndexFolderError as `forget`.
    """
    with _writing(folder) as store, open_index(folder, write=True) as index:
        _need(index, [video_id])
        entry, before = store.entry(video_id) if store else None, locate(folder, index.facts(video_id).path)
        if store is None or entry is None:
            raise VideoError(f"{video_id}: its features are not kept; read it anew with `prvr index {path}`")
        if there(before):
            raise OtherFile(f"{video_id}: is still there as {before}; to read another file too, index its folder")
        here = (path / before.name if path.is_dir() else path).resolve()
        check_file(here)
        _same(here, entry)
        refresh(index, store, trained, [entry], moved={video_id: here})
        index.save(folder)
        return here


def _same(path: Path, entry: Entry) -> None:
    """Raises OtherFile, which says what differs, unless a file is the one that was read."""
    found = path.stat()
    if entry.made_from(found.st_size, found.st_mtime_ns):
        return
    if found.st_size != entry.size:
        why = f"has {found.st_size:,} bytes, not {entry.size:,}"
    else:
        now, then = (
            datetime.fromtimestamp(ns / 1e9).isoformat(" ", "milliseconds")
            for ns in (found.st_mtime_ns, entry.mtime_ns)
        )
        why = f"was changed last {now}, not {then}"
    raise OtherFile(
        f"{shown(path)}: is not the file that was read as {entry.video_id}: it {why}; give another path, or read this "
        f"one as a video of its own with `prvr index` and take {entry.video_id} out"
    )


def failures(folder: Path) -> list[Failure]:
    """What could not be read into the index at `folder`, in order of the paths. Raises IndexFolderError."""
    try:
        return list(Failures(folder / "features"))
    except FeatureError as error:
        raise IndexFolderError(str(error)) from error


def ignore_file(folder: Path, file: Path) -> None:
    """The same of a file, or folder, that is named. Raises IndexFolderError where it is not among the failures."""
    place = os.path.abspath(file)  # noqa: PTH100
    found = next((one for one in failures(folder) if one.path == place), None)
    if found is None:
        names = {one.path: one.file for one in failures(folder)}
        near = nearest(place, names)
        hint = f"did you mean {names[near]}?" if near else "`prvr index --failures` names the files that could not"
        raise IndexFolderError(f"{shown(file)}: is not among the files that could not be read; {hint}")
    if not found.ignored:
        ignore(folder, found.id)


def ignore(folder: Path, failure_id: str) -> bool:
    """Leave a file alone that could not be read, until it changes; False: there is no failure of this id.

    Raises IndexFolderError when another process is writing.
    """
    with _writing(folder) as store:
        if store is None:
            return False
        known = Failures(store.folder)
        found = known.ignore(failure_id)
        if found:
            known.save()
        return found


@contextmanager
def _writing(folder: Path) -> Iterator[FeatureStore | None]:
    """The features of an index and the only right to write there; None where there are none."""
    try:
        with ExitStack() as held:
            store = None
            if (folder / "features").exists():
                store = FeatureStore.open(folder / "features")
                held.enter_context(store.writing())
            yield store
    except FeatureError as error:
        raise IndexFolderError(str(error)) from error
