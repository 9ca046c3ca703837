"""Several moments, of one film or of many, as one film: their packets as they are where that works, else encoded."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from prvr.core.errors import VideoError
from prvr.video.clipping import Piece, Stream, Track, copy_clip, moved
from prvr.video.cut import excerpt_of, film_form
from prvr.video.encode import FileForm, encode, written
from prvr.video.source import shown


def save_reel(
    clips: Sequence[tuple[Path, float, float]],
    out: Path,
    *,
    fast: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> bool:
    """Write clips (file, start, end), one after another, as one .mp4 or .webm; -> whether packets were copied.

    Copied where each of them can be by itself (see `clipping.save_clip`, `fast` too) and their streams are of the very
    same kind, as of one film or one camera. Else all are encoded again, at the size and the rate of the first, others
    in the middle of black. `on_progress` hears how many are written. Raises VideoError; `out` is replaced in one step.
    """
    form = film_form(out)
    if _copied(clips, out, form, fast=fast):
        return True
    excerpts = [excerpt_of(*clip) for clip in clips]
    ends, said = list(accumulate(excerpt.end - excerpt.start for excerpt in excerpts)), 0

    def on_time(time: float) -> None:
        nonlocal said
        if on_progress and said < (done := bisect_right(ends, time)):
            said = done
            on_progress(done)

    with written(out, form.container) as target:
        encode(target, form, excerpts, on_time=on_time)
    on_time(ends[-1])
    return False


def _copied(clips: Sequence[tuple[Path, float, float]], out: Path, form: FileForm, *, fast: bool) -> bool:
    """Copy the packets of all clips, if that is possible; -> whether it was."""
    try:
        folder = TemporaryDirectory(dir=out.parent, prefix=".")  # as large as the reel, so where there is room for it
    except OSError as error:
        raise VideoError(f"{shown(out)}: cannot be written ({error.strerror}); check the folder and the disk") from None
    with folder:
        parts = [Path(folder.name) / f"{number}{out.suffix.lower()}" for number in range(len(clips))]
        if not all(copy_clip(*clip, part, fast=fast) for clip, part in zip(clips, parts, strict=True)):
            return False
        if len({_kind(part) for part in parts}) > 1:
            return False
        with av.open(str(parts[0])) as first, written(out, form.container) as target:
            tracks = [moved(target, Track(one, _pieces(parts, one.type), 0)) for one in _streams(first)]
            for _, packet in heapq.merge(*tracks, key=itemgetter(0)):
                target.mux(packet)
    return True


def _streams(container: InputContainer) -> list[Stream]:
    return [*container.streams.video, *container.streams.audio]


def _kind(part: Path) -> tuple[Any, ...]:
    """What must be the same of files whose packets are to stand in one stream."""
    kinds: list[Any] = []
    with av.open(str(part)) as container:
        for stream in _streams(container):
            context = stream.codec_context
            kinds += [context.name, context.extradata, stream.time_base]
            if isinstance(stream, VideoStream):
                kinds += [stream.width, stream.height, stream.sample_aspect_ratio]
            else:
                kinds += [stream.sample_rate, stream.layout.name]
    return tuple(kinds)


def _pieces(parts: Sequence[Path], kind: str) -> Iterator[Piece]:
    """The packets of one kind of stream of one file after another, each from where the pictures before it end.

    What would come no later than what is there already, as the last packet of sound may, is left out.
    """
    at, last = Fraction(0), None
    for part in parts:
        with av.open(str(part)) as container:
            pictures = container.streams.video[0]
            own = next(stream for stream in _streams(container) if stream.type == kind)
            assert own.time_base is not None
            assert pictures.time_base is not None
            shift = round(at / own.time_base)
            for packet in container.demux(own):
                if packet.pts is None or packet.dts is None:
                    continue  # the mark at the end
                piece = Piece(packet.pts + shift, packet.dts + shift, packet)
                if last is None or piece.dts > last:
                    last = piece.dts
                    yield piece
            if pictures.duration is not None:
                at += pictures.duration * pictures.time_base
            else:  # Matroska knows the length of the whole
                at += Fraction(container.duration or 0, av.time_base)
