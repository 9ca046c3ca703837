"""A moment of a video as a small file of its own."""

from __future__ import annotations

from pathlib import Path

from prvr.core.errors import VideoError
from prvr.video.encode import FORMS, Excerpt, FileForm, encode, written
from prvr.video.probe import probe
from prvr.video.source import shown


def cut(path: Path, start: float, end: float, out: Path) -> None:
    """Write what `path` shows from `start` to `end` (seconds of the file's clock, clamped to it) to `out`.

    Encoded again, so that it begins with the very picture that is shown at `start`: H.264 and AAC for .mp4, VP9 and
    Opus for .webm; upright, sound kept to one sound packet. `out` is replaced in one step when all is written.
    """
    form, excerpt = film_form(out), excerpt_of(path, start, end)
    with written(out, form.container) as container:
        encode(container, form, [excerpt])


def film_form(out: Path) -> FileForm:
    """How a film of this name is written. Raises VideoError for another suffix."""
    form = FORMS.get(out.suffix.lower())
    if form is None:
        raise VideoError(f"{shown(out)}: cannot write {out.suffix or 'a file without suffix'!r}; name it .mp4 or .webm")
    return form


def excerpt_of(path: Path, start: float, end: float) -> Excerpt:
    """What a file shows from `start` to `end`, clamped to it. Raises VideoError where that is nothing."""
    info = probe(path)
    first, last = max(start, 0.0), min(end, info.duration_s)
    if not first < last:
        raise VideoError(
            f"{shown(path)}: there is nothing between {start} and {end} s; the video is {info.duration_s:.2f} s long: "
            "give a start before the end and inside it"
        )
    return Excerpt(info, first, last)
