"""Taking out the videos whose files are gone: not a whole folder unasked, and so that it can be taken back.

A drive that is not mounted looks like a folder that was emptied. What is taken out keeps its features, until videos are
taken out of the same index another time: when the files are there again, the next run reads nothing anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from prvr.core.errors import IndexFolderError
from prvr.core.facts import Facts
from prvr.core.files import emptied, there, write_whole
from prvr.core.text import count
from prvr.features.failures import Failures
from prvr.features.store import FeatureStore
from prvr.index.base import Index
from prvr.search.places import locate
from prvr.video.find import passed_over
from prvr.video.source import shown

FILE = "pruned.json"  # beside the features: id -> where the file lay, and the tags of the video
MOST = 0.5  # of the videos below a path, which are taken out without being forced


class Pruned(NamedTuple):
    """What became of the videos whose files are gone."""

    removed: tuple[str, ...]  # taken out
    missing: tuple[str, ...]  # not taken out
    spared: tuple[str, ...]  # a line for each path of which too many were gone to take them out unforced


def prune(
    index: Index,
    folder: Path,
    store: FeatureStore,
    paths: Sequence[Path],
    present: Collection[str],
    *,
    asked: bool,
    forced: bool,
) -> Pruned:
    """Take out the videos below `paths` that are not `present`, if that was asked for and is no mistake.

    Raises IndexFolderError for a full disk.
    """
    missing, lines = gone(index, folder, paths, present)
    if not asked or (lines and not forced):
        return Pruned((), tuple(missing), tuple(lines if asked else ()))
    take_out(index, store, paths, missing)
    return Pruned(tuple(missing), (), ())


def gone(index: Index, folder: Path, paths: Sequence[Path], present: Collection[str]) -> tuple[list[str], list[str]]:
    """The videos below `paths` whose files are gone, or lie where nothing is looked for.

    And a line for every path below which so many are that it is likelier not there than emptied, and for every folder
    below it in which nothing at all is left.
    """
    if index.versions.keys() <= set(present):
        return [], []
    files = {one: locate(folder, facts.path) for one, facts in index.all_facts().items()}
    lost, lines = dict[str, None](), []
    for root in [path.resolve() for path in paths]:
        below = {one: file.relative_to(root) for one, file in files.items() if file.is_relative_to(root)}
        missing = [
            one for one, rest in below.items() if one not in present and (not there(files[one]) or passed_over(rest))
        ]
        lost |= dict.fromkeys(missing)
        suspects = {root: len(missing)} if len(missing) > MOST * len(below) else _emptied(files[one] for one in missing)
        for place, num_gone in suspects.items():
            videos = count(sum(files[one].is_relative_to(place) for one in below), "video")
            lines.append(
                f"{num_gone:,} of {videos} below {shown(place)} are gone: nothing was taken out; is it mounted?"
            )
    return list(lost), lines


def _emptied(files: Iterable[Path]) -> Counter[Path]:
    """The folders in which nothing at all is left -> how many of the files, which are gone, lay there."""
    found = Counter[Path]()
    for folder, num_gone in Counter(file.parent for file in files if not there(file)).items():
        if place := emptied(folder):
            found[place] += num_gone
    return found


def take_out(index: Index, store: FeatureStore, paths: Sequence[Path], ids: Sequence[str]) -> None:
    """Videos out of the index, and what could not be read below `paths` and is gone.

    What was taken out the last time loses its features now. Raises IndexFolderError for a full disk.
    """
    failures = Failures(store.folder)
    failures.prune(paths)
    failures.save()
    if not ids:
        return
    for video_id in recall(store).keys() - index.versions.keys():
        store.remove(video_id)
    facts = {video_id: index.facts(video_id) for video_id in ids}
    rows = {video_id: {"path": one.path, "tags": one.tags} for video_id, one in facts.items()}
    try:
        write_whole(store.folder / FILE, json.dumps(rows, indent=1).encode())
    except OSError as error:
        raise IndexFolderError(
            f"{store.folder}: cannot be written ({error.strerror}); nothing was taken out; free some space, then run "
            "the command again"
        ) from error
    for video_id in ids:
        index.remove(video_id)


def recall(store: FeatureStore) -> Mapping[str, Facts]:
    """What is kept of the videos that were taken out the last time."""
    found: dict[str, Facts] = {}
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        for video_id, row in json.loads((store.folder / FILE).read_text(encoding="utf-8")).items():
            found[video_id] = Facts(path=str(row["path"]), tags=tuple(map(str, row["tags"])))
    return found
