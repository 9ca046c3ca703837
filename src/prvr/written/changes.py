"""Whether there may be other words in a picture than in the one before: without any network, so that it costs little.

Letters are strokes: many steep edges on a small place. Where neither picture has them, or nothing has changed, nothing
else is written. This is wrong towards yes: leaves and bricks look like letters here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prvr.written.reader import Pixels, shrunk

SIDE = 640  # pixels of the longer side of what is compared
TILE = 16  # of them, on a side, are judged together
STEEP, MANY = 20, 8  # grey levels over two pixels that make an edge; edges in a tile with letters
STAYING = 24  # edges in a tile that stand still, where the rest of it may move
OTHER = 4.0  # grey levels, the mean over a tile, that make it another one

Grey = NDArray[np.int16]


def grey_of(planes: Pixels) -> Grey:
    """planes (3, h, w) RGB -> (h', w') the green one, small, in whole tiles."""
    small = shrunk(planes[1], SIDE)
    height, width = (-(-side // TILE) * TILE for side in small.shape)
    room = np.zeros((height, width), np.int16)
    room[: small.shape[0], : small.shape[1]] = small
    return room


def may_read_otherwise(before: Grey | None, now: Grey) -> bool:
    """Whether something else may be written in the second of two pictures; None: there is no first."""
    if before is None or before.shape != now.shape:
        return bool(_pairs(_strokes(now)).any())
    other = _tiles(np.abs(now - before)).mean((1, 3)) > OTHER
    return bool(_pairs(other & (_strokes(now) | _strokes(before))).any())


def has_come_to_stay(before: Grey, last: Grey, now: Grey) -> bool:
    """Whether something that may be letters is in the last two of three pictures, and was not in the first.

    Pixel by pixel, for what is behind the letters may move.
    """
    if not before.shape == last.shape == now.shape:
        return True
    stays = _steep(now) & (np.abs(now - last) <= OTHER)
    new = _tiles(np.abs(now - before)).mean((1, 3)) > OTHER
    return bool(_pairs(new & (_tiles(stays).sum((1, 3)) >= STAYING)).any())


def _strokes(grey: Grey) -> NDArray[np.bool_]:
    """Which tiles have as many edges as letters have, from left to right."""
    return np.asarray(_tiles(_steep(grey)).sum((1, 3)) >= MANY)


def _steep(grey: Grey) -> NDArray[np.bool_]:
    """Which pixels are edges, from left to right."""
    steep = np.zeros(grey.shape, np.bool_)
    steep[:, 1:-1] = np.abs(grey[:, 2:] - grey[:, :-2]) > STEEP
    return steep


def _pairs(tiles: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which have a neighbour of their kind on the right: a line is longer than it is high."""
    return np.asarray(tiles[:, 1:] & tiles[:, :-1])


def _tiles(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """(h, w) -> (h / TILE, TILE, w / TILE, TILE)."""
    height, width = values.shape
    return values.reshape(height // TILE, TILE, width // TILE, TILE)
