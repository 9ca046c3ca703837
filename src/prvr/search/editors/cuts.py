"""What every list for an editing program is made from: films, and spans of them in whole frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from prvr.search.clips import Clip
from prvr.video.picture import shown_size
from prvr.video.probe import probe
from prvr.video.source import shown
from prvr.video.timecode import CameraLabel, Timebase, camera_label, timebase_for


class Film(NamedTuple):
    """A file as an editing program counts it."""

    path: Path
    name: str  # printable
    start_s: float  # when its first picture is shown, which is frame 0 to an editing program
    rate: float  # pictures a second, whatever they are counted in
    timebase: Timebase
    frames: int  # of it all, in that timebase
    size: tuple[int, int]  # pixels across and down, upright and square
    camera: CameraLabel

    @property
    def uri(self) -> str:
        """Where it lies."""
        return self.path.resolve().as_uri()

    def begins(self, timebase: Timebase | None = None) -> int:
        """The frame number of its first picture in its own timebase, or in another."""
        if self.camera.timecode is None:
            return 0
        return (timebase or self.timebase).number(self.camera.timecode, self.timebase.base) or 0


class Cut(NamedTuple):
    """A moment of a film, in frames of `timebase` from its first picture."""

    film: Film
    timebase: Timebase
    start: int
    end: int  # the one after the last
    clip: Clip


class Stretch(NamedTuple):
    """What is seen of a film in one piece, in its own frames, and the moments in it in order of time."""

    film: Film
    start: int
    end: int
    cuts: list[Cut]

    @property
    def whole(self) -> int:
        """Frames of all of the film."""
        return max(self.film.frames, self.end)


def film_of(clip: Clip) -> Film:
    """The film of a clip. Raises VideoError when it is gone or no video."""
    info, camera = probe(clip.place), camera_label(clip.place)
    timebase = timebase_for(info.rate, camera.timecode)
    return Film(
        path=clip.place,
        name=shown(Path(clip.name)),
        start_s=info.start_s,
        rate=info.rate,
        timebase=timebase,
        frames=max(1, timebase.frame(clip.hit.duration_s - info.start_s)),
        size=shown_size(info.width, info.height, info.pixel_aspect),
        camera=camera,
    )


def cuts_of(clips: Sequence[Clip], *, alike: bool = False) -> list[Cut]:
    """Every clip in whole frames of its own film's timebase; `alike`: all in that of the first."""
    films: dict[Path, Film] = {}
    found: list[Cut] = []
    for clip in clips:
        film = films[clip.place] = films.get(clip.place) or film_of(clip)
        timebase = found[0].timebase if alike and found else film.timebase
        start, end = (timebase.frame(max(0.0, time - film.start_s)) for time in (clip.start_s, clip.end_s))
        found.append(Cut(film, timebase, start, max(start + 1, end), clip))
    return found


def stretches_of(clips: Sequence[Clip], *, whole: bool) -> list[Stretch]:
    """A stretch a clip; `whole`: one a film instead, all of it, in the order in which the clips come to them."""
    cuts = cuts_of(clips)
    if not whole:
        return [Stretch(cut.film, cut.start, cut.end, [cut]) for cut in cuts]
    films: dict[Path, list[Cut]] = {}
    for cut in cuts:
        films.setdefault(cut.film.path, []).append(cut)
    ordered = (sorted(own, key=lambda cut: (cut.start, cut.end)) for own in films.values())
    return [Stretch(own[0].film, 0, max(own[0].film.frames, own[-1].end), own) for own in ordered]


def title_of(query: str) -> str:
    """What was asked, as one line that every format can hold."""
    return " ".join("".join(c if c.isprintable() else " " for c in query).split()) or "moments"


def note_of(clip: Clip) -> str:
    """What a hit says of a moment, in a line."""
    hit = clip.hit
    said = f"#{clip.rank}, score {hit.score:.3f}, {hit.confidence}"
    return title_of(f'{said}: "{hit.quote}"' if hit.quote else said)
