"""Subtitles that FFmpeg reads: the text tracks inside a video, and files of Advanced SubStation (.ass, .ssa).

What packets hold is read by ourselves, not decoded: FFmpeg's decoders make SubStation's mark-up of all of them, resolve
entities in some, and would need what is said to be taken out of that again.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.subtitles.stream import SubtitleStream

from prvr.core.errors import VideoError
from prvr.core.facts import Cue
from prvr.subtitles.cues import plain, plain_ass
from prvr.video.clock import start_clock
from prvr.video.source import ReadDamage, open_video, shown

UNTIL_NEXT_S = 5.0  # that a line without an end is shown at most


class TextTrack(NamedTuple):
    """The text of one stream of subtitles."""

    language: str  # as the file has it; empty where it says nothing
    forced: bool  # only what is foreign in the film
    cues: tuple[Cue, ...]  # in order of time


def read_tracks(video: Path, notes: list[str]) -> list[TextTrack]:
    """The text tracks inside a video, what players show first in front; never fails.

    Times are those of the file's own clock. Tracks of pictures, and what breaks off, are noted.
    """
    try:
        with open_video(video) as source:
            if not source.container.streams.subtitles:
                return []
            clock, _ = start_clock(source, ReadDamage())
        with open_video(video) as source:
            return _tracks(source.container, notes, name=shown(video), zero_s=float(clock.zero * clock.tick))
    except VideoError:  # which whoever reads its pictures says
        return []


def read_ass(text: str, *, name: str, notes: list[str]) -> list[Cue]:
    """The cues of a file of SubStation."""
    if not text:
        return []
    try:
        with av.open(io.BytesIO(text.encode()), "r", format="ass") as container:
            return [cue for track in _tracks(container, notes, name=name) for cue in track.cues]
    except av.error.FFmpegError as error:
        notes.append(f"{name}: is not SubStation that FFmpeg can read ({error.strerror}); it is left out")
        return []


def _tracks(container: InputContainer, notes: list[str], *, name: str, zero_s: float = 0.0) -> list[TextTrack]:
    streams = container.streams.subtitles
    known = {stream.index: stream for stream in streams if _codec(stream) in READERS}
    pictures = sorted({_codec(stream) or "an unknown kind" for stream in streams if stream.index not in known})
    if pictures:
        notes.append(f"{name}: subtitles inside it are no text ({', '.join(pictures)}); they are left out")
    if not known:
        return []
    for stream in container.streams:
        if stream.index not in known:
            stream.discard = Discard.all  # FFmpeg need not read it
    rows: dict[int, list[tuple[float, float, str]]] = {index: [] for index in known}
    try:
        for packet in container.demux(list(known.values())):
            if packet.pts is not None and packet.size:
                start, length = float(packet.pts * packet.time_base), float((packet.duration or 0) * packet.time_base)
                said = READERS[_codec(packet.stream)](bytes(packet))
                rows[packet.stream.index].append((round(start - zero_s, 6), length, said))
    except av.error.FFmpegError as error:
        notes.append(f"{name}: subtitles inside it break off ({error.strerror}); what was read stays")
    order = sorted(known.values(), key=_rank)
    return [
        TextTrack(one.language or "", bool(one.disposition & Disposition.forced), tuple(_cues(rows[one.index])))
        for one in order
        if any(text for _, _, text in rows[one.index])
    ]


def _cues(rows: list[tuple[float, float, str]]) -> Iterator[Cue]:
    """Rows of start, length and text as cues; an empty row ends the one before it."""
    rows.sort()
    for at, (start, length, text) in enumerate(rows):
        following = rows[at + 1][0] if at + 1 < len(rows) else start + UNTIL_NEXT_S
        end = start + (length or min(following - start, UNTIL_NEXT_S))
        if text and start < end:
            yield Cue(max(0.0, start), end, text)


def _rank(stream: SubtitleStream) -> tuple[bool, bool, int]:
    default = bool(stream.disposition & Disposition.default)
    return bool(stream.disposition & Disposition.forced), not default, stream.index


def _codec(stream: Any) -> str:
    """The name of a stream's codec; empty where this FFmpeg does not know it."""
    return stream.codec_context.codec.canonical_name if getattr(stream, "codec_context", None) is not None else ""


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _mov_text(content: bytes) -> str:
    """Two bytes of length, then the text, then boxes that say how it looks."""
    said = content[2 : 2 + int.from_bytes(content[:2])]
    coding = "utf-16" if said[:2] in (b"\xfe\xff", b"\xff\xfe") else "utf-8"
    return " ".join(said.decode(coding, "replace").split())


def _ass(content: bytes) -> str:
    """Eight fields, then the text."""
    return plain_ass(_text(content).split(",", 8)[-1])


READERS: dict[str, Callable[[bytes], str]] = {
    "ass": _ass,
    "ssa": _ass,
    "mov_text": _mov_text,
    "subrip": lambda content: plain(_text(content)),
    "text": lambda content: plain(_text(content)),
    "webvtt": lambda content: plain(_text(content)),
}
