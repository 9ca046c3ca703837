"""CBVA: frames and the segments of their own video pull each other close (cross-branch video alignment).

A segment is the size-weighted mean of the clips that adaptive merging put together. The defaults are what was released;
the paper's Eq. 8 has cosines, sums and no stopped gradient.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.parts.masked import masked_logsumexp

Pool = Literal["mean", "sum"]
"""Whether right and wrong ones are averaged before they are set against each other, or summed as in a softmax."""


def cbva(
    frames: Tensor,
    clips: Tensor,
    *,
    slot: Tensor,
    segment: Tensor,
    clip_size: Tensor,
    frame_valid: Tensor,
    similarity: Literal["dot", "cosine"] = "dot",
    pool: Pool = "mean",
    moves: Literal["one", "both"] = "one",
) -> Tensor:
    """Both directions of each video, averaged over its frames and over its segments.

    frames (V, T, M), clips (V, C, M) aligned tokens; slot (V, T) the clip of each frame; segment (V, C) the segment of
    each clip; clip_size (V, C), 0 = padding; frame_valid (V, T). Where `moves` is `one`, the first direction moves the
    frames alone and the second the clips. Returns (V,), not averaged.
    """
    segments, present = average_segments(clips, segment, clip_size)
    if similarity == "cosine":
        frames, segments = F.normalize(frames, dim=-1), F.normalize(segments, dim=-1)
    still_frames, still_segments = (frames, segments) if moves == "both" else (frames.detach(), segments.detach())
    own = own_segment(slot, segment)
    to_segment = frame_to_segment(frames, still_segments, own, frame_valid, present, pool=pool)
    to_frame = segment_to_frame(still_frames, segments, own, frame_valid, present, pool=pool)
    return to_segment.sum(1) / frame_valid.sum(1) + to_frame.sum(1) / present.sum(1)


def average_segments(clips: Tensor, segment: Tensor, clip_size: Tensor) -> tuple[Tensor, Tensor]:
    """Size-weighted means: clips (V, C, M), segment (V, C), clip_size (V, C) -> (V, C, M) and which exist, (V, C)."""
    places = torch.arange(clips.shape[1], device=clips.device)
    shares = (segment[:, None] == places[:, None]) * clip_size[:, None]  # (V, segment, clip)
    total = shares.sum(2, keepdim=True)
    return (shares / total.where(total > 0, 1.0)).to(clips.dtype) @ clips, total.squeeze(2) > 0


def own_segment(slot: Tensor, segment: Tensor) -> Tensor:
    """Which segment each frame lies in: slot (V, T), segment (V, C) -> (V, T, C) bool."""
    return F.one_hot(segment.gather(1, slot), segment.shape[1]).bool()


def frame_to_segment(
    frames: Tensor, segments: Tensor, own: Tensor, frame_valid: Tensor, present: Tensor, *, pool: Pool = "mean"
) -> Tensor:
    """Each frame should resemble its own segment more than the other ones.

    -ln(P / (P + N)), P = exp(frame · own segment), N = mean or sum of exp(frame · other segment).
    frames (V, T, M), segments (V, S, M), own (V, T, S), frame_valid (V, T), present (V, S) -> (V, T), 0 where no frame.
    """
    sims = frames @ segments.mT  # (V, T, S)
    there = present[:, None].expand_as(own)
    return _contrast(sims, own & there, ~own & there, dim=2, pool=pool).masked_fill(~frame_valid, 0.0)


def segment_to_frame(
    frames: Tensor, segments: Tensor, own: Tensor, frame_valid: Tensor, present: Tensor, *, pool: Pool = "mean"
) -> Tensor:
    """Each segment should resemble its own frames more than the others.

    -ln(P / (P + N)), P and N = mean or sum of exp(segment · frame) over its own frames and over the others.
    Shapes as in `frame_to_segment` -> (V, S), 0 where no segment.
    """
    sims = frames @ segments.mT  # (V, T, S)
    there = frame_valid[..., None].expand_as(own)
    return _contrast(sims, own & there, ~own & there, dim=1, pool=pool).masked_fill(~present, 0.0)


def _contrast(sims: Tensor, own: Tensor, other: Tensor, *, dim: int, pool: Pool) -> Tensor:
    """ln(P + N) - ln P with P and N pooled exp over `own` and `other`; finite however far apart they are."""
    log_p, log_n = masked_logsumexp(sims, own, dim), masked_logsumexp(sims, other, dim)
    if pool == "mean":
        log_p = log_p - own.sum(dim, dtype=sims.dtype).clamp(min=1).log()
        log_n = log_n - other.sum(dim, dtype=sims.dtype).clamp(min=1).log()
    return F.softplus((log_n - log_p).masked_fill(~own.any(dim), -torch.inf))
