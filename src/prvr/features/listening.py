"""Videos that were read before their subtitle tracks were: only those are read now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prvr.core.errors import VideoError
from prvr.core.files import there
from prvr.features.reading import hear
from prvr.features.store import Entry, FeatureStore
from prvr.video.apart import ask


def listen(kept: dict[str, Entry], moved: Mapping[str, Path], store: FeatureStore, notes: list[str]) -> None:
    """Look for tracks where nobody has; `kept` by video id, `moved` where their files lie now if it is elsewhere."""
    for entry in [entry for entry in kept.values() if entry.num_cues < 0]:
        file = moved.get(entry.video_id, entry.file)
        if there(file):
            try:
                tracks, lines = ask(hear, file)
            except VideoError as error:
                tracks, lines = [], [str(error)]
            notes += lines
            kept[entry.video_id] = store.put_tracks(entry, tracks)
