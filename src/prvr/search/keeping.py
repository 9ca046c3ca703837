"""A library kept up to date: folders are read into it, a video is taken out or found again, failures are kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from prvr.core.errors import FeatureError, IndexFolderError, OtherFile, VideoError
from prvr.core.files import there
from prvr.encoders.loading import load_encoder
from prvr.features.extract import Progress
from prvr.features.failures import Failure, Failures
from prvr.features.store import Entry, FeatureStore
from prvr.index.opening import header_of, open_index
from prvr.ranker.ranker import Ranker
from prvr.search.calibration import Calibrated
from prvr.search.indexing import Indexing, build_index, refresh
from prvr.search.places import locate
from prvr.video.source import check_file, shown

SOON_S = 5.0  # how soon what is read can be searched, while the rest is read


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

    `encoder` names the one of a new index (else the bundled one), or says where that of an old one lies now. Videos
    can be searched a few seconds after they were read. Raises as `build_index`.
    """
    known = header_of(folder)
    name = encoder or (known.encoder.source or known.encoder.name if known else "world")
    loaded = load_encoder(name, device=device)
    done = build_index(
        paths, folder, loaded, prune=prune, tags=tags, soon_s=SOON_S, retry=retry, home=(), on_progress=on_progress
    )
    assert done.calibrated is not None
    return done, done.calibrated


def forget(folder: Path, video_id: str) -> None:
    """Take a video out of the index at `folder` and out of the features beside it; its file stays.

    Raises IndexFolderError when it is not there, or when another process is writing.
    """
    with _writing(folder) as store, open_index(folder, write=True) as index:
        if video_id not in index.versions:
            raise IndexFolderError(f"{video_id}: no such video in the index")
        index.remove(video_id)
        index.save(folder)
        if store:
            store.remove(video_id)


def relocate(folder: Path, video_id: str, path: Path, trained: Ranker) -> Path:
    """Tell the index at `folder` where the file of a video lies now, or in which folder; nothing is decoded.

    The file must be as long, and last changed when, the one that was read was. -> Where it lies. Raises OtherFile
    where it is not that one, VideoError for a path that leads nowhere, IndexFolderError as `forget`.
    """
    with _writing(folder) as store, open_index(folder, write=True) as index:
        if video_id not in index.versions:
            raise IndexFolderError(f"{video_id}: no such video in the index")
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
