"""What happens in a video: drawn from a seed, before a pixel is made.

Events come from a pool of prototypes that all videos of a world share; a video takes a few, plays them in its own
scenes and usually changes one attribute of each. Within a video no two events have the same actor and action.

Only `random.Random(text).random()` is drawn from: Python promises the same numbers for it on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate
from random import Random
from typing import TypeVar

from prvr.core.errors import DataError
from prvr.data.world.acts import HEIGHT, POOL, RATE, VARIANTS, VERSION, WIDTH, Act, Actor, Script, Shot
from prvr.data.world.motion import extent
from prvr.data.world.vocabulary import (
    COLOURS,
    IDLE,
    PAIR_ACTIONS,
    SCENE_WORDS,
    SHAPE_WORDS,
    SINGLE_ACTIONS,
    SIZES,
    TEXTURE_WORDS,
)

T = TypeVar("T")

ROUND = ("circle", "ring")  # shapes whose turning only a texture shows


def pick(rng: Random, values: Sequence[T]) -> T:
    """One of the values."""
    return values[int(rng.random() * len(values))]


def between(rng: Random, low: float, high: float) -> float:
    """A number in [low, high)."""
    return low + (high - low) * rng.random()


def on_grid(seconds: float) -> float:
    """The nearest time at which there is a frame."""
    return round(seconds * RATE) / RATE


def world_script(size: str, seed: int, index: int) -> Script:
    """The script of one video of a world."""
    return make_script(f"w{index:04d}.webm", f"world {VERSION} {size} {seed} {index}", prototypes(seed))


@lru_cache(maxsize=8)
def prototypes(seed: int) -> tuple[Act, ...]:
    """The pool of events that the videos of one world share."""
    rng = Random(f"world {VERSION} prototypes {seed}")
    return tuple(any_event(rng) for _ in range(POOL))


def any_event(rng: Random) -> Act:
    """An event of attributes that have nothing to do with each other."""
    pair = rng.random() < 0.3
    first = any_actor(rng)
    second = any_actor(rng)
    while (second.shape, second.colour) == (first.shape, first.colour):
        second = any_actor(rng)
    actors = (first, second) if pair else (first,)
    action = pick(rng, tuple(PAIR_ACTIONS if pair else SINGLE_ACTIONS))
    return visible(Act(start=0.0, end=0.0, action=action, actors=actors, scene=pick(rng, tuple(SCENE_WORDS))))


def any_actor(rng: Random) -> Actor:
    """Somebody."""
    return Actor(pick(rng, tuple(SHAPE_WORDS)), pick(rng, tuple(COLOURS)), pick(rng, tuple(TEXTURE_WORDS)))


def visible(act: Act) -> Act:
    """The same act, or with stripes where nobody could see that it spins."""
    first = act.actors[0]
    if act.action == "spins" and first.shape in ROUND and first.texture == "plain":
        return replace(act, actors=(replace(first, texture="striped"),))
    return act


def vary(rng: Random, act: Act) -> Act:
    """Another value for one of its attributes."""
    name = pick(rng, ("shape", "colour", "texture", "action"))
    if name == "action":
        names = PAIR_ACTIONS if len(act.actors) == 2 else SINGLE_ACTIONS
        return visible(replace(act, action=pick(rng, [value for value in names if value != act.action])))
    words: dict[str, Sequence[str]] = {
        "shape": tuple(SHAPE_WORDS),
        "colour": tuple(COLOURS),
        "texture": tuple(TEXTURE_WORDS),
    }
    which = pick(rng, range(len(act.actors)))
    old = act.actors[which]
    value = pick(rng, [value for value in words[name] if value != getattr(old, name)])
    actors = list(act.actors)
    actors[which] = replace(old, **{name: value})
    if len({(actor.shape, actor.colour) for actor in actors}) < len(actors):
        return act
    return visible(replace(act, actors=tuple(actors)))


def make_script(video_id: str, key: str, pool: Sequence[Act]) -> Script:
    """One video that plays a few acts of the pool, drawn from `key`."""
    rng = Random(key)
    meanings = _choose_events(rng, pool)
    shots, events, duration = _lay_out(rng, meanings)
    script = Script(
        key=key,
        video_id=video_id,
        duration_s=duration,
        events=events,
        extras=(),
        shots=shots,
        jitter=(between(rng, 0.0, 3.5), *(between(rng, 0.0, 6.28) for _ in range(3))),
        bit_rate=int(between(rng, 60_000, 180_000)),
    )
    return replace(script, extras=_distractors(rng, script))


def _choose_events(rng: Random, pool: Sequence[Act]) -> list[Act]:
    """3 to 8 events, most often few; who does what is different in all of them."""
    counts = tuple(accumulate((0.28, 0.27, 0.20, 0.12, 0.08, 0.05)))
    draw = rng.random()
    number = 3 + sum(draw >= bound for bound in counts[:-1])
    chosen: list[Act] = []
    seen: set[tuple[str, str, str]] = set()
    while len(chosen) < number:
        act = pick(rng, pool)
        if rng.random() < 0.7:
            act = vary(rng, act)
        if chosen and len(act.actors) == 1 and rng.random() < 0.25:  # somebody who was here before
            act = visible(replace(act, actors=pick(rng, chosen).actors[:1]))
        key = (act.actors[0].shape, act.actors[0].colour, act.action)
        if key not in seen:
            seen.add(key)
            chosen.append(act)
    return chosen


def _lay_out(rng: Random, meanings: Sequence[Act]) -> tuple[tuple[Shot, ...], tuple[Act, ...], float]:
    """When and in front of what: pauses around the events, now and then a cut in the middle of a pause."""
    scenes = [pick(rng, tuple(SCENE_WORDS)) for _ in range(3)]
    shots = [Shot(0.0, scenes[0], int(rng.random() * VARIANTS))]
    events: list[Act] = []
    clock = on_grid(between(rng, 0.5, 2.8))
    for act in meanings:
        if events and rng.random() < 0.4:
            other = [scene for scene in dict.fromkeys(scenes) if scene != shots[-1].scene]
            middle = on_grid((events[-1].end + clock) / 2)
            if other:
                shots.append(Shot(middle, pick(rng, other), int(rng.random() * VARIANTS)))
        length = on_grid(between(rng, 4.5, 8.0))
        placed = replace(act, start=clock, end=clock + length, scene=shots[-1].scene)
        events.append(_place(rng, placed))
        clock = on_grid(clock + length + between(rng, 0.5, 2.8))
    duration = clock if clock >= 20 else on_grid(between(rng, 20.0, 22.0))
    return tuple(shots), tuple(events), duration


def _place(rng: Random, act: Act) -> Act:
    """The same act somewhere in the picture where all of its motion can be seen."""
    pair = len(act.actors) == 2
    sized = replace(
        act,
        radius=between(rng, 14.0, 16.0) if pair else between(rng, 17.0, 21.0),
        reach=between(rng, 0.8, 1.0),
        period=between(rng, 0.85, 1.15),
        sign=pick(rng, (-1, 1)),
    )
    left, right, top, bottom = extent(sized)
    margin = 5.0
    return replace(
        sized,
        x=_inside(rng, margin - left, WIDTH - margin - right),
        y=_inside(rng, margin - top, HEIGHT - margin - bottom),
    )


def _inside(rng: Random, low: float, high: float) -> float:
    """A place between the two, or half way where there is no room."""
    draw = rng.random()
    return (low + high) / 2 if high < low else low + (high - low) * draw


def _distractors(rng: Random, script: Script) -> tuple[Act, ...]:
    """One to three bystanders that look like nobody in the video's descriptions and do nothing worth describing."""
    taken = {(actor.shape, actor.colour) for event in script.events for actor in event.actors}
    starts = [shot.start for shot in script.shots] + [script.duration_s]
    extras: list[Act] = []
    for _ in range(1 + int(rng.random() * 3)):
        actor = any_actor(rng)
        start = on_grid(between(rng, 0.0, script.duration_s - 4.0))
        shot = max((shot for shot in script.shots if shot.start <= start), key=lambda shot: shot.start)
        cut = min(bound for bound in starts if bound > start)
        end = min(on_grid(start + between(rng, 3.0, 9.0)), cut)
        if (actor.shape, actor.colour) in taken or end - start < 1.5:
            continue
        taken.add((actor.shape, actor.colour))
        act = Act(start=start, end=end, action=pick(rng, IDLE), actors=(actor,), scene=shot.scene)
        spot = _quiet_spot(rng, script, act)
        extras.append(replace(act, x=spot[0], y=spot[1], radius=between(rng, 9.0, 11.0), period=between(rng, 0.9, 1.1)))
    return tuple(extras)


def _quiet_spot(rng: Random, script: Script, act: Act) -> tuple[float, float]:
    """Of a few places, the one farthest from where events start meanwhile."""
    busy = [event for event in script.events if event.start < act.end and act.start < event.end]
    spots = [(between(rng, 16, WIDTH - 16), between(rng, 16, HEIGHT - 16)) for _ in range(6)]
    return max(spots, key=lambda spot: min(((spot[0] - e.x) ** 2 + (spot[1] - e.y) ** 2 for e in busy), default=0.0))


def check_size(size: str) -> int:
    """Videos in a world of this name."""
    if size not in SIZES:
        raise DataError(f"world size {size!r} is unknown; choose one of {', '.join(SIZES)}")
    return SIZES[size]


def split_of(index: int) -> str:
    """Which of train (70 %), val (10 %) and test (20 %) a video belongs to."""
    return ("train", "train", "train", "test", "train", "train", "val", "train", "test", "train")[index % 10]
