"""Transcripts beside the features of an index: one record a video, and one header that says which model made them all.

What is said and what is written on the screen have a store each, and both are this one. A record is JSON and is
written whole, after every window of at most a few minutes: what was made of a long video when a run ends is there, and
the next run goes on behind it.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from prvr.core.config import from_dict, to_dict
from prvr.core.errors import ConfigError, FeatureError
from prvr.core.facts import SAID, WRITTEN, Cue
from prvr.core.files import only_writer, refuse_newer, write_whole

FOLDER = "speech"  # of an index
HEADER = "speech.json"

VERSION = 1  # of the format of a store
CUE_S = 7.0  # that one line of a transcript lasts at most
CUE_LETTERS = 84  # two lines of 42, as broadcasters have them
PAUSE_S = 1.0  # that ends a line
STOPS = (".", "!", "?", "…", "。", "！", "？")


class WantedFilm(NamedTuple):
    """One video whose words are wanted."""

    video_id: str
    path: Path
    size: int  # bytes
    mtime_ns: int
    duration_s: float


class SpokenWord(NamedTuple):
    """One word, with its signs, and when it is said; of what is written, one line."""

    start_s: float
    end_s: float
    text: str
    p: float  # how sure the model is of it, 0 to 1


class Utterance(NamedTuple):
    """What the model wrote down in one go: a sentence, or some; of what is written, the lines of one place."""

    start_s: float
    end_s: float
    text: str
    words: tuple[SpokenWord, ...]


@dataclass(frozen=True, kw_only=True)
class SpeechHeader:
    """What all transcripts of a store have in common."""

    model: str  # as it was asked for
    revision: str  # SHA-256 of its weights
    version: int = VERSION

    @property
    def fingerprint(self) -> str:
        """`name@revision`, for people."""
        return f"{self.model}@{self.revision[:12]}"


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """What was heard in one video, or read on its screen."""

    video_id: str
    size: int  # bytes of its file, then
    mtime_ns: int  # and when it had last changed
    revision: str  # of the model's weights
    asked_language: str | None = None  # the settings: None: to be told by the model
    asked_track: str | None = None  # None: the one that players choose
    asked_rate: float | None = None  # pictures a second that were read; None: it was heard
    language: str = ""  # that it is in; empty where nothing is said
    language_p: float = 0.0
    kind: str = SAID  # or written
    until_s: float = 0.0  # how far it was heard
    whole: bool = False  # to its end
    silent: bool = False  # there is no sound in it
    over: bool = False  # it takes the place of subtitles
    unsure: int = 0  # utterances, or lines, that were left out for the model doubts them
    utterances: tuple[Utterance, ...] = ()

    def made_from(self, size: int, mtime_ns: int) -> bool:
        """Whether a file of this size and time of change is the one that was heard."""
        return (self.size, self.mtime_ns) == (size, mtime_ns)

    def cues(self) -> list[Cue]:
        """Lines of at most `CUE_S` seconds and `CUE_LETTERS` letters, ended by the end of a sentence or by a pause.

        What is written stays as long as it is on the screen, however long that is.
        """
        if self.kind == WRITTEN:
            return [Cue(one.start_s, one.end_s, one.text, WRITTEN) for one in self.utterances]
        found: list[Cue] = []
        line: list[SpokenWord] = []
        for word in (word for utterance in self.utterances for word in utterance.words):
            if line and _is_full(line, word):
                found.append(_cue(line))
                line = []
            line.append(word)
        return [*found, _cue(line)] if line else found


class StoreKind(NamedTuple):
    """Where the transcripts of one kind lie, and what people are told of them."""

    folder: str  # of an index
    header: str
    did: str  # what the model has done
    verb: str  # that does it
    use: str  # how to go on with a model, by its name


SPOKEN = StoreKind(FOLDER, HEADER, "heard", "prvr listen", "use `--speech {}`")
ON_SCREEN = StoreKind("text", "text.json", "read", "prvr read", "install the rapidocr that has {}")


class TranscriptStore:
    """Read and write the transcripts of an index folder, all of one kind."""

    def __init__(self, folder: Path, header: SpeechHeader, kind: StoreKind = SPOKEN) -> None:
        self.folder, self.header, self.kind = folder, header, kind

    @classmethod
    def open(cls, index: Path, kind: StoreKind = SPOKEN) -> Self | None:
        """That of an index folder; None where there is none yet. Raises FeatureError for one that is damaged."""
        path = index / kind.folder / kind.header
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            refuse_newer(path, values, VERSION, FeatureError)
            return cls(path.parent, from_dict(SpeechHeader, values), kind)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, AttributeError, ConfigError) as error:
            raise FeatureError(
                f"{path}: cannot be read as the header of transcripts ({error}); delete that file: the next "
                f"`{kind.verb}` makes it anew"
            ) from error

    @classmethod
    def create(cls, index: Path, header: SpeechHeader, kind: StoreKind = SPOKEN, *, replace: bool = False) -> Self:
        """That of an index folder, made if there is none; `replace` begins anew where another model was at work.

        Raises FeatureError rather than mix two models, and for a full or read-only disk.
        """
        known = None if replace else cls.open(index, kind)
        if known is None:
            return cls(index / kind.folder, header, kind)._begun()
        if known.header.revision != header.revision:
            raise FeatureError(
                f"{known.folder}: holds what {known.header.fingerprint} {kind.did}, not {header.fingerprint}, and the "
                f"two are not mixed; {kind.use.format(known.header.model)}, or `{kind.verb} --replace` to have all "
                f"{kind.did} anew"
            )
        return known

    def writing(self) -> AbstractContextManager[None]:
        """Hold the only right to write. Raises FeatureError when another process has it."""
        return only_writer(self.folder, FeatureError, parts="videos/.*.tmp")

    def path_of(self, video_id: str) -> Path:
        """Where the transcript of a video lies."""
        return self.folder / "videos" / f"{hashlib.sha256(video_id.encode()).hexdigest()[:24]}.json"

    def read(self, video_id: str) -> Transcript | None:
        """The transcript of a video; None where there is none, or it cannot be read and so is made anew."""
        try:
            transcript = _transcript(json.loads(self.path_of(video_id).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        same = (transcript.video_id, transcript.revision) == (video_id, self.header.revision)
        return transcript if same else None

    def stamp(self, video_id: str) -> tuple[int, ...]:
        """Another one when another transcript was written; nothing where there is none."""
        try:
            found = self.path_of(video_id).stat()
        except OSError:
            return ()
        return found.st_size, found.st_mtime_ns

    def write(self, transcript: Transcript) -> None:
        """Put a transcript in place, whole or not at all. Raises FeatureError for a full or read-only disk."""
        self._put(self.path_of(transcript.video_id), json.dumps(asdict(transcript), ensure_ascii=False))

    def remove(self, video_id: str) -> None:
        """Forget the transcript of one video."""
        self.path_of(video_id).unlink(missing_ok=True)

    def _begun(self) -> Self:
        self._put(self.folder / self.kind.header, json.dumps(to_dict(self.header), indent=1))
        return self

    def _put(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text.encode())
        except OSError as error:
            raise FeatureError(
                f"{self.folder}: what was {self.kind.did} cannot be written ({error.strerror}); free some space, then "
                "run the same command again: what is finished stays"
            ) from error


def _transcript(values: dict[str, Any]) -> Transcript:
    rows = [
        Utterance(start, end, text, tuple(SpokenWord(*word) for word in words))
        for start, end, text, words in values.pop("utterances")
    ]
    return Transcript(**values, utterances=tuple(rows))


def _is_full(line: list[SpokenWord], word: SpokenWord) -> bool:
    """Whether a line ends before a word."""
    letters = sum(len(one.text) for one in line) + len(word.text)
    ended = line[-1].text.rstrip("\"'”’)").endswith(STOPS)
    pause = word.start_s - line[-1].end_s > PAUSE_S
    return ended or pause or letters > CUE_LETTERS or word.end_s - line[0].start_s > CUE_S


def _cue(line: list[SpokenWord]) -> Cue:
    return Cue(line[0].start_s, line[-1].end_s, "".join(word.text for word in line).strip())
