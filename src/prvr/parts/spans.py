"""Which seconds a model's tokens stand for, where they are not simply the frames and the clips of the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from prvr.core.types import VideoBatch


class TokenSpans(NamedTuple):
    """Seconds of every token that a model makes of V videos, in the order of its `VideoTokens`."""

    frames: Tensor  # (V, N, 2)
    clips: Tensor  # (V, C, 2)


def spans_of(model: object, videos: VideoBatch) -> TokenSpans:
    """When a model's tokens are: as its `token_spans` says, or those of the frames and clips that it reads."""
    own: Callable[[VideoBatch], TokenSpans] | None = getattr(model, "token_spans", None)
    return own(videos) if own else TokenSpans(frames=videos.frame_spans, clips=clip_spans(videos))


def clip_spans(videos: VideoBatch) -> Tensor:
    """What each clip covers: from the first frame that went to it to the last -> (V, C, 2) seconds."""
    shape = videos.clip_size.shape
    start, end = videos.frame_spans[..., 0], videos.frame_spans[..., 1]
    start, end = start.where(videos.frame_valid, torch.inf), end.where(videos.frame_valid, -torch.inf)
    first = start.new_full(shape, torch.inf).scatter_reduce(1, videos.slot, start, "amin")
    last = end.new_full(shape, -torch.inf).scatter_reduce(1, videos.slot, end, "amax")
    return torch.stack([first, last], 2)


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
