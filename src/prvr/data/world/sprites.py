"""Actors as small anti-aliased pictures, cached: most frames show what the frame before showed."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, cos, pi, sin
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prvr.data.world.vocabulary import COLOURS, RGB

Array = NDArray[np.float32]
TURN = 72  # steps of a full turn
FIELD, REACH = 193, 1.6  # of the table that distances are looked up in: places a side, radii
OUTLINE = 1.6  # pixels
INK = np.array((34, 32, 48), np.float32)


class Sprite(NamedTuple):
    """A square picture of an actor, centred on its middle pixel."""

    ink: NDArray[np.uint16]  # (n, n, 3) colour times coverage
    cover: NDArray[np.uint16]  # (n, n, 1) 0..256


@lru_cache(maxsize=2048)
def sprite(shape: str, colour: str, texture: str, size: int, turn: int, phase: tuple[int, int]) -> Sprite:
    """One actor: `size` half pixels of radius, `turn` of TURN steps, `phase` half pixels right and down."""
    radius = size / 2
    half = ceil(radius * 1.12) + 2
    line = np.arange(-half, half + 1, dtype=np.float32)
    x, y = np.meshgrid(line - phase[0] / 2, line - phase[1] / 2)
    angle = 2 * pi * turn / TURN
    u, v = (cos(angle) * x + sin(angle) * y) / radius, (cos(angle) * y - sin(angle) * x) / radius
    depth = distance(shape, u, v) * radius  # pixels, negative inside
    cover = np.clip(0.5 - depth, 0, 1)[..., None]
    inside = np.clip(0.5 - depth - OUTLINE, 0, 1)[..., None]
    light = 1.0 - 0.16 * np.clip((x + y) / (1.4 * radius), -1, 1)[..., None]
    fill = np.clip(paint(COLOURS[colour], texture, u, v, radius) * light, 0, 255)
    ink = (inside * fill + (1 - inside) * INK) * cover
    return Sprite(np.rint(ink).astype(np.uint16), np.rint(cover * 256).astype(np.uint16))


def paint(colour: RGB, texture: str, u: Array, v: Array, radius: float) -> Array:
    """The colour of each point (n, n, 3), before light; u, v (n, n) in radii, turning with the actor."""
    base = np.array(colour, np.float32)
    bright = float(base @ np.array((0.3, 0.59, 0.11), np.float32)) > 165
    second = base * 0.45 if bright else base + (255 - base) * 0.72
    match texture:
        case "striped":
            field = np.sin((0.87 * u + 0.5 * v) * 2 * pi / 0.62 + pi / 2) - 0.1  # aslant: shows on every shape
        case "dotted":
            row = np.floor(v / 0.5 + 0.5)
            near = np.hypot((u / 0.56 + row % 2 / 2 + 0.5) % 1 - 0.5, (v / 0.5 + 0.5) % 1 - 0.5)
            field = (0.31 - near) * 4
        case "checkered":
            field = np.sin(u * pi / 0.46 + pi / 2) * np.sin(v * pi / 0.46 + pi / 2) * 1.5
        case _:
            field = np.full_like(u, -1.0)
    mixed = np.clip(0.5 + field * radius * 0.14, 0, 1)[..., None]
    return np.asarray(base + (second - base) * mixed, np.float32)


def distance(shape: str, u: Array, v: Array) -> Array:
    """How far each point lies outside of a shape of radius 1, negative inside."""
    match shape:
        case "circle":
            away = np.hypot(u, v) - 0.96
        case "ring":
            away = np.abs(np.hypot(u, v) - 0.68) - 0.31
        case "moon":
            away = np.maximum(np.hypot(u + 0.12, v) - 1.0, 0.72 - np.hypot(u - 0.42, v))
        case _:
            return look_up(field(shape), u, v)
    return np.asarray(away, np.float32)


@lru_cache(maxsize=16)
def field(shape: str) -> Array:
    """Distance to a shape with corners at FIELD x FIELD places of [-REACH, REACH]²: measuring once beats always."""
    line = np.linspace(-REACH, REACH, FIELD, dtype=np.float32)
    u, v = np.meshgrid(line, line)
    return polygon(corners(shape), u, v)


def look_up(table: Array, u: Array, v: Array) -> Array:
    """Values of a field between its places, bilinear; u and v (n, n) -> (n, n)."""
    x = np.clip((u + REACH) * ((FIELD - 1) / (2 * REACH)), 0, FIELD - 1.001)
    y = np.clip((v + REACH) * ((FIELD - 1) / (2 * REACH)), 0, FIELD - 1.001)
    column, row = x.astype(np.intp), y.astype(np.intp)
    right, down = x - column, y - row
    flat, at = table.ravel(), row * FIELD + column
    above = flat[at] * (1 - right) + flat[at + 1] * right
    below = flat[at + FIELD] * (1 - right) + flat[at + FIELD + 1] * right
    return np.asarray(above * (1 - down) + below * down, np.float32)


def polygon(points: tuple[tuple[float, float], ...], u: Array, v: Array) -> Array:
    """Signed distance to a closed polygon, negative inside."""
    nearest = np.full_like(u, np.inf)
    inside = np.zeros(u.shape, bool)
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
        ex, ey = bx - ax, by - ay
        along = np.clip(((u - ax) * ex + (v - ay) * ey) / (ex * ex + ey * ey), 0, 1)
        nearest = np.minimum(nearest, (u - ax - along * ex) ** 2 + (v - ay - along * ey) ** 2)
        if ey != 0:
            inside ^= ((ay > v) != (by > v)) & (u < ax + (v - ay) * ex / ey)
    away = np.sqrt(nearest)
    return np.asarray(np.where(inside, -away, away), np.float32)


@lru_cache(maxsize=16)
def corners(shape: str) -> tuple[tuple[float, float], ...]:
    """The outline of a shape with corners, radius about 1, y down."""
    match shape:
        case "square":
            return ((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8))
        case "triangle":
            return ((0.0, -1.0), (1.0, 0.78), (-1.0, 0.78))
        case "star":
            spokes = [(1.08 if i % 2 == 0 else 0.47, i * pi / 5) for i in range(10)]
            return tuple((r * sin(a), -r * cos(a)) for r, a in spokes)
        case "cross":
            a, b = 0.98, 0.34
            return (
                (-b, -a),
                (b, -a),
                (b, -b),
                (a, -b),
                (a, b),
                (b, b),
                (b, a),
                (-b, a),
                (-b, b),
                (-a, b),
                (-a, -b),
                (-b, -b),
            )
        case "heart":
            turns = [2 * pi * i / 36 for i in range(36)]
            return tuple(
                (sin(t) ** 3 * 1.0, -(13 * cos(t) - 5 * cos(2 * t) - 2 * cos(3 * t) - cos(4 * t)) / 16 - 0.1)
                for t in turns
            )
    raise AssertionError(shape)
