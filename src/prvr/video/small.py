"""A stretch of a video as small grey pictures at even steps, and some of it in colour: enough to know it again by."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from prvr.video.picture import Painter, Picture, turn_of
from prvr.video.seek import pictures_around
from prvr.video.source import no_frame

Bytes = NDArray[np.uint8]


class SmallPictures(NamedTuple):
    """What stands at start, start + step, ... seconds."""

    start_s: float  # of the file's clock
    greys: Bytes  # (N, side, side), whatever shape the video has


class Glance(NamedTuple):
    """The beginning of a file."""

    small: SmallPictures
    colours: Bytes  # (P, 3, h, w) RGB, some of them in full
    places: tuple[int, ...]  # (P,) which of them these are


def small_pictures(path: Path, start_s: float, end_s: float, *, step_s: float, side: int) -> SmallPictures:
    """Every `step_s` seconds from `start_s` to `end_s` what is shown then, shrunk to a square.

    Where the video begins later or ends sooner, so do they. Raises VideoError for what is no video, and where nothing
    is shown.
    """
    shrink = VideoReformatter()
    times, greys = [], []
    drawn: Picture | None = None
    for time, picture in _standing(path, start_s, end_s, step_s):
        if picture is not drawn:
            drawn, grey = picture, _grey(picture, side, shrink)
        times.append(time)
        greys.append(grey)
    if not times:
        raise no_frame(path)
    return SmallPictures(times[0], np.stack(greys))


def glance(path: Path, *, longest_s: float, step_s: float, side: int, colours: int) -> Glance:
    """The first `longest_s` seconds as `small_pictures` has them, and at most `colours` of them whole, evenly spread.

    Those are of one size, that of the first. Raises VideoError for what is no video.
    """
    first, _ = next(_standing(path, 0.0, float("inf"), step_s), (0.0, None))
    small = small_pictures(path, first, first + longest_s, step_s=step_s, side=side)
    number = len(small.greys)
    few = min(colours, number)
    places = tuple(int((place + 0.5) * number / few) for place in range(few))
    painter = Painter()
    whole: list[Bytes] = []
    for place, (_, picture) in enumerate(_standing(path, first, first + longest_s, step_s)):
        if place in places:
            frame = painter.rgb(picture)
            if whole and frame.shape != whole[0].shape:  # a size that changes on the way
                break
            whole.append(frame)
    shown = np.stack(whole).transpose(0, 3, 1, 2)
    return Glance(small, np.ascontiguousarray(shown), places[: len(whole)])


def _standing(path: Path, start_s: float, end_s: float, step_s: float) -> Iterator[tuple[float, Picture]]:
    """The seconds start, start + step, ... and what stands then; from the first picture on, where that comes later."""
    standing: Picture | None = None
    zero, number = start_s, 0
    for picture in chain(pictures_around(path, start_s, threads=0), [None]):
        if standing is None:
            if picture is None:
                return
            zero = max(start_s, picture.time_s)
        else:
            until = picture.time_s if picture is not None else standing.time_s + step_s
            while (time := zero + number * step_s) < min(until, end_s) - 1e-6:
                yield time, standing
                number += 1
        if picture is None or picture.time_s >= end_s:
            return
        standing = picture


def _grey(picture: Picture, side: int, shrink: VideoReformatter) -> Bytes:
    small = shrink.reformat(picture.frame, side, side, format="gray", interpolation=Interpolation.AREA)
    return np.ascontiguousarray(turn_of(picture.frame).of(small.to_ndarray()))
