"""Which seconds a model's tokens stand for, where they are not simply the frames and the clips of the batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from prvr.core.types import VideoBatch


class TokenSpans(NamedTuple):
    """Seconds of every token that a model makes of V videos, in the order of its `VideoTokens`."""

    frames: Tensor  # (V, N, 2)
    clips: Tensor  # (V, C, 2)


def whole_spans(videos: VideoBatch) -> Tensor:
    """From the first frame's start to the last one's end -> (V, 1, 2)."""
    start, end = videos.frame_spans.unbind(-1)
    first = start.where(videos.frame_valid, torch.inf).amin(1)
    last = end.where(videos.frame_valid, -torch.inf).amax(1)
    return torch.stack([first, last], dim=-1)[:, None]


def equal_spans(videos: VideoBatch, count: int) -> Tensor:
    """Each video's frames in `count` equal stretches, which share a frame where there are too few -> (V, count, 2)."""
    frames = videos.frame_valid.sum(1, keepdim=True)  # (V, 1)
    place = torch.arange(count, device=frames.device)
    first = place * frames // count  # (V, count)
    last = torch.maximum(-(-(place + 1) * frames // count) - 1, first)
    start, end = videos.frame_spans.unbind(-1)
    return torch.stack([start.gather(1, first), end.gather(1, last)], dim=-1)
