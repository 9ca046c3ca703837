"""A decoded frame as an upright RGB picture."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, VideoReformatter
from numpy.typing import NDArray


def rotation_of(frame: VideoFrame) -> int:
    """Degrees clockwise by which the picture is to be turned: 0, 90, 180 or 270. Mirroring is not looked at."""
    return round(-frame.rotation / 90) % 4 * 90


def upright(frame: VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """The frame as a player shows it, but for the pixel aspect ratio, which is not applied -> (h, w, 3) RGB.

    The reformatter only keeps what it set up for the frame before.
    """
    pixels = reformatter.reformat(frame, format="rgb24").to_ndarray()
    return np.rot90(pixels, -rotation_of(frame) // 90).astype(np.uint8, copy=False)


def fitted(
    frame: VideoFrame, width: int, height: int, reformatter: VideoReformatter, *, full_range: bool = False
) -> VideoFrame:
    """The frame upright, `width` x `height` (both even), 8 bit 4:2:0; `full_range`: as JPEG wants its colours."""
    turns = rotation_of(frame) // 90
    size = (height, width) if turns % 2 else (width, height)
    known = frame.color_range if frame.color_range else None
    small = reformatter.reformat(
        frame,
        *size,
        format="yuv420p",
        dst_colorspace=Colorspace.ITU601 if full_range else None,
        src_color_range=known,
        dst_color_range="JPEG" if full_range else "MPEG",
    )
    if not turns:
        return small
    planes = small.to_ndarray()
    rows = size[1]
    turned = [np.rot90(planes[:rows], -turns)]
    for chroma in planes[rows:].reshape(2, rows // 2, -1):
        turned.append(np.rot90(chroma, -turns))
    flat = np.concatenate([plane.reshape(-1) for plane in turned]).reshape(-1, width)
    upright_frame = VideoFrame.from_ndarray(flat, format="yuv420p")
    for name in ("colorspace", "color_range", "color_trc", "color_primaries"):
        setattr(upright_frame, name, getattr(small, name))
    return upright_frame


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
