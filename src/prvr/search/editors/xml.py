"""The two forms of XML that editing programs read: Final Cut Pro's FCPXML, and Final Cut 7's, which Premiere reads."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from prvr.search.clips import Clip
from prvr.search.editors.cuts import Film, Stretch, note_of, stretches_of, title_of
from prvr.video.timecode import Timebase

SOUND_RATE = 48_000


class Placed(NamedTuple):
    """A stretch and where it lies in the new sequence, in frames of the sequence."""

    stretch: Stretch
    at: int
    until: int


def as_fcpxml(clips: Sequence[Clip], query: str, *, markers: bool = False) -> str:
    """FCPXML 1.8: the clips one after another, sources by their own timecode.

    `markers`: whole videos instead, with a marker at every moment.
    """
    placed = _placed(stretches_of(clips, whole=markers))
    root, base = Element("fcpxml", version="1.8"), placed[0].stretch.film
    assets = _resources(SubElement(root, "resources"), placed)
    event = SubElement(SubElement(root, "library"), "event", name="prvr")
    sequence = SubElement(SubElement(event, "project", name=title_of(query)), "sequence")
    sequence.attrib.update(format=assets[base].format, duration=_time(placed[-1].until, base.timebase))
    sequence.attrib.update(tcStart="0s", tcFormat=_drop(base.timebase))
    spine = SubElement(sequence, "spine")
    for stretch, at, until in placed:
        film, own = stretch.film, stretch.film.timebase
        clip = SubElement(spine, "asset-clip", ref=assets[film].id, name=film.name, tcFormat=_drop(own))
        clip.attrib.update(
            format=assets[film].format,
            offset=_time(at, base.timebase),
            start=_time(film.begins() + stretch.start, own),
            duration=_time(until - at, base.timebase),
        )
        if not markers:
            SubElement(clip, "note").text = note_of(stretch.cuts[0].clip)
        if own.rate != base.timebase.rate:
            runs = f"{float(own.rate):.2f}".removesuffix(".00")
            SubElement(clip, "conform-rate", scaleEnabled="0", srcFrameRate=runs)
        for cut in stretch.cuts if markers else ():
            begins, lasts = _time(film.begins() + cut.start, own), _time(cut.end - cut.start, own)
            SubElement(clip, "marker", start=begins, duration=lasts, value=title_of(query), note=note_of(cut.clip))
    return _written(root, "<!DOCTYPE fcpxml>")


class _Asset(NamedTuple):
    """A film as FCPXML names it."""

    id: str
    format: str


def _resources(parent: Element, placed: Sequence[Placed]) -> dict[Film, _Asset]:
    """Every film once, and every kind of picture once."""
    formats: dict[tuple[Fraction, tuple[int, int]], str] = {}
    assets: dict[Film, _Asset] = {}
    for film, whole in {stretch.film: stretch.whole for stretch, _, _ in placed}.items():
        kind = (film.timebase.rate, film.size)
        if kind not in formats:
            formats[kind] = f"r{len(parent) + 1}"
            width, height = map(str, film.size)
            step = _time(1, film.timebase)
            SubElement(parent, "format", id=formats[kind], frameDuration=step, width=width, height=height)
        assets[film] = _Asset(f"r{len(parent) + 1}", formats[kind])
        asset = SubElement(parent, "asset", id=assets[film].id, name=film.name, src=film.uri, format=formats[kind])
        asset.attrib.update(start=_time(film.begins(), film.timebase), duration=_time(whole, film.timebase))
        asset.set("hasVideo", "1")
        if film.camera.channels:
            asset.attrib.update(hasAudio="1", audioSources="1", audioChannels=str(film.camera.channels))
    return assets


def _time(frames: int, timebase: Timebase) -> str:
    """Seconds as FCPXML has them: whole frames as a fraction."""
    time = Fraction(frames) / timebase.rate
    return (
        f"{time.numerator}s"
        if time.denominator == 1
        else f"{frames * timebase.rate.denominator}/{timebase.rate.numerator}s"
    )


def _drop(timebase: Timebase) -> str:
    return "DF" if timebase.drop else "NDF"


def as_xml(clips: Sequence[Clip], query: str, *, markers: bool = False) -> str:
    """Final Cut 7's XML: the clips one after another, with their sound.

    `markers`: whole videos instead, and a marker of the sequence at every moment.
    """
    placed = _placed(stretches_of(clips, whole=markers))
    root = Element("xmeml", version="5")
    sequence = SubElement(root, "sequence", id="sequence-1")
    base = placed[0].stretch.film.timebase
    _texts(sequence, name=title_of(query), duration=placed[-1].until)
    _rate(sequence, base)
    _timecode(sequence, base, 0)
    tracks = _tracks(SubElement(sequence, "media"), placed)
    files: dict[Film, str] = {}
    for number, one in enumerate(placed, 1):
        _clip_items(tracks, one, number, files)
    for stretch, at, _ in placed if markers else ():
        rate = base.rate / stretch.film.timebase.rate
        for cut in stretch.cuts:
            marker = SubElement(sequence, "marker")
            _texts(marker, comment=note_of(cut.clip), name=title_of(query))
            _texts(marker, **{"in": at + round(cut.start * rate), "out": at + round(cut.end * rate)})
    return _written(root, "<!DOCTYPE xmeml>")


def _placed(stretches: Sequence[Stretch]) -> list[Placed]:
    """One after another, in a sequence that runs as the first film does."""
    rate, at, found = stretches[0].film.timebase.rate, 0, []
    for stretch in stretches:
        until = at + max(1, round((stretch.end - stretch.start) / stretch.film.timebase.rate * rate))
        found.append(Placed(stretch, at, until))
        at = until
    return found


def _tracks(media: Element, placed: Sequence[Placed]) -> list[Element]:
    """A track for pictures, of the first film's size and rate, and one for each side of the sound."""
    first, video = placed[0].stretch.film, SubElement(media, "video")
    shape = SubElement(SubElement(video, "format"), "samplecharacteristics")
    _rate(shape, first.timebase)
    width, height = first.size
    _texts(shape, width=width, height=height, anamorphic="FALSE", pixelaspectratio="square", fielddominance="none")
    tracks = [SubElement(video, "track")]
    if sides := min(2, max(one.stretch.film.camera.channels for one in placed)):
        audio = SubElement(media, "audio")
        _texts(SubElement(SubElement(audio, "format"), "samplecharacteristics"), depth=16, samplerate=SOUND_RATE)
        tracks += [SubElement(audio, "track") for _ in range(sides)]
    return tracks


