"""An index copied into another engine: vectors, moments, words, tags and notes as they are; nothing is read anew.

Who copies again copies what is missing or was changed since, so that an interruption costs a batch. At the end the two
are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import torch

from prvr.core.errors import IndexFolderError
from prvr.index.base import Index, Video, unit
from prvr.index.collection import CollectionForm
from prvr.index.embedded import EmbeddedIndex
from prvr.index.opening import ENGINE, engine_of, note_named, open_index
from prvr.index.qdrant import QdrantIndex
from prvr.index.segments import VectorForm

BATCH = 16  # videos that one thread takes at a time
SAMPLED, ASKED, DEPTH = 32, 10, 10  # videos whose vectors are compared, queries, and hits of each
NEAR = {"fp32": 1e-3, "fp16": 1e-3, "int8": 1e-2}  # what the coarser of two forms may change in a number or a score

OnProgress = Callable[[int, int], None]  # videos that are there, of all


@dataclass(frozen=True)
class Copied:
    """What a copy did, and how near it is to what was copied."""

    copied: int  # videos
    videos: int  # that both hold now
    vectors: float  # largest difference of a number, in a sample of videos
    scores: float  # and of a score, in ten queries
    differences: tuple[str, ...]  # what is not the same, a line each


def copy_index(
    source: Index,
    target: Index,
    *,
    place: Path | str,
    prune: bool = False,
    workers: int = 4,
    near: float = NEAR["fp16"],
    on_progress: OnProgress | None = None,
) -> Copied:
    """All of one index into another one, open for writing, that was made with the same header; then they are compared.

    `place` is where the target lies. Raises IndexFolderError when one of the two cannot be read or written (the
    same call goes on from there), and where the target holds videos that the source does not have, unless they are to
    be pruned.
    """
    ours, theirs = source.versions, target.versions
    if (more := sorted(theirs.keys() - ours.keys())) and not prune:
        raise IndexFolderError(
            f"{place}: holds {len(more)} videos that are not in what is copied ({', '.join(more[:3])}"
            f"{' …' if len(more) > 3 else ''}); add --prune to take them out, or copy into an empty one"
        )
    for video_id in more:
        target.remove(video_id)
    facts, known = source.all_facts(), target.all_facts()
    missing = [one for one in ours if theirs.get(one) != ours[one] or known.get(one) != facts[one]]
    _copy_videos(source, target, missing, total=len(ours), workers=workers, on_progress=on_progress)
    for name, text in source.notes().items():
        if target.note(name) != text:
            target.put_note(name, text)
    target.save(Path(place))
    vectors, scores, differences = compare(source, target, near=near)
    return Copied(len(missing), len(ours), vectors, scores, tuple(differences))


def copy_to(
    folder: Path,
    url: str,
    *,
    collection: CollectionForm | None = None,
    prune: bool = False,
    workers: int = 4,
    on_progress: OnProgress | None = None,
) -> Copied:
    """The index of a folder into a collection of a server, made if there is none; the folder goes on as it is.

    Raises as `copy_index`, and where the vectors of the folder lie there already.
    """
    if engine_of(folder) == url:
        raise IndexFolderError(f"{folder}: its vectors are in {url} already; name another collection")
    with open_index(folder) as source, QdrantIndex.connect(url, source.header, form=collection) as target:
        note_named(url)
        return copy_index(source, target, place=url, prune=prune, workers=workers, on_progress=on_progress)


def copy_from(
    url: str,
    folder: Path,
    *,
    form: VectorForm | None = None,
    prune: bool = False,
    workers: int = 4,
    on_progress: OnProgress | None = None,
) -> Copied:
    """A collection of a server into a folder of its own vectors, which answers from these once both are the same.

    Raises as `copy_index`, and where the vectors of the folder lie in another place.
    """
    if (there := engine_of(folder)) not in (None, url):
        raise IndexFolderError(f"{folder}: its vectors are in {there}; copy from there, or into another folder")
    with open_index(url) as source, EmbeddedIndex.create(folder, source.header, form=form) as target:
        near = NEAR[target.form.tokens]
        done = copy_index(
            source, target, place=folder, prune=prune, workers=workers, near=near, on_progress=on_progress
        )
    if not done.differences:
        (folder / ENGINE).unlink(missing_ok=True)
    return done


def _copy_videos(
    source: Index, target: Index, missing: Sequence[str], *, total: int, workers: int, on_progress: OnProgress | None
) -> None:
    """Raises IndexFolderError that says how far it came."""
    done, lock = total - len(missing), Lock()

    def copy(some: Sequence[str]) -> None:
        nonlocal done
        for video in source.videos(some):
            target.add(video.video_id, video.bank, version=video.version, facts=video.facts, cues=video.cues)
        with lock:
            done += len(some)
            if on_progress:
                on_progress(done, total)

    with ThreadPoolExecutor(workers) as pool:
        try:
            tasks = [pool.submit(copy, missing[at : at + BATCH]) for at in range(0, len(missing), BATCH)]
            wait(tasks, return_when=FIRST_EXCEPTION)
            for task in tasks:
                if task.done():
                    task.result()
        except IndexFolderError as error:
            raise IndexFolderError(f"{error} (about {done} of {total} videos are there)") from error
        finally:
            pool.shutdown(cancel_futures=True)


def compare(source: Index, target: Index, *, near: float) -> tuple[float, float, list[str]]:
    """How far numbers of sampled vectors, and scores of ten queries, are from each other at most, and what differs."""
    ours, theirs = dict(source.versions), dict(target.versions)
    if ours != theirs:
        other = sorted(one for one in ours.keys() | theirs.keys() if ours.get(one) != theirs.get(one))
        return 0.0, 0.0, [f"{len(other)} videos are not the same in both ({', '.join(other[:3])})"]
    notes = source.notes().items()
    differences = [f"the note {name!r} is another" for name, text in notes if target.note(name) != text]
    ids = sorted(ours)
    sample = ids[:: max(1, len(ids) // SAMPLED)][:SAMPLED]
    pairs = list(zip(source.videos(sample), target.videos(sample), strict=True))
    vectors = max((_apart(one, other) for one, other in pairs), default=0.0)
    if vectors > near:
        differences.append(f"vectors of sampled videos differ by up to {vectors:.1e}")
    scores = 0.0
    for one, _ in pairs[:: max(1, len(pairs) // ASKED)][:ASKED]:
        query = unit(one.bank.tokens.float().mean(0))
        found, again = (index.search(query, k=DEPTH) for index in (source, target))
        if len(found) != len(again):
            differences.append(f"a query finds {len(found)} videos in one and {len(again)} in the other")
        scores = max([scores, *(abs(a.score - b.score) for a, b in zip(found, again, strict=False))])
    if scores > near:
        differences.append(f"scores of queries differ by up to {scores:.1e}")
    return vectors, scores, differences


def _apart(one: Video, other: Video) -> float:
    """The largest difference of a number; infinite where anything else of the two differs."""
    ours, theirs = ((video.facts, video.cues, video.bank.num_frames, video.bank.tokens.shape) for video in (one, other))
    if ours != theirs or not torch.equal(one.bank.spans, other.bank.spans):
        return float("inf")
    return float((one.bank.tokens.float() - other.bank.tokens.float()).abs().max())
