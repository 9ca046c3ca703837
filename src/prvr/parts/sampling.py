"""A video of any length -> a fixed number of positions, each the mean of a few neighbouring frames."""

from __future__ import annotations

import torch
from torch import Tensor


def position_edges(num_frames: int, positions: int) -> Tensor:
    """First frame of every position, and the end of the last one -> (positions + 1,) int64.

    edge i = min(i · num_frames / positions rounded half to even, num_frames - 1): in whole numbers, so exact at any
    length. Where two edges are equal the position is that one frame; the very last frame is never used by long videos.
    """
    steps = torch.arange(positions + 1) * num_frames
    whole, rest = steps // positions, steps % positions
    up = (2 * rest > positions) | ((2 * rest == positions) & (whole % 2 == 1))
    return (whole + up).clamp(max=num_frames - 1)


def average_positions(features: Tensor, positions: int = 128) -> Tensor:
    """features (T, E) -> (positions, E), frames repeated where there are fewer of them."""
    edges = position_edges(len(features), positions).to(features.device)
    counts = edges.diff()
    owner = torch.arange(positions, device=features.device).repeat_interleave(counts)  # (frames in any position,)
    sums = features.new_zeros(positions, features.shape[1])
    sums.scatter_add_(0, owner[:, None].expand(-1, features.shape[1]), features[edges[0] : edges[-1]])
    return torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], features[edges[:-1]])


def at_most(features: Tensor, positions: int) -> Tensor:
    """features (T, E) -> themselves, or averaged where there are more than `positions` (GMMFormer's frame branch)."""
    return features if len(features) <= positions else average_positions(features, positions)


def interpolate_positions(features: Tensor, positions: int) -> Tensor:
    """features (T, E) -> (positions, E), each the mean of three readings between frames (BGM-Net's clip branch).

    Frame t stands at (t + 1/2) · positions / T. A position is read at its start, middle and end, within the first and
    the last frame; one that lies wholly outside them is zero, which happens where T < positions / 2. A single frame is
    repeated.
    """
    num_frames = len(features)
    if num_frames == 1:
        return features.expand(positions, -1)
    step = positions / num_frames
    first, last = 0.5 * step, (num_frames - 0.5) * step
    starts = torch.arange(positions, dtype=torch.float64, device=features.device)
    low, high = starts.clamp(min=first + 1e-4), (starts + 1).clamp(max=last - 1e-4)
    places = torch.stack([low, (low + high) / 2, high], dim=1) / step - 0.5  # (positions, 3) in frames
    left = places.floor().clamp(0, num_frames - 2).long()
    share = (places - left)[..., None]  # of the right frame
    wide = features.double()
    read = (wide[left] * (1 - share) + wide[left + 1] * share).mean(1)  # (positions, E)
    outside = (high < first) | (low > last)
    return read.masked_fill(outside[:, None], 0.0).to(features.dtype)


def position_spans(times: Tensor, duration_s: float, positions: int = 128) -> Tensor:
    """Seconds that each position covers, from its first frame to the frame after its last.

    times (T,) seconds, increasing; the last frame lasts until `duration_s` -> (positions, 2) float32 within the video.
    """
    edges = position_edges(len(times), positions).to(times.device)
    first, last = edges[:-1], torch.maximum(edges[1:], edges[:-1] + 1)
    spans = frame_spans(times, duration_s)
    return torch.stack([spans[first, 0], spans[last - 1, 1]], dim=1)


def frame_spans(times: Tensor, duration_s: float) -> Tensor:
    """Seconds that each frame stands for: until the next one, the last until the end. (T,) -> (T, 2) float32."""
    starts = times.double().clamp(0.0, duration_s)
    ends = torch.cat([starts[1:], starts.new_tensor([duration_s])])
    return torch.stack([starts, ends], dim=1).float()
