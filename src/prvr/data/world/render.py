"""Scripts to pixels: a frame depends on the script and the time, and on nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, pi, sin

import numpy as np
from numpy.typing import NDArray

from prvr.data.world.acts import HEIGHT, RATE, WIDTH, Act, Script
from prvr.data.world.motion import Pose, poses
from prvr.data.world.scenes import PAD, background
from prvr.data.world.sprites import TURN, sprite

Frame = NDArray[np.uint8]


def world_frames(script: Script, times: Sequence[float]) -> Frame:
    """The frames of a video at these times (seconds), without a codec's noise: (T, 3, HEIGHT, WIDTH) uint8."""
    frames = np.stack([render(script, time) for time in times])
    return np.ascontiguousarray(frames.transpose(0, 3, 1, 2))


def frame_times(script: Script) -> list[float]:
    """When the frames of a video's file are shown, seconds."""
    return [i / RATE for i in range(round(script.duration_s * RATE))]


def sampled_times(script: Script, rate: float) -> list[float]:
    """The times that sampling a video's file at `rate` frames a second gives: the first frame not before each k / rate.

    The same rule as for any file, so that features with and without a file are of the same moments.
    """
    steps = [floor(time * rate + 1e-6) for time in frame_times(script)]
    return [i / RATE for i, step in enumerate(steps) if i == 0 or step > steps[i - 1]]


def render(script: Script, time: float) -> Frame:
    """One frame, (HEIGHT, WIDTH, 3)."""
    shot = script.shots[0]
    for later in script.shots[1:]:
        if later.start <= time:
            shot = later
    dx, dy = camera(script, time)
    top, left = PAD + dy, PAD + dx
    frame = background(shot.scene, shot.variant)[top : top + HEIGHT, left : left + WIDTH].copy()
    for act in (*script.extras, *script.events):
        for pose in poses(act, time):
            draw(frame, act, pose, dx, dy)
    return frame


def camera(script: Script, time: float) -> tuple[int, int]:
    """How far the camera has been shaken to the right and down, pixels."""
    amplitude, a, b, c = script.jitter
    dx = amplitude * (0.7 * sin(2 * pi * 0.31 * time + a) + 0.4 * sin(2 * pi * 1.13 * time + b))
    dy = amplitude * (0.7 * sin(2 * pi * 0.23 * time + c) + 0.4 * sin(2 * pi * 0.97 * time + a))
    return round(dx), round(dy)


def draw(frame: Frame, act: Act, pose: Pose, dx: int, dy: int) -> None:
    """Put one actor into a frame (HEIGHT, WIDTH, 3), in place."""
    fade = round(256 * pose.alpha)
    if fade <= 0:
        return
    actor = act.actors[pose.who]
    x2, y2 = floor(2 * (act.x + pose.x - dx) + 0.5), floor(2 * (act.y + pose.y - dy) + 0.5)  # half pixels
    turn = round(pose.angle / (2 * pi) * TURN) % TURN
    size = round(2 * act.radius * pose.scale)
    ink, cover = sprite(actor.shape, actor.colour, actor.texture, size, turn, (x2 % 2, y2 % 2))
    half = len(ink) // 2
    left, top = x2 // 2 - half, y2 // 2 - half
    rows = slice(max(-top, 0), min(HEIGHT - top, len(ink)))
    columns = slice(max(-left, 0), min(WIDTH - left, len(ink)))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    ink, cover = ink[rows, columns], cover[rows, columns]
    if fade < 256:
        ink, cover = (ink * np.uint16(fade)) >> np.uint16(8), (cover * np.uint16(fade - 1)) >> np.uint16(8)
    patch = frame[top + rows.start : top + rows.stop, left + columns.start : left + columns.stop]
    patch[:] = ink + ((patch * (256 - cover)) >> 8)
