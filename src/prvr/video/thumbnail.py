"""The picture that is shown at some second, small, as JPEG."""

from __future__ import annotations

import math
import time
from fractions import Fraction
from pathlib import Path

from av.codec import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange

from prvr.core.errors import ConfigError
from prvr.video.picture import Painter, Picture, shown_size
from prvr.video.seek import ROUNDED_S, pictures_around
from prvr.video.source import no_frame

NARROWEST, WIDEST = 16, 4096
QUALITY = 4  # of 2 (best) to 31


def thumbnail(path: Path, time_s: float, *, width: int, patience_s: float = 20.0) -> bytes:
    """A JPEG, at most `width` wide, of what stands at `time_s` seconds of the file's clock, as a player shows it.

    Before the first frame it is the first, after the last the last; one that comes within a millisecond stands there
    already, since times are told in those. What takes longer than `patience_s` is given up for the nearest frame before
    that was come to. Raises VideoError for what is no video, ConfigError for a time or a width that makes no sense.
    """
    if not math.isfinite(time_s):
        raise ConfigError(f"time: {time_s} is no time; give seconds from the start of the video")
    if not NARROWEST <= width <= WIDEST:
        raise ConfigError(f"width: {width} is impossible; give {NARROWEST} to {WIDEST} pixels")
    until = time.monotonic() + patience_s
    standing: Picture | None = None
    for picture in pictures_around(path, max(0.0, time_s), threads=0):
        if standing is not None and picture.time_s > time_s + ROUNDED_S:
            break
        standing = picture
        if time.monotonic() > until:
            break
    if standing is None:
        raise no_frame(path)
    return jpeg(standing, width)


def jpeg(picture: Picture, width: int) -> bytes:
    """A picture as a JPEG at most `width` wide."""
    across, down = shown_size(*picture.size, picture.shown_aspect, widest=width)
    small = Painter().fitted(picture, across, down, full_range=True)
    small.pts, small.time_base = 0, Fraction(1, 25)
    encoder = CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = across, down, "yuv420p", Fraction(1, 25)
    encoder.color_range = ColorRange.JPEG  # else FFmpeg marks it as of limited range, which its own readers believe
    encoder.options = {"qmin": str(QUALITY), "qmax": str(QUALITY), "strict": "unofficial"}
    return b"".join(bytes(packet) for packet in (*encoder.encode(small), *encoder.encode(None)))
