"""A decoded frame as a player shows it: whole, upright, in the colours of an ordinary screen.

Interlaced frames are made whole by FFmpeg's bwdif, which looks at the frames beside them; HDR is mapped to an ordinary
screen (`light.py`). Only what is asked for is made whole and mapped, so an ordinary film pays nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import av
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, VideoReformatter
from numpy.typing import NDArray

from prvr.video.light import hdr_of, on_screen

SLACK = 2  # pixels by which a side may miss a shape and still be of it: sizes are even


class Turn(NamedTuple):
    """How a stored picture becomes upright: turned, then mirrored."""

    degrees: int = 0  # clockwise: 0, 90, 180 or 270
    mirrored: bool = False  # left to right, after that

    @property
    def swaps(self) -> bool:
        """Whether width and height change places."""
        return self.degrees % 180 == 90

    def of(self, image: NDArray[Any]) -> NDArray[Any]:
        """(h, w, ...) turned; a view."""
        turned = np.rot90(image, -self.degrees // 90)
        return turned[:, ::-1] if self.mirrored else turned


STRAIGHT = Turn()


class Picture(NamedTuple):
    """A frame that is shown, and what is needed to show it."""

    time_s: float
    frame: VideoFrame  # as it was decoded
    aspect: float  # width of a stored pixel over its height
    before: VideoFrame | None = None  # beside an interlaced one
    after: VideoFrame | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""
        frame = self.frame
        return (frame.height, frame.width) if turn_of(frame).swaps else (frame.width, frame.height)

    @property
    def shown_aspect(self) -> float:
        """Width of a pixel over its height, upright."""
        return 1 / self.aspect if turn_of(self.frame).swaps else self.aspect


def pictures(frames: Iterable[tuple[float, VideoFrame]], stream: Any) -> Iterator[Picture]:
    """Frames of a stream in order -> the same with what stands beside them, where that is needed."""
    said, sizes = stream.sample_aspect_ratio, (stream.codec_context.width, stream.codec_context.height)
    usual = usable_aspect(said)
    before: VideoFrame | None = None
    held: Picture | None = None
    for time, frame in frames:
        if held is not None:
            yield held._replace(after=frame)
        own = said if (frame.width, frame.height) == sizes else stream.codec_context.sample_aspect_ratio
        picture = Picture(time, frame, usual if own is said else usable_aspect(own))
        held = picture._replace(before=before) if frame.interlaced_frame else None
        before = frame
        if held is None:
            yield picture
    if held is not None:
        yield held


def usable_aspect(said: Any) -> float:
    """Width of a pixel over its height; 1 where a file says nothing usable."""
    return float(said) if said and 0.1 < said < 10 else 1.0


def turn_of(frame: VideoFrame) -> Turn:
    """What the display matrix of a frame asks for, to the nearest quarter turn.

    FFmpeg's angle (`frame.rotation`) says nothing of a matrix that mirrors, so the matrix itself is read: what is
    stored at (x, y) is shown at (a x + c y, b x + d y). PyAV 18.1 shows none of what belongs to a frame as soon as one
    thing of it is of a kind that is newer than PyAV, as the Exif of a photograph is: then the angle has to do.
    """
    try:
        side_data: Any = frame.side_data  # whose keys the type stubs do not know
        found = side_data.get(Type.DISPLAYMATRIX)
    except ValueError:
        return Turn(-round(frame.rotation / 90) % 4 * 90, False)
    if found is None:
        return STRAIGHT
    a, b, _, c, d = struct.unpack_from("=5i", bytes(found))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Turn(180 if d < 0 else 0, (a < 0) != (d < 0))
    return Turn(90 if b > 0 else 270, (b > 0) == (c > 0))


class Painter:
    """Makes pictures of frames; it only keeps what was set up for the one before."""

    def __init__(self) -> None:
        self._reformatter, self._scaler = VideoReformatter(), VideoReformatter()
        self._graph: Graph | None = None
        self._last: VideoFrame | None = None  # what the graph was given last

    def rgb(self, picture: Picture) -> NDArray[np.uint8]:
        """The picture as a player shows it, but for the pixel aspect ratio, which is not applied -> (h, w, 3) RGB."""
        frame = self._whole(picture)
        if hdr := hdr_of(frame):
            pixels = on_screen(frame, hdr, self._scaler, (frame.width, frame.height))
        else:
            pixels = self._reformatter.reformat(frame, format="rgb24").to_ndarray().astype(np.uint8, copy=False)
        return turn_of(frame).of(pixels).astype(np.uint8, copy=False)

    def fitted(
        self,
        picture: Picture,
        width: int,
        height: int,
        *,
        full_range: bool = False,
        matrix: Colorspace | None = None,
    ) -> VideoFrame:
        """The picture upright, `width` x `height` (both even), 8 bit 4:2:0; `full_range`: as JPEG wants its colours.

        One of another shape keeps it, in the middle of black. `matrix`: which colours it is turned into; else its own.
        """
        frame, turn = self._whole(picture), turn_of(picture.frame)
        inner = _inside(picture, width, height)
        size = inner[::-1] if turn.swaps else inner
        matrix = Colorspace.ITU601 if full_range else matrix
        if hdr := hdr_of(frame):
            frame = VideoFrame.from_ndarray(on_screen(frame, hdr, self._scaler, size), format="rgb24")
            matrix = matrix or Colorspace.ITU709
        small = self._reformatter.reformat(
            frame,
            *size,
            format="yuv420p",
            dst_colorspace=matrix,
            src_color_range=frame.color_range or None,
            dst_color_range="JPEG" if full_range else "MPEG",
        )
        if turn == STRAIGHT and inner == (width, height):
            return small
        stored = small.to_ndarray()
        rows, across = small.height, small.width
        planes = [stored[:rows], *stored[rows:].reshape(2, rows // 2, across // 2)]
        canvas = np.full((height * 3 // 2, width), 128, np.uint8)
        canvas[:height] = 0 if full_range else 16
        targets = [canvas[:height], *canvas[height:].reshape(2, height // 2, width // 2)]
        left, top = (width - inner[0]) // 4 * 2, (height - inner[1]) // 4 * 2
        for target, plane, part in zip(targets, planes, (1, 2, 2), strict=True):
            x, y, w, h = (value // part for value in (left, top, *inner))
            target[y : y + h, x : x + w] = turn.of(plane)
        made = VideoFrame.from_ndarray(canvas, format="yuv420p")
        for name in ("colorspace", "color_range", "color_trc", "color_primaries"):
            setattr(made, name, getattr(small, name))
        return made

    def _whole(self, picture: Picture) -> VideoFrame:
        """The frame; an interlaced one without its comb, from the frames beside it."""
        frame, after = picture.frame, picture.after
        if not frame.interlaced_frame:
            return frame
        made: list[VideoFrame] = []
        if self._graph is None or self._last is not frame:
            self._graph = _deinterlacing(frame)
            if picture.before is not None and _alike(picture.before, frame):
                self._graph.push(picture.before)
            self._graph.push(frame)
            _made(self._graph)  # what stands before is wanted by nobody
        follows = after is not None and _alike(after, frame)
        self._graph.push(after if follows else None)
        made += _made(self._graph)
        self._last = after if follows else None
        return made[-1] if made else frame


def _deinterlacing(frame: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    filter_ = graph.add("bwdif", "mode=send_frame:deint=interlaced")
    sink = graph.add("buffersink")
    source.link_to(filter_)
    filter_.link_to(sink)
    graph.configure()
    return graph


def _made(graph: Graph) -> list[VideoFrame]:
    """What a graph has ready."""
    made: list[VideoFrame] = []
    try:
        while True:
            made.append(graph.vpull())
    except (av.error.BlockingIOError, av.error.EOFError):
        return made


def _alike(a: VideoFrame, b: VideoFrame) -> bool:
    return (a.width, a.height, a.format.name) == (b.width, b.height, b.format.name)


def _inside(picture: Picture, width: int, height: int) -> tuple[int, int]:
    """The largest size (even) of the picture's own shape within a width and a height."""
    across, down = picture.size
    shape = across * picture.shown_aspect / down
    wide, high = height * shape, width / shape
    if min(abs(width - wide), abs(height - high)) <= SLACK:
        return width, height
    across, down = (max(2, round(side / 2) * 2) for side in (min(width, wide), min(height, high)))
    return across, down


def shown_size(
    width: int, height: int, aspect: float, *, tallest: int | None = None, widest: int | None = None
) -> tuple[int, int]:
    """The size, both even, at which a picture of pixels that are `aspect` times as wide as high is to be written.

    It is made smaller to be at most `tallest` high and `widest` wide, and so that no side gets more pixels than it has.
    """
    wide = width * aspect
    shrink = min(1.0, width / wide, (tallest or height) / height, (widest or width) / wide)
    across, down = (max(2, int(side * shrink + 0.5) // 2 * 2) for side in (wide, height))
    return across, down
