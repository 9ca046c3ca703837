"""One video's frames from its sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from prvr.core.types import Span
from prvr.data.simulate.config import SimulateConfig
from prvr.data.simulate.texts import generator

_BLOCK = 64  # frames whose noise is drawn at a time


class Scene(NamedTuple):
    """What all videos of a simulation share."""

    config: SimulateConfig
    to_video: Tensor  # (E of words, E of frames): the fixed random map from what is said to what is seen
    pool: Tensor  # (events, E of frames): what else is to be seen

    @classmethod
    def build(cls, config: SimulateConfig, pool: Tensor, *, video_width: int) -> Scene:
        """pool (distractors, E of words) unit length -> Scene; an empty one shows nothing, which is zero.

        The map keeps lengths, on average.
        """
        text_width = pool.shape[1]
        random = generator(f"map {config.seed} {text_width} {video_width}")
        to_video = torch.randn(text_width, video_width, generator=random) / video_width**0.5
        return cls(config, to_video, (pool if len(pool) else torch.zeros(1, text_width)) @ to_video)


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
    config, (text_width, width) = scene.config, scene.to_video.shape
    random = generator(f"video {config.seed} {video_id}")
    n = num_frames(duration_s, config)
    inside = covered(duration_s, n, windows)  # (n, q)
    turning = _turning(duration_s, n, config.drift_s)  # (n, knots)
    events = _events(scene, duration_s, n, random)
    style = torch.randn(1, text_width, generator=random) * (config.style / text_width**0.5)
    knots = torch.randn(turning.shape[1], text_width, generator=random) * (config.drift / text_width**0.5)

    told = inside.float() / inside.sum(1, keepdim=True).clamp(min=1)
    shares = torch.cat([told, turning, torch.ones(n, 1)], dim=1)  # of each frame, what it is made of
    frames = shares @ (torch.cat([shown, knots, style]) @ scene.to_video)
    untold = ~inside.any(1)
    frames[untold] += scene.pool[events[untold]]
    for part in torch.split(frames, _BLOCK):
        part.add_(torch.randn(part.shape, generator=random), alpha=config.noise / width**0.5)
    return frames


def covered(duration_s: float, n: int, windows: Sequence[Sequence[Span]]) -> Tensor:
    """(n, q) bool: which frames show which sentence: those whose middle is in a window, or the nearest one."""
    middle = _middles(duration_s, n)
    inside = torch.zeros(n, len(windows), dtype=torch.bool)
    for q, spans in enumerate(windows):
        for start, end in spans:
            inside[:, q] |= (middle >= start) & (middle <= end)
            inside[min(n - 1, int((start + end) / 2 / duration_s * n)), q] = True
    return inside


def _middles(duration_s: float, n: int) -> Tensor:
    """(n,) seconds."""
    return (torch.arange(n) + 0.5) * (duration_s / n)


def _events(scene: Scene, duration_s: float, n: int, random: torch.Generator) -> Tensor:
    """(n,) places in the pool: one event after the other, each held for a time around `scene_s` (log-normal, σ 0.6)."""
    longest = int(4 * duration_s / scene.config.scene_s) + 8  # events; so many last longer than the video
    lengths = scene.config.scene_s * torch.exp(0.6 * torch.randn(longest, generator=random))
    events = torch.randint(len(scene.pool), (longest,), generator=random)
    return events[torch.searchsorted(lengths.cumsum(0), _middles(duration_s, n)).clamp(max=longest - 1)]


def _turning(duration_s: float, n: int, every_s: float) -> Tensor:
    """(n, knots): shares of random vectors `every_s` apart, from one to the next along a quarter of a circle."""
    place = _middles(duration_s, n) / every_s
    whole = place.floor().long()
    angle = (place - whole) * (torch.pi / 2)
    shares = torch.zeros(n, int(duration_s / every_s) + 2)
    rows = torch.arange(n)
    shares[rows, whole], shares[rows, whole + 1] = angle.cos(), angle.sin()
    return shares
