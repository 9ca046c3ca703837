"""Whether all videos of an index were read in today's way: an earlier prvr counted the time of some files otherwise."""

from __future__ import annotations

from pathlib import Path

from prvr.core.files import there
from prvr.features.extract import Extraction
from prvr.index.base import Index
from prvr.video.probe import READING

NOTE = "reading"


def keep_reading(index: Index, read: Extraction) -> None:
    """Note it with the index, which must be open for writing, where it is so; nobody looks at the videos again then."""
    if index.note(NOTE) == str(READING):
        return
    known = {entry.video_id: entry for entry in read.entries}
    entries = (known.get(video_id) or read.store.entry(video_id) for video_id in index.versions)
    if all(entry is None or entry.confirmed >= READING or not there(entry.file) for entry in entries):
        index.put_note(NOTE, str(READING))


def old_reading(index: Index, folder: Path) -> list[str]:
    """A line with what to do, if some were read otherwise."""
    if index.note(NOTE) == str(READING) or not any(facts.path for facts in index.all_facts().values()):
        return []
    return [
        f"{folder}: some of its videos were read by an earlier prvr, so that times may differ from those of a player; "
        f"index their folders again, which reads only such videos anew: `prvr index PATH --index {folder}`"
    ]
