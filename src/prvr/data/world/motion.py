"""Where the actors of an act are at a time.

Every action begins with the actors standing still for half a second in the pose that all actions share, and ends with
half a second of stillness: a frame from the beginning does not tell what will happen.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin
from typing import NamedTuple

from prvr.data.world.acts import Act

HOLD = 0.5  # seconds of stillness at either end
FADE = 0.25  # seconds to appear and to vanish


class Pose(NamedTuple):
    """One drawn copy of an actor, relative to where the act starts."""

    who: int  # 0 or 1
    x: float = 0.0  # pixels
    y: float = 0.0
    scale: float = 1.0
    angle: float = 0.0  # radians, clockwise
    alpha: float = 1.0


class ActTime(NamedTuple):
    """How far an act has come."""

    share: float  # 0..1 of its motion
    seconds: float  # since its motion began


def poses(act: Act, time: float) -> tuple[Pose, ...]:
    """What is drawn for an act at `time` seconds of the video; nothing outside of its window."""
    if not act.start <= time < act.end:
        return ()
    fade = min(1.0, (time - act.start + 0.125) / FADE, (act.end - time) / FADE)
    return tuple(pose._replace(alpha=pose.alpha * fade) for pose in relative_poses(act, time))


def relative_poses(act: Act, time: float) -> tuple[Pose, ...]:
    """The same without appearing and vanishing."""
    span = act.end - act.start - 2 * HOLD
    seconds = min(max(time - act.start - HOLD, 0.0), span)
    return MOTIONS[act.action](act, ActTime(seconds / span, seconds))


def extent(act: Act) -> tuple[float, float, float, float]:
    """How far an act reaches from its start: left and top (negative), right and bottom, pixels."""
    steps = [act.start + (act.end - act.start) * i / 32 for i in range(33)]
    drawn = [(pose, pose.scale * act.radius) for time in steps for pose in relative_poses(act, time)]
    return (
        min(pose.x - r for pose, r in drawn),
        max(pose.x + r for pose, r in drawn),
        min(pose.y - r for pose, r in drawn),
        max(pose.y + r for pose, r in drawn),
    )


def ease(share: float) -> float:
    """0..1 -> 0..1, slow at both ends."""
    return share * share * (3 - 2 * share)


def wave(seconds: float, period: float) -> float:
    """A sine of this period, 0 at 0."""
    return sin(2 * pi * seconds / period)


def _straight(dx: float, dy: float) -> Callable[[Act, ActTime], tuple[Pose, ...]]:
    def move(act: Act, now: ActTime) -> tuple[Pose, ...]:
        way = act.reach * ease(now.share)
        return (Pose(0, dx * way, dy * way),)

    return move


def _bounce(act: Act, now: ActTime) -> tuple[Pose, ...]:
    return (Pose(0, y=-50 * act.reach * abs(sin(pi * now.seconds / (2.3 * act.period)))),)


def _spin(act: Act, now: ActTime) -> tuple[Pose, ...]:
    return (Pose(0, angle=act.sign * 2 * pi * now.seconds / (4.6 * act.period)),)


def _grow(act: Act, now: ActTime) -> tuple[Pose, ...]:
    return (Pose(0, scale=1 + 0.9 * act.reach * ease(now.share)),)


def _shrink(act: Act, now: ActTime) -> tuple[Pose, ...]:
    return (Pose(0, scale=1 - 0.62 * act.reach * ease(now.share)),)


def _blink(act: Act, now: ActTime) -> tuple[Pose, ...]:
    lit = cos(2 * pi * now.seconds / (2.4 * act.period))
    return (Pose(0, alpha=min(max(0.6 + 3 * lit, 0.0), 1.0)),)


def _circle(act: Act, now: ActTime) -> tuple[Pose, ...]:
    angle, radius = 2 * pi * now.seconds / (3.6 * act.period), 30 * act.reach
    return (Pose(0, act.sign * radius * sin(angle), radius * (1 - cos(angle))),)


def _zigzag(act: Act, now: ActTime) -> tuple[Pose, ...]:
    teeth = abs((now.seconds / (2.6 * act.period) + 0.25) % 1 - 0.5) * 4 - 1  # a triangle wave, 0 at 0
    return (Pose(0, act.sign * 95 * act.reach * now.share, 26 * teeth),)


def _split(act: Act, now: ActTime) -> tuple[Pose, ...]:
    apart = ease(min(max((now.share - 0.25) / 0.6, 0.0), 1.0))
    if apart == 0.0:
        return (Pose(0),)
    return tuple(Pose(0, side * 38 * act.reach * apart, scale=1 - 0.25 * apart) for side in (-1, 1))


def _pulse(act: Act, now: ActTime) -> tuple[Pose, ...]:
    return (Pose(0, scale=1 + 0.42 * act.reach * wave(now.seconds, 2.8 * act.period)),)


def _swing(act: Act, now: ActTime) -> tuple[Pose, ...]:
    return (Pose(0, act.sign * 48 * act.reach * wave(now.seconds, 3.4 * act.period)),)


def _sway(act: Act, now: ActTime) -> tuple[Pose, ...]:
    return (Pose(0, angle=0.2 * wave(now.seconds, 3 * act.period)),)


def _stand(_act: Act, _now: ActTime) -> tuple[Pose, ...]:
    return (Pose(0),)


def _chase(act: Act, now: ActTime) -> tuple[Pose, ...]:
    way, gap = act.sign * 75 * act.reach * ease(now.share), act.sign * 60 * act.reach
    up, later = (9 * wave(now.seconds - lag, 2.4) - 9 * wave(-lag, 2.4) for lag in (0.0, 0.6))
    return (Pose(1, gap + way, up), Pose(0, way, later))


def _meet(act: Act, now: ActTime) -> tuple[Pose, ...]:
    gap = act.sign * 90 * act.reach
    way = (gap - act.sign * 2 * act.radius) / 2 * ease(now.share)
    return (Pose(1, gap - way), Pose(0, way))


def _leave(act: Act, now: ActTime) -> tuple[Pose, ...]:
    return (Pose(1, act.sign * 2 * act.radius), Pose(0, -act.sign * 85 * act.reach * ease(now.share)))


def _orbit(act: Act, now: ActTime) -> tuple[Pose, ...]:
    angle, radius = 2 * pi * now.seconds / (3.8 * act.period), 42 * act.reach
    return (Pose(1, act.sign * radius), Pose(0, act.sign * radius * (1 - cos(angle)), radius * sin(angle) * 0.9))


def _swap(act: Act, now: ActTime) -> tuple[Pose, ...]:
    angle, half = pi * ease(now.share), act.sign * 35 * act.reach
    x, y = half * cos(angle), 26 * sin(angle)
    return (Pose(1, half + x, y), Pose(0, half - x, -y))


def _push(act: Act, now: ActTime) -> tuple[Pose, ...]:
    gap, touch = 60 * act.reach, 2 * act.radius * 0.92
    way = (gap - touch + 55 * act.reach) * now.share
    return (Pose(1, act.sign * max(gap, way + touch)), Pose(0, act.sign * way))


MOTIONS: dict[str, Callable[[Act, ActTime], tuple[Pose, ...]]] = {
    "moves right": _straight(95, 0),
    "moves left": _straight(-95, 0),
    "moves up": _straight(0, -62),
    "moves down": _straight(0, 62),
    "bounces": _bounce,
    "spins": _spin,
    "grows": _grow,
    "shrinks": _shrink,
    "blinks": _blink,
    "circles": _circle,
    "zigzags": _zigzag,
    "splits": _split,
    "pulses": _pulse,
    "swings": _swing,
    "chases": _chase,
    "meets": _meet,
    "leaves": _leave,
    "orbits": _orbit,
    "swaps": _swap,
    "pushes": _push,
    "stands": _stand,
    "sways": _sway,
}
