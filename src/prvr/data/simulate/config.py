"""All knobs of simulated features."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

from prvr.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class SimulateConfig:
    """How frames are made of sentences. Lengths are relative to a frame that shows one sentence, which has length 1."""

    seed: int = 0
    seconds_per_frame: float = 2.0  # one feature every so many seconds, as in the packs of QVHighlights
    legibility: float = 0.4  # share of a sentence's words that its frames show, 0..1
    style: float = 0.7  # length of the vector that all frames of a video share
    drift: float = 0.7  # length of the noise that changes slowly along a video
    drift_s: float = 20.0  # seconds in which that noise becomes another
    noise: float = 1.0  # length of the noise that is new in every frame
    distractors: int = 2000  # unrelated events that fill what no sentence describes, shared by all videos; 0: nothing
    scene_s: float = 12.0  # seconds that such an event lasts, in the middle
    video_width: int | None = None  # E of the frames; None: that of the benchmark's published pack
    text_width: int | None = None  # E of the words; None: that of the published pack, or of the encoder that is given

    def __post_init__(self) -> None:
        for name in ("seconds_per_frame", "drift_s", "scene_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"simulate.{name}={getattr(self, name)}: is a number of seconds above 0")
        for name in ("style", "drift", "noise", "distractors", "seed"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"simulate.{name}={getattr(self, name)}: must be 0 or more")
        for name in ("video_width", "text_width"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ConfigError(f"simulate.{name}={getattr(self, name)}: must be 1 or more")
        if not 0 <= self.legibility <= 1:
            raise ConfigError(f"simulate.legibility={self.legibility}: is a share of words, from 0 to 1")

    @classmethod
    def easy(cls, *, seed: int = 0) -> Self:
        """Half of the words show. Two linear maps learn R@1 near 70 on QVHighlights' 474 videos, SumR near 350."""
        return cls(seed=seed, legibility=0.5, style=0.7, drift=0.5, noise=1.0)

    @classmethod
    def hard(cls, *, seed: int = 0) -> Self:
        """A third of the words show, behind more of all else. Two linear maps learn R@1 near 23, SumR near 200."""
        return cls(seed=seed, legibility=0.35, style=1.0, drift=0.7, noise=1.0)

    @property
    def knobs(self) -> dict[str, int | float | None]:
        """Every setting by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
