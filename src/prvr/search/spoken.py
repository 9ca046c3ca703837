"""What is said in the videos of an index: in subtitle files beside them, and in the tracks inside them."""

from __future__ import annotations

import os
import zlib
from itertools import chain
from pathlib import Path

from prvr.core.errors import FeatureError
from prvr.core.facts import Cue
from prvr.features.store import Entry, FeatureStore
from prvr.subtitles.beside import Beside
from prvr.subtitles.cues import parse_subtitles, vtt
from prvr.subtitles.text import read_text
from prvr.subtitles.tracks import TextTrack, read_ass
from prvr.video.source import shown


class Spoken:
    """Asked video by video; every folder is looked at once for all of them, and nothing is read to say what changed."""

    def __init__(self, features: Path) -> None:
        self._features = features
        self._opened: FeatureStore | None = None
        self._inside: dict[str, tuple[int, bool]] = {}  # by video id: when its features were written, is there a track
        self._beside = Beside()

    def stamp(self, entry: Entry, file: Path) -> str:
        """Another one as soon as there is other text to read, or other files; empty where there is none."""
        marks = [(path.name, *_mark(path)) for path in self._beside.of(file)]
        said = (marks, entry.num_cues) if entry.num_cues > 0 else (marks,) if marks else ()
        return f"{zlib.crc32(repr(said).encode('utf-8', 'surrogateescape')):08x}" if said else ""

    def cues(self, video_id: str, file: Path, notes: list[str]) -> list[Cue]:
        """All of it, in order of time; what is said twice is there once. `notes` gets a line for what is left out."""
        found = [cue for path in self._beside.of(file) for cue in read_file(path, notes)]
        found += [cue for track in self._tracks(video_id) for cue in track.cues]
        return sorted(dict.fromkeys(found))

    def is_any(self, video_id: str, file: Path) -> bool:
        """Whether there is something to show, without reading it."""
        return bool(self._beside.of(file)) or self._has_tracks(video_id)

    def webvtt(self, video_id: str, file: Path) -> str | None:
        """What a player shows: the first file that says something, else the first track; None where there is none."""
        beside = (read_file(path, []) for path in self._beside.of(file))
        inside = (track.cues for track in self._tracks(video_id))
        return next((vtt(sorted(cues)) for cues in chain(beside, inside) if cues), None)

    @property
    def _store(self) -> FeatureStore | None:
        if self._opened is None:
            try:
                self._opened = FeatureStore.open(self._features)
            except FeatureError:  # not yet, or only the vectors are here
                return None
        return self._opened

    def _tracks(self, video_id: str) -> list[TextTrack]:
        return self._store.tracks(video_id) if self._store else []

    def _has_tracks(self, video_id: str) -> bool:
        if self._store is None:
            return False
        try:
            written = self._store.path_of(video_id).stat().st_mtime_ns
        except OSError:
            return False
        if self._inside.get(video_id, (0, False))[0] != written:
            self._inside[video_id] = (written, bool(self._tracks(video_id)))
        return self._inside[video_id][1]


def read_file(file: Path, notes: list[str]) -> list[Cue]:
    """The cues of one subtitle file; never fails."""
    name = shown(file)
    text = read_text(file, notes, name=name)
    if file.suffix.lower() in (".ass", ".ssa"):
        return read_ass(text, name=name, notes=notes)
    return list(parse_subtitles(text, name=name, notes=notes))


def _mark(path: Path) -> tuple[int, ...]:
    """A file as it lies there now, and whether it may be read."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns, os.access(path, os.R_OK)
