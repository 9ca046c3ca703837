"""What is said in the videos of an index: in subtitle files beside them, in the tracks inside them, or as it was heard.

Subtitles come first, for people wrote them; what was heard (`prvr.speech`) fills what has none, unless it was heard
to take their place.
"""

from __future__ import annotations

import os
import zlib
from itertools import chain
from pathlib import Path

from prvr.core.errors import FeatureError
from prvr.core.facts import Cue
from prvr.features.store import Entry, FeatureStore
from prvr.speech.store import ON_SCREEN, SPOKEN, StoreKind, Transcript, TranscriptStore
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
        self._headers = {kind: features.parent / kind.folder / kind.header for kind in (SPOKEN, ON_SCREEN)}
        self._known: dict[StoreKind, tuple[int, TranscriptStore | None]] = {}  # when its header was written
        self._words: dict[str, tuple[tuple[int, ...], bool]] = {}  # by video id: its transcript's stamp, has it a word
        self._beside = Beside()

    def stamp(self, entry: Entry, file: Path) -> str:
        """Another one as soon as there is other text to read, or other files; empty where there is none."""
        marks = [(path.name, *_mark(path)) for path in self._beside.of(file)]
        said = (marks, entry.num_cues) if entry.num_cues > 0 else (marks,) if marks else ()
        for store in filter(None, map(self._transcripts, (SPOKEN, ON_SCREEN))):
            if made := store.stamp(entry.video_id):
                said = (*said, store.header.revision, made)
        return f"{zlib.crc32(repr(said).encode('utf-8', 'surrogateescape')):08x}" if said else ""

    def cues(self, video_id: str, file: Path, notes: list[str]) -> list[Cue]:
        """All of it, in order of time; what is said twice is there once. `notes` gets a line for what is left out.

        What is written in its pictures is among them.
        """
        screen = self._transcripts(ON_SCREEN)
        read = screen.read(video_id) if screen else None
        return sorted([*self._said(video_id, file, notes), *(read.cues() if read else [])])

    def _said(self, video_id: str, file: Path, notes: list[str]) -> list[Cue]:
        heard = self.transcript(video_id)
        if heard and heard.over and heard.utterances:
            return heard.cues()
        found = [cue for path in self._beside.of(file) for cue in read_file(path, notes)]
        found += [cue for track in self._tracks(video_id) for cue in track.cues]
        return sorted(dict.fromkeys(found)) or (heard.cues() if heard else [])

    def transcript(self, video_id: str) -> Transcript | None:
        """What was heard in a video; None where nobody listened."""
        store = self._transcripts(SPOKEN)
        return store.read(video_id) if store else None

    def is_any(self, video_id: str, file: Path) -> bool:
        """Whether there is something to show, without reading what is known already."""
        return self.has_subtitles(video_id, file) or self._has_words(video_id)

    def has_subtitles(self, video_id: str, file: Path) -> bool:
        """Whether there are any beside a video or inside it, without reading them."""
        return bool(self._beside.of(file)) or self._has_tracks(video_id)

    def webvtt(self, video_id: str, file: Path) -> str | None:
        """What a player shows, see `shown_cues`; None where there is nothing."""
        cues = self.shown_cues(video_id, file)
        return vtt(cues) if cues else None

    def shown_cues(self, video_id: str, file: Path) -> list[Cue]:
        """Of one source, in order of time: the first file that says something, else the first track, else as heard."""
        heard = self.transcript(video_id)
        lines = heard.cues() if heard else []
        first = [lines] if heard and heard.over else []
        beside = (read_file(path, []) for path in self._beside.of(file))
        inside = (track.cues for track in self._tracks(video_id))
        return sorted(next((cues for cues in chain(first, beside, inside, [lines]) if cues), []))

    def _has_words(self, video_id: str) -> bool:
        """Whether anything was heard in a video; its transcript is read once, and again when it was written anew."""
        store = self._transcripts(SPOKEN)
        written = store.stamp(video_id) if store else ()
        if not written:
            return False
        if self._words.get(video_id, ((), False))[0] != written:
            heard = self.transcript(video_id)
            self._words[video_id] = (written, bool(heard and heard.utterances))
        return self._words[video_id][1]

    def _transcripts(self, kind: StoreKind) -> TranscriptStore | None:
        """Those of a kind beside the features; opened again when their header was written anew."""
        try:
            written = self._headers[kind].stat().st_mtime_ns
        except OSError:
            return None
        if written != self._known.get(kind, (0, None))[0]:
            try:
                self._known[kind] = written, TranscriptStore.open(self._features.parent, kind)
            except FeatureError:  # which the verb that makes them says
                self._known[kind] = written, None
        return self._known[kind][1]

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