def _clip_items(tracks: Sequence[Element], one: Placed, number: int, files: dict[Film, str]) -> None:
    """A stretch on the track of pictures and on those of its sound, as items that know of one another."""
    stretch, film = one.stretch, one.stretch.film
    used = tracks[: 1 + min(2, film.camera.channels)]
    items = [SubElement(track, "clipitem", id=f"clipitem-{number}-{side}") for side, track in enumerate(used)]
    for side, item in enumerate(items):
        _texts(item, name=film.name, enabled="TRUE", duration=stretch.whole)
        _rate(item, film.timebase)
        _texts(item, **{"start": one.at, "end": one.until, "in": stretch.start, "out": stretch.end})
        _file(item, stretch, files)
        if side:
            _texts(SubElement(item, "sourcetrack"), mediatype="audio", trackindex=side)
        for other, track in enumerate(used):
            link, kind = SubElement(item, "link"), "audio" if other else "video"
            _texts(link, linkclipref=items[other].get("id"), mediatype=kind, trackindex=max(1, other))
            _texts(link, clipindex=len(track))


def _file(item: Element, stretch: Stretch, files: dict[Film, str]) -> None:
    """The film: described where it stands for the first time, named after that."""
    film = stretch.film
    if film in files:
        SubElement(item, "file", id=files[film])
        return
    files[film] = f"file-{len(files) + 1}"
    file = SubElement(item, "file", id=files[film])
    _texts(file, name=film.name, pathurl=film.uri)
    _rate(file, film.timebase)
    _texts(file, duration=stretch.whole)
    _timecode(file, film.timebase, film.begins(), reel=film.camera.reel)
    media = SubElement(file, "media")
    shape = SubElement(SubElement(media, "video"), "samplecharacteristics")
    width, height = film.size
    _texts(shape, width=width, height=height)
    if film.camera.channels:
        _texts(SubElement(media, "audio"), channelcount=film.camera.channels)


def _rate(parent: Element, timebase: Timebase) -> None:
    ntsc = "TRUE" if timebase.rate.denominator > 1 else "FALSE"
    _texts(SubElement(parent, "rate"), timebase=timebase.base, ntsc=ntsc)


def _timecode(parent: Element, timebase: Timebase, frame: int, *, reel: str | None = None) -> None:
    timecode = SubElement(parent, "timecode")
    _rate(timecode, timebase)
    _texts(timecode, string=timebase.label(frame), frame=frame, displayformat=_drop(timebase))
    if reel:
        _texts(SubElement(timecode, "reel"), name=title_of(reel))


def _texts(parent: Element, **texts: object) -> None:
    for tag, text in texts.items():
        SubElement(parent, tag).text = str(text)


def _written(root: Element, kind: str) -> str:
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{kind}\n{tostring(root, encoding="unicode")}\n'
