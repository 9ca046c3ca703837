"""Which seconds a model's tokens stand for."""

from __future__ import annotations

import torch
from torch import Tensor

from prvr.core.types import TokenSpans, Videos


def frames_alone(videos: Videos) -> TokenSpans:
    """A token a place, and no clips."""
    return TokenSpans(frames=videos.frame_spans, clips=videos.frame_spans[:, :0])


def whole_spans(videos: Videos) -> Tensor:
    """From the first frame's start to the last one's end -> (V, 1, 2)."""
    start, end = videos.frame_spans.unbind(-1)
    first = start.where(videos.frame_valid, torch.inf).amin(1)
    last = end.where(videos.frame_valid, -torch.inf).amax(1)
    return torch.stack([first, last], dim=-1)[:, None]


def equal_spans(videos: Videos, count: int) -> Tensor:
    """Each video's frames in `count` equal stretches, which share a frame where there are too few -> (V, count, 2)."""
    frames = videos.frame_valid.sum(1, keepdim=True)  # (V, 1)
    place = torch.arange(count, device=frames.device)
    first = place * frames // count  # (V, count)
    last = torch.maximum(-(-(place + 1) * frames // count) - 1, first)
    start, end = videos.frame_spans.unbind(-1)
    return torch.stack([start.gather(1, first), end.gather(1, last)], dim=-1)
