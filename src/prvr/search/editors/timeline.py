"""OpenTimelineIO: the cuts or the whole films as a timeline with a track of pictures and one of sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prvr.core.errors import ConfigError
from prvr.search.clips import Clip
from prvr.search.editors.cuts import Cut, Film, note_of, stretches_of, title_of


def as_otio(clips: Sequence[Clip], query: str, *, markers: bool = False) -> str:
    """The clips one after another, each at its own video's rate and by its own timecode.

    `markers`: whole videos instead, with a marker at every moment. Raises ConfigError without OpenTimelineIO.
    """
    otio, stretches = _library(), stretches_of(clips, whole=markers)
    timeline = otio.schema.Timeline(name=title_of(query))
    for kind in (otio.schema.TrackKind.Video, otio.schema.TrackKind.Audio):
        heard = kind == otio.schema.TrackKind.Audio
        if heard and not any(stretch.film.camera.channels for stretch in stretches):
            continue
        track = otio.schema.Track(name="sound" if heard else "moments", kind=kind)
        timeline.tracks.append(track)
        for stretch in stretches:
            shown = _range(otio, stretch.film, stretch.start, stretch.end)
            if heard and not stretch.film.camera.channels:
                track.append(otio.schema.Gap(duration=shown.duration))
                continue
            media = otio.schema.ExternalReference(stretch.film.uri, _range(otio, stretch.film, 0, stretch.whole))
            said = [_said(cut, query) for cut in stretch.cuts]
            clip = otio.schema.Clip(stretch.film.name, media, shown, {"prvr": said if markers else said[0]})
            if markers and not heard:
                clip.markers.extend(_marker(otio, cut, query) for cut in stretch.cuts)
            track.append(clip)
    return str(timeline.to_json_string())


def _said(cut: Cut, query: str) -> dict[str, Any]:
    """The row of a table; what is no text, as bytes in a name, is written out."""
    row = {"query": query, **cut.clip.plain()}
    return {
        name: said.encode(errors="backslashreplace").decode() if isinstance(said, str) else said
        for name, said in row.items()
    }


def _marker(otio: Any, cut: Cut, query: str) -> Any:
    return otio.schema.Marker(
        name=title_of(query),
        marked_range=_range(otio, cut.film, cut.start, cut.end),
        color=otio.schema.MarkerColor.BLUE,
        comment=note_of(cut.clip),
    )


def _range(otio: Any, film: Film, start: int, end: int) -> Any:
    """Frames of a film from its first picture -> a range that counts as the film's own timecode does."""
    first, frames = (
        otio.opentime.RationalTime(count, float(film.timebase.rate)) for count in (film.begins() + start, end - start)
    )
    return otio.opentime.TimeRange(first, frames)


def _library() -> Any:
    try:
        import opentimelineio
    except ImportError as error:
        raise ConfigError(".otio: needs OpenTimelineIO, which is not installed: pip install 'prvr[otio]'") from error
    return opentimelineio
