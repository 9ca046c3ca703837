"""One video's frames from its sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from prvr.core.types import Span
from prvr.data.simulate.config import SimulateConfig
from prvr.data.simulate.texts import generator


class Scene(NamedTuple):
    """What all videos of a simulation share."""

    config: SimulateConfig
    to_video: Tensor  # (E of words, E of frames): the fixed random map from what is said to what is seen
    pool: Tensor  # (distractors, E of frames): unrelated events as they are seen

    @classmethod
    def build(cls, config: SimulateConfig, pool: Tensor, *, video_width: int) -> Scene:
        """pool (distractors, E of words) unit length -> Scene. The map keeps lengths, on average."""
        text_width = pool.shape[1]
        random = generator(f"map {config.seed} {text_width} {video_width}")
        to_video = torch.randn(text_width, video_width, generator=random) / video_width**0.5
        return cls(config, to_video, pool @ to_video)


def num_frames(duration_s: float, config: SimulateConfig) -> int:
    """One frame every `seconds_per_frame`, at least one."""
    return max(1, round(duration_s / config.seconds_per_frame))


def simulate_video(
    scene: Scene, video_id: str, duration_s: float, shown: Tensor, windows: Sequence[Sequence[Span]]
) -> Tensor:
    """shown (q, E of words) what each sentence shows, its windows in seconds -> frames (n, E).

    A frame inside windows is the mean of their sentences under the map; elsewhere unrelated events follow each other.
    Style and drift go through the map as well, so that no projection can take them away; noise fills the whole space.
    All random numbers follow from the seed and the video's id alone.
    """
    config = scene.config
    random = generator(f"video {config.seed} {video_id}")
    n, (text_width, width) = num_frames(duration_s, config), scene.to_video.shape
    inside = covered(duration_s, n, windows)  # (n, q)
    told = inside.any(1)
    content = (inside.float() / inside.sum(1, keepdim=True).clamp(min=1)) @ (shown @ scene.to_video)
    elsewhere = background(scene, duration_s, n, random)
    style = torch.randn(text_width, generator=random) * (config.style / text_width**0.5)
    frames: Tensor = torch.where(told[:, None], content, elsewhere) + style @ scene.to_video
    if config.drift:
        frames += _drift(scene, duration_s, n, random)
    if config.noise:
        frames += torch.randn(n, width, generator=random).mul_(config.noise / width**0.5)
    return frames


def covered(duration_s: float, n: int, windows: Sequence[Sequence[Span]]) -> Tensor:
    """(n, q) bool: which frames show which sentence: those whose middle is in a window, or the nearest one."""
    middle = (torch.arange(n) + 0.5) * (duration_s / n)
    inside = torch.zeros(n, len(windows), dtype=torch.bool)
    for q, spans in enumerate(windows):
        for start, end in spans:
            inside[:, q] |= (middle >= start) & (middle <= end)
            inside[min(n - 1, int((start + end) / 2 / duration_s * n)), q] = True
    return inside


def background(scene: Scene, duration_s: float, n: int, random: torch.Generator) -> Tensor:
    """(n, E): one event of the pool after the other, each held for a time around `scene_s` (log-normal, σ 0.6)."""
    if not len(scene.pool):
        return torch.zeros(n, scene.to_video.shape[1])
    longest = int(4 * duration_s / scene.config.scene_s) + 8  # events; so many last longer than the video
    lengths = scene.config.scene_s * torch.exp(0.6 * torch.randn(longest, generator=random))
    events = torch.randint(len(scene.pool), (longest,), generator=random)
    middle = (torch.arange(n) + 0.5) * (duration_s / n)
    place = torch.searchsorted(lengths.cumsum(0), middle).clamp(max=longest - 1)
    return scene.pool[events[place]]


def _drift(scene: Scene, duration_s: float, n: int, random: torch.Generator) -> Tensor:
    """(n, E): from one random vector to the next along a quarter of a circle, `drift_s` apart."""
    config, text_width = scene.config, len(scene.to_video)
    knots = torch.randn(int(duration_s / config.drift_s) + 2, text_width, generator=random)
    seen = knots @ scene.to_video * (config.drift / text_width**0.5)
    place = (torch.arange(n) + 0.5) * (duration_s / n / config.drift_s)
    whole = place.floor().long()
    angle = (place - whole)[:, None] * (torch.pi / 2)
    turned: Tensor = seen[whole] * angle.cos() + seen[whole + 1] * angle.sin()
    return turned
