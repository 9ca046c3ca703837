"""What is known of a video of a library beside its vectors, and which videos are meant by that."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from prvr.core.text import folded


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a video beside its vectors."""

    path: str = ""  # relative to the library's root where it lies below it
    duration_s: float = 0.0
    modified: float = 0.0  # unix seconds, of the file
    tags: tuple[str, ...] = ()


UNKNOWN = Facts()


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What probing a video file finds; no more than one picture of it is decoded."""

    path: Path
    duration_s: float  # where the last picture ends on the file's clock (see `prvr.video.clock`)
    width: int  # pixels, after rotation
    height: int  # pixels, after rotation
    rotation: int  # degrees clockwise to apply: 0, 90, 180 or 270
    video_codec: str
    audio_codec: str | None
    rate: float  # average frames per second
    variable_rate: bool
    browser_playable: bool
    container: str = ""  # as people call it: Matroska, MPEG-TS
    copyable: bool = False  # browsers play the pictures as they are, from an MP4
    pixel_aspect: float = 1.0  # width of a pixel over its height, after rotation
    mirrored: bool = False  # left to right, after rotation
    start_s: float = 0.0  # when the first picture is shown
    notes: tuple[str, ...] = ()  # what is odd about the file and what was made of it, a line each


SAID, WRITTEN = "said", "written"  # the kinds of words in a video: heard, or read on the screen
KINDS = (SAID, WRITTEN)
SEEN = "seen"  # beside them: what its pictures show


class Cue(NamedTuple):
    """Words in a video, and when."""

    start_s: float
    end_s: float
    text: str
    kind: str = SAID


@dataclass(frozen=True, kw_only=True)
class Where:
    """Which videos to look at; all parts that are given must hold. False where none is given."""

    path: str | None = None  # a part of it, or a pattern if it has * ? or [; see `fits`
    after: float | None = None  # unix seconds, of `modified`
    before: float | None = None
    longer_s: float | None = None
    shorter_s: float | None = None
    tags: tuple[str, ...] = ()  # all of them

    def __bool__(self) -> bool:
        return any(value not in (None, ()) for value in vars(self).values())

    def holds(self, facts: Facts) -> bool:
        """Whether one video is meant; the definition that every engine's own filter must equal."""
        return (
            (self.path is None or fits(facts.path, self.path))
            and (self.after is None or facts.modified >= self.after)
            and (self.before is None or facts.modified < self.before)
            and (self.longer_s is None or facts.duration_s >= self.longer_s)
            and (self.shorter_s is None or facts.duration_s < self.shorter_s)
            and set(self.tags) <= set(facts.tags)
        )

    def over(self, other: Where | None) -> Where:
        """The same, and what `other` says of the parts that are not given here."""
        return replace(other or self, **{name: value for name, value in vars(self).items() if value not in (None, ())})


EVERY = Where()


def fits(path: str, text: str) -> bool:
    """Whether a text names a path: it is part of it, letter for letter or without case and accents, or a pattern of it.

    So `[id]`, `*` and `?` are first what they are in names; in a pattern `[` may stand for itself, too.
    """
    if text in path:
        return True
    ours, wanted = folded(path), folded(text)
    if wanted in ours:
        return True
    literal = wanted.replace("[", "[[]")
    return any(sign in text for sign in "*?[") and any(fnmatch.fnmatchcase(ours, one) for one in (wanted, literal))
