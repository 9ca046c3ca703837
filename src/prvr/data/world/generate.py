"""A world in a folder::

    ROOT/world.json                                   size, seed and generator version
    ROOT/videos/w0000.webm ...                        real files
    ROOT/annotations/train.jsonl, val.jsonl, test.jsonl

What is there and whole is kept: a run that was killed is finished by the next.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch
from torch import Tensor

from prvr.core.errors import DataError
from prvr.core.files import only_writer, write_whole
from prvr.core.processes import leave_with_parent
from prvr.core.types import Encoder, Query, VideoFeatures
from prvr.data.annotations import read_queries, write_queries
from prvr.data.world import MANIFEST
from prvr.data.world.acts import VERSION, Script
from prvr.data.world.film import film_to
from prvr.data.world.grammar import describe
from prvr.data.world.render import sampled_times, world_frames
from prvr.data.world.script import check_size, split_of, world_script
from prvr.features.store import FeatureStore, StoreHeader

SPLITS = ("train", "val", "test")
FEW = 4  # videos that are made faster here than by processes that have to be started first

Progress = Callable[[int, int], None]  # (videos done, videos in all)


@dataclass(frozen=True, kw_only=True)
class World:
    """A generated world on disk."""

    root: Path
    size: str
    seed: int
    made: int = 0  # videos that the last run had to make

    @property
    def videos(self) -> list[Path]:
        """Its files, in order."""
        return sorted((self.root / "videos").glob("w*.webm"))

    def queries(self, split: str) -> list[Query]:
        """Queries of `train`, `val` or `test`, with windows and attributes."""
        return read_queries(self.root / "annotations" / f"{split}.jsonl")


class WorldVideo(NamedTuple):
    """A video of a world without a file."""

    video_id: str
    frames: Tensor  # (T, 3, h, w) uint8
    times: Tensor  # (T,) float64 seconds
    duration_s: float


def generate_world(
    root: Path, *, size: str = "demo", seed: int = 0, workers: int | None = None, progress: Progress | None = None
) -> World:
    """Real files with exact annotations in `root`; files that are there already are kept.

    Raises DataError for an unknown size, for a folder that holds another world, for one that is being written by
    another process and for a disk that is full or read-only.
    """
    total = check_size(size)
    with _writing(root):
        _claim(root, size, seed)
        _annotate(root, size, seed)
        wanted = [(index, root / "videos" / f"w{index:04d}.webm") for index in range(total)]
        missing = [(index, path) for index, path in wanted if not path.exists()]
        if progress:
            progress(total - len(missing), total)
        for done, _ in enumerate(_make(missing, size, seed, workers or os.cpu_count() or 1), 1):
            if progress:
                progress(total - len(missing) + done, total)
    return World(root=root, size=size, seed=seed, made=len(missing))


def world_queries(size: str, seed: int, split: str) -> list[Query]:
    """All queries of a split, without a file."""
    indices = (index for index in range(check_size(size)) if split_of(index) == split)
    return [query for index in indices for query in script_queries(world_script(size, seed, index))]


def script_queries(script: Script) -> list[Query]:
    """One query an event, in the order of time; the wording is drawn from the same key as the script."""
    rng = Random(f"words of {script.key}")
    return [
        Query(
            query_id=f"{script.video_id}#{i}",
            video_id=script.video_id,
            text=describe(event, rng),
            windows=((event.start, event.end),),
            duration_s=script.duration_s,
            attributes=event.attributes,
        )
        for i, event in enumerate(script.events)
    ]


def iter_world(size: str, seed: int, *, rate: float = 1.0) -> Iterator[WorldVideo]:
    """Every video of a world as sampled frames, straight from the script: no file, no codec."""
    for index in range(check_size(size)):
        script = world_script(size, seed, index)
        yield _sample(script, rate)


def generate_features(
    root: Path,
    encoder: Encoder,
    *,
    size: str = "large",
    seed: int = 0,
    rate: float = 1.0,
    progress: Progress | None = None,
) -> FeatureStore:
    """Annotations and features of a world whose files are never made, in `root`; what is there is kept.

    Raises what `generate_world` raises, and FeatureError when root/features is of another encoder or rate.
    """
    total = check_size(size)
    with _writing(root):
        _claim(root, size, seed)
        _annotate(root, size, seed)
        store = FeatureStore.create(root / "features", StoreHeader(encoder=encoder.spec, rate=rate))
        with store.writing():
            for index in range(total):
                script = world_script(size, seed, index)
                if script.video_id not in store:
                    store.write(script.video_id, _features(script, encoder, rate), source=root, size=0, mtime_ns=0)
                if progress:
                    progress(index + 1, total)
    return store


def _sample(script: Script, rate: float) -> WorldVideo:
    times = sampled_times(script, rate)
    frames = torch.from_numpy(world_frames(script, times))
    return WorldVideo(script.video_id, frames, torch.tensor(times, dtype=torch.float64), script.duration_s)


def _features(script: Script, encoder: Encoder, rate: float) -> VideoFeatures:
    video = _sample(script, rate)
    return VideoFeatures(encoder.encode_images(encoder.prepare(video.frames)), video.times, video.duration_s)


def _make(missing: list[tuple[int, Path]], size: str, seed: int, workers: int) -> Iterator[None]:
    """Make files, yielding after each. New processes, not forks: torch's threads do not survive a fork."""
    jobs = [(world_script(size, seed, index), path) for index, path in missing]
    try:
        if workers == 1 or len(jobs) <= FEW:
            for script, path in jobs:
                film_to(script, path)
                yield
            return
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(jobs)), spawn, initializer=leave_with_parent) as pool:
            futures = [pool.submit(film_to, script, path) for script, path in jobs]
            try:
                for future in as_completed(futures):
                    future.result()
                    yield
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    except OSError as error:
        raise DataError(_no_room(missing[0][1].parent, error)) from error
    except BrokenProcessPool as error:
        raise DataError(
            f"{missing[0][1].parent}: a process that makes videos was stopped from outside, or could not start (a "
            "script that generates a world needs `if __name__ == '__main__':`, or workers=1); run the same again"
        ) from error


def _claim(root: Path, size: str, seed: int) -> None:
    """Say whose folder this is, or find out that it is another world's."""
    path, wanted = root / MANIFEST, {"size": size, "seed": seed, "version": VERSION}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        write_whole(path, json.dumps(wanted).encode())
        return
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not the header of a generated world ({error}); choose another folder") from error
    if found != wanted:
        theirs = ", ".join(f"{key} {value}" for key, value in found.items()) if isinstance(found, dict) else found
        ours = ", ".join(f"{key} {value}" for key, value in wanted.items())
        raise DataError(f"{root}: holds another world ({theirs}), not {ours}; choose another folder or delete this one")


def _annotate(root: Path, size: str, seed: int) -> None:
    for split in SPLITS:
        path = root / "annotations" / f"{split}.jsonl"
        if not path.exists():
            write_queries(path, world_queries(size, seed, split))


@contextlib.contextmanager
def _writing(root: Path) -> Iterator[None]:
    """Hold the only right to write in a world; whoever is killed lets go of it."""
    with only_writer(root, DataError, parts="videos/.w*.tmp"):
        try:
            (root / "videos").mkdir(exist_ok=True)
            yield
        except OSError as error:
            raise DataError(_no_room(root, error)) from error


def _no_room(folder: Path, error: OSError) -> str:
    why = error.strerror or error
    return f"{folder}: cannot be written ({why}); free some space or choose another folder, then run the same again"
