"""Backgrounds: calm, with a character of their own, and duller than anybody who acts in front of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import sin
from random import Random

import numpy as np
from numpy.typing import NDArray

from prvr.data.world.acts import HEIGHT, VERSION, WIDTH
from prvr.data.world.vocabulary import RGB

PAD = 6  # pixels around the picture, for the camera to shake in
ROWS, COLUMNS = HEIGHT + 2 * PAD, WIDTH + 2 * PAD

Picture = NDArray[np.float32]
Y, X = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)


@lru_cache(maxsize=96)
def background(scene: str, variant: int) -> NDArray[np.uint8]:
    """One look of a scene, (ROWS, COLUMNS, 3)."""
    rng = Random(f"scene {VERSION} {scene} {variant}")
    picture = SCENES[scene](rng)
    tint = np.array([0.94 + 0.12 * rng.random() for _ in range(3)], np.float32)
    return np.asarray(np.clip(np.rint(picture * tint), 0, 255), np.uint8)


def blend(top: RGB, bottom: RGB, share: Picture) -> Picture:
    """From one colour to another where share goes from 0 to 1, (ROWS, COLUMNS, 3)."""
    first, last = np.array(top, np.float32), np.array(bottom, np.float32)
    mixed: Picture = first + (last - first) * np.clip(share, 0, 1)[..., None]
    return mixed


def cover(picture: Picture, inside: Picture, colour: RGB) -> None:
    """Paint where `inside` (pixels of depth, negative outside) is positive, with a soft edge."""
    hit = inside > -0.5
    rows, columns = np.flatnonzero(hit.any(1)), np.flatnonzero(hit.any(0))
    if not len(rows):
        return
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    share = np.clip(inside[part] + 0.5, 0, 1)[..., None]
    picture[part] += (np.array(colour, np.float32) - picture[part]) * share


def ridge(rng: Random, height: float, rough: float) -> Picture:
    """A line of hills, the row of its top in every column, (1, COLUMNS)."""
    phases = [6.28 * rng.random() for _ in range(3)]
    line = X[:1]
    hills = sum(rough / (i + 1) * np.sin(line * 0.021 * (1.9**i) + phase) for i, phase in enumerate(phases))
    return np.asarray(height + hills, np.float32)


def disc(x: float, y: float, radius: float) -> Picture:
    """Depth inside a circle."""
    return np.asarray(radius - np.hypot(X - x, Y - y), np.float32)


def box(left: float, top: float, right: float, bottom: float) -> Picture:
    """Depth inside a rectangle."""
    return np.asarray(np.minimum(np.minimum(X - left, right - X), np.minimum(Y - top, bottom - Y)), np.float32)


def spike(x: float, top: float, foot: float, half: float) -> Picture:
    """Depth inside a triangle that stands on the row `foot`."""
    return np.asarray(np.minimum((half * (Y - top) / (foot - top) - np.abs(X - x)) * 0.8, foot - Y), np.float32)


def meadow(rng: Random) -> Picture:
    """Grass with flowers below a light sky."""
    picture = blend((176, 212, 232), (226, 238, 232), Y / 80)
    cover(picture, Y - ridge(rng, 66, 6), (158, 190, 138))
    near = ridge(rng, 88, 7)
    cover(picture, Y - near, (130, 172, 104))
    cover(picture, Y - near - 34, (116, 158, 92))
    for _ in range(34):
        x, y = COLUMNS * rng.random(), 98 + 56 * rng.random()
        cover(picture, disc(x, y, 1.1), ((236, 228, 190), (222, 196, 196))[rng.random() < 0.4])
    return picture


def desert(rng: Random) -> Picture:
    """Dunes below a pale sky with a low sun."""
    picture = blend((196, 206, 206), (240, 222, 190), Y / 90)
    cover(picture, disc(COLUMNS * (0.15 + 0.7 * rng.random()), 30 + 12 * rng.random(), 11), (250, 238, 206))
    for height, colour in ((76, (222, 190, 142)), (98, (208, 172, 122)), (124, (194, 156, 106))):
        cover(picture, Y - ridge(rng, height, 10), colour)
    return picture


def sea(rng: Random) -> Picture:
    """Waves up to the horizon."""
    picture = blend((206, 222, 228), (230, 232, 224), Y / 60)
    water = blend((112, 158, 172), (70, 118, 142), (Y - 62) / 90)
    share = np.clip(Y - 62, 0, 1)[..., None]
    picture += (water - picture) * share
    for i in range(9):
        row, phase = 70 + i * i * 0.9 + 3 * i, 6.28 * rng.random()
        crest = row + (1 + 0.3 * i) * np.sin(X * 0.5 / (1 + 0.35 * i) + phase)
        cover(picture, 0.7 + 0.08 * i - np.abs(Y - crest), (150, 188, 194))
    return picture


def night(rng: Random) -> Picture:
    """Stars above dark hills."""
    picture = blend((18, 22, 48), (52, 56, 92), Y / 120)
    for _ in range(60):
        x, y, size = COLUMNS * rng.random(), 118 * rng.random(), 0.1 + 0.6 * rng.random()
        cover(picture, disc(x, y, size), (190, 196, 216))
    cover(picture, Y - ridge(rng, 126, 8), (26, 28, 46))
    return picture


def city(rng: Random) -> Picture:
    """Tall buildings with windows along a street."""
    picture = blend((188, 198, 212), (224, 220, 214), Y / 100)
    for depth, colour in ((0, (160, 166, 182)), (1, (128, 134, 152))):
        x = -10.0 * rng.random()
        while x < COLUMNS:
            width, top = 18 + 18 * rng.random(), 28 + 22 * depth + 46 * rng.random()
            cover(picture, box(x, top, x + width, ROWS), colour)
            panes = (np.abs((X - x - 5) % 7 - 2) < 1.5) & (np.abs((Y - top - 6) % 9 - 2) < 2)
            lit = np.where(panes, box(x + 3, top + 3, x + width - 3, 128), -1.0)
            cover(picture, np.minimum(lit, 0.1).astype(np.float32), (206, 200, 176))
            x += width + 2 + 7 * rng.random()
    cover(picture, Y - 132, (104, 106, 114))
    cover(picture, np.where((X % 26) < 13, 1.2 - np.abs(Y - 145), -1.0).astype(np.float32), (206, 204, 194))
    return picture


def room(rng: Random) -> Picture:
    """A papered wall, a window or a picture, and floorboards."""
    wall = ((206, 192, 178), (188, 196, 186), (200, 190, 200))[int(3 * rng.random())]
    picture = blend(wall, wall, Y)
    picture -= np.clip(1.2 - np.abs((X % 18) - 9), 0, 1)[..., None] * 10
    left, wide = 14 + 110 * rng.random(), 40 + 18 * rng.random()
    cover(picture, box(left, 18, left + wide, 70), (148, 118, 92))
    cover(picture, box(left + 4, 22, left + wide - 4, 66), (206, 222, 228))
    cover(picture, 1.2 - np.abs(X - left - wide / 2) + np.minimum(box(left, 18, left + wide, 70), 0), (148, 118, 92))
    cover(picture, Y - 118, (168, 132, 100))
    cover(picture, box(-9, 114, COLUMNS + 9, 119), (226, 218, 206))
    for row in (127, 138, 150):
        cover(picture, 0.3 - np.abs(Y - row), (142, 108, 82))
    return picture


def forest(rng: Random) -> Picture:
    """Rows of firs in mist."""
    picture = blend((206, 218, 212), (176, 196, 184), Y / 110)
    for foot, size, colour in ((100, 46, (140, 168, 152)), (122, 62, (98, 134, 114)), (150, 78, (64, 102, 82))):
        x = -12.0 * rng.random()
        while x < COLUMNS + 12:
            tall = size * (0.75 + 0.4 * rng.random())
            cover(picture, box(x - 1.5, foot - 4, x + 1.5, foot + 6), (96, 80, 66))
            for tier in range(3):
                top = foot - tall + tier * tall * 0.24
                cover(picture, spike(x, top, top + tall * 0.45, tall * (0.13 + 0.06 * tier)), colour)
            x += size * (0.34 + 0.3 * rng.random())
        cover(picture, Y - foot + 2 * sin(foot), colour)
    return picture


def mountains(rng: Random) -> Picture:
    """Peaks with snow on top above a snowfield."""
    picture = blend((166, 190, 216), (222, 230, 236), Y / 90)
    for i in range(4):
        x, top = COLUMNS * (i + 0.2 + 0.6 * rng.random()) / 4, 24 + 34 * rng.random()
        rock = spike(x, top, 126, 52 + 16 * rng.random())
        cover(picture, rock, ((126, 134, 152), (142, 148, 164))[i % 2])
        snow = np.minimum(rock, top + 22 + 5 * np.sin(X * 0.55 + i) - Y)
        cover(picture, snow.astype(np.float32), (224, 230, 238))
    cover(picture, Y - ridge(rng, 116, 7), (212, 220, 230))
    cover(picture, Y - ridge(rng, 134, 5), (196, 206, 220))
    return picture


SCENES: dict[str, Callable[[Random], Picture]] = {
    "meadow": meadow,
    "desert": desert,
    "sea": sea,
    "night": night,
    "city": city,
    "room": room,
    "forest": forest,
    "mountains": mountains,
}
