"""A decoded frame as an upright RGB picture."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
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
