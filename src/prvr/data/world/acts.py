"""What the generated world is made of: actors, acts, shots, and the script of a video."""

from __future__ import annotations

from dataclasses import dataclass

VERSION = 1  # of the generator: another number, another world
RATE = 8  # frames a second
WIDTH, HEIGHT = 192, 144  # pixels
POOL = 64  # prototypes that the videos of a world share
VARIANTS = 12  # looks of each scene


@dataclass(frozen=True)
class Actor:
    """Who: what a description can say of something that acts."""

    shape: str
    colour: str
    texture: str


@dataclass(frozen=True, kw_only=True)
class Act:
    """Somebody does something for a while: an event, or a distractor's idling."""

    start: float  # seconds
    end: float
    action: str
    actors: tuple[Actor, ...]  # one or two
    scene: str
    x: float = 0.0  # where the first actor starts, pixels
    y: float = 0.0
    radius: float = 16.0  # pixels
    reach: float = 0.9  # how far it goes, times what is usual
    period: float = 1.0  # how long it takes to repeat, times what is usual
    sign: int = 1  # which way, where the action leaves it open

    @property
    def attributes(self) -> dict[str, str]:
        """The true meaning, complete whatever the description says."""
        first, *rest = self.actors
        values = {
            "shape": first.shape,
            "colour": first.colour,
            "texture": first.texture,
            "action": self.action,
            "scene": self.scene,
        }
        for second in rest:
            values |= {
                "second_shape": second.shape,
                "second_colour": second.colour,
                "second_texture": second.texture,
            }
        return values


@dataclass(frozen=True)
class Shot:
    """A stretch of video in front of one background."""

    start: float  # seconds
    scene: str
    variant: int


@dataclass(frozen=True, kw_only=True)
class Script:
    """All of a video: its pixels and its ground truth follow from this."""

    key: str  # what it was drawn from; the wording of its descriptions is drawn from it too
    video_id: str
    duration_s: float
    events: tuple[Act, ...]
    extras: tuple[Act, ...]  # distractors
    shots: tuple[Shot, ...]
    jitter: tuple[float, ...]  # amplitude in pixels, then three phases
    bit_rate: int
