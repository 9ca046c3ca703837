"""Light of a high dynamic range (PQ of HDR10, HLG) as an ordinary screen shows it.

FFmpeg's scaler knows how to, but takes four seconds of the processor to set that up for a size, which a thumbnail has
not; this is ready at once, and as fast a pixel. White paper (203 cd/m2 in PQ, 75 % of the signal in HLG: ITU-R BT.2408)
becomes white, and what is brighter is white too.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, ColorTrc, VideoReformatter
from numpy.typing import NDArray

HDR = {int(ColorTrc.SMPTE2084): "PQ", int(ColorTrc.ARIB_STD_B67): "HLG"}
PAPER = 203.0  # cd/m2
BITS = 12  # of what is looked up
ROWS = 64  # at a time, so that numbers stay in the cache
# Primaries of BT.2020 to those of BT.709 (ITU-R BT.2407)
TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)


def hdr_of(frame: VideoFrame) -> str | None:
    """PQ or HLG, where the numbers of the pixels are light of a high dynamic range."""
    return HDR.get(int(frame.color_trc))


def on_screen(frame: VideoFrame, kind: str, reformatter: VideoReformatter, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A frame of PQ or HLG at a size (width, height) -> (h, w, 3) sRGB."""
    seen = reformatter.reformat(frame, *size, format="rgb48le", src_colorspace=Colorspace.BT2020)
    coded: NDArray[np.uint16] = seen.to_ndarray().view(np.uint16)
    light, screen = _light(kind), _screen()
    shown = np.empty(coded.shape, np.uint8)
    for top in range(0, len(coded), ROWS):
        rows = light[coded[top : top + ROWS] >> (16 - BITS)] @ TO_709.T
        np.clip(rows, 0.0, 1.0, out=rows)
        rows *= len(screen) - 1
        shown[top : top + ROWS] = screen[rows.astype(np.uint16)]
    return shown


@lru_cache
def _light(kind: str) -> NDArray[np.float32]:
    """(4096,) the light of every number, 1 is white paper.

    PQ: ITU-R BT.2100. HLG: its inverse OETF alone, since the OOTF of a screen of 334 cd/m2, an ordinary one, is none.
    """
    signal = np.linspace(0.0, 1.0, 1 << BITS)
    if kind == "PQ":
        root = signal ** (32 / 2523)
        nits = 10_000 * (np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)) ** (16_384 / 2610)
        return (nits / PAPER).astype(np.float32)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return (scene / 0.265).astype(np.float32)


@lru_cache
def _screen() -> NDArray[np.uint8]:
    """(65536,) sRGB of light from 0 to 1."""
    light = np.linspace(0.0, 1.0, 1 << 16)
    curved = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * curved).astype(np.uint8)
