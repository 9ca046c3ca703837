"""Segments of a video at several scales, a graph of which are alike and near, and moments smoothed over it.

TF-PRVR (NeurIPS 2026), Sections 3.2 and 3.3, as released. P = (1 - β)(I - βA)⁻¹ H depends on no query, so a video
becomes a fixed bank of vectors, and its score is the highest inner product. float64, many videos at once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_NOTHING = 1e-12  # vectors shorter than this have no direction


class PathSegments(NamedTuple):
    """The nodes of a graph: segments of all levels, the finest first, by time within a level."""

    span: Tensor  # (V, N, 2) int64 frames, start inclusive, end exclusive
    level: Tensor  # (V, N) int64, 0 = finest
    valid: Tensor  # (V, N) bool
    opens: Tensor  # (V, L, T) bool, a segment of this level begins with this frame
    at: Tensor  # (V, L, T) int64, the node that covers each frame; no meaning where there is none


class PathMoments(NamedTuple):
    """What a video is searched by."""

    vectors: Tensor  # (V, M, D), not normalised: their length counts
    span: Tensor  # (V, M, 2) int64 frames, start inclusive, end exclusive
    valid: Tensor  # (V, M) bool


def segments_of(cut: Tensor, lengths: Tensor, levels: Tensor) -> PathSegments:
    """cut (V, L, T) bool before which frames each level is cut, lengths (V,) frames, levels (V,) that a video has."""
    place, scale = (torch.arange(size, device=cut.device) for size in (cut.shape[2], cut.shape[1]))
    there = (place < lengths[:, None])[:, None] & (scale < levels[:, None])[..., None]
    opens = (cut | (place == 0)) & there
    at = opens.flatten(1).cumsum(1) - 1
    first, valid = _positions(opens.flatten(1))  # (V, N) level · T + frame
    level, start = first // cut.shape[2], first % cut.shape[2]
    follows = F.pad(valid[:, 1:] & (level.diff(dim=1) == 0), (0, 1))
    end = F.pad(start[:, 1:], (0, 1)).where(follows, lengths[:, None])
    return PathSegments(torch.stack([start, end], 2), level, valid, opens, at.view(opens.shape))


def segment_vectors(frames: Tensor, segments: PathSegments) -> Tensor:
    """The mean of each segment's frames, brought to unit length; zero where they cancel out.

    frames (V, T, D) unit length, zero behind the length -> (V, N, D), zero where there is no segment.
    """
    sums = F.pad(frames.cumsum(1), (0, 0, 1, 0))
    start, end = (_rows(sums, segments.span[..., side]) for side in (0, 1))
    mean = (end - start) / (segments.span[..., 1] - segments.span[..., 0]).clamp(min=1)[..., None]
    length = mean.norm(dim=2, keepdim=True)
    keep = segments.valid[..., None] & (length > _NOTHING)
    unit: Tensor = (mean / length.clamp(min=_NOTHING)).masked_fill(~keep, 0.0)
    return unit


def affinity(vectors: Tensor, segments: PathSegments, lengths: Tensor) -> Tensor:
    """Which segments vouch for each other: vectors (V, N, D) -> (V, N, N), symmetric, eigenvalues from -1 to 1.

    Within a level: cosine, as far as positive, and nearness in time; between neighbouring levels: cosine times overlap.
    Each vouches for itself with 1. Rows and columns are divided by the roots of their sums.
    """
    start, end = segments.span.to(vectors.dtype).unbind(2)
    apart = (segments.level[:, :, None] - segments.level[:, None]).abs()
    pair = segments.valid[:, :, None] & segments.valid[:, None]
    same, near = pair & (apart == 0), pair & (apart == 1)
    alike = (vectors @ vectors.mT).clamp(min=0)
    centre, typical = (start + end) / 2, lengths[:, None] / same.to(alike).sum(2).clamp(min=1)  # mean of the level's
    closeness = (-(centre[:, :, None] - centre[:, None]).abs() / typical[..., None]).exp()
    shared = torch.minimum(end[:, :, None], end[:, None]) - torch.maximum(start[:, :, None], start[:, None])
    size, shared = end - start, shared.clamp(min=0)
    overlap = shared / (size[:, :, None] + size[:, None] - shared).clamp(min=1)
    weight = (alike + closeness).where(same, 0.0) + (alike * overlap).where(near, 0.0)
    weight.diagonal(dim1=1, dim2=2).fill_(1.0)
    root = weight.sum(2).sqrt()
    return weight / (root[:, :, None] * root[:, None])


def smooth_by_graph(vectors: Tensor, graph: Tensor, *, beta: float) -> Tensor:
    """(1 - β)(I - βA)⁻¹ H: vectors (V, N, D), graph (V, N, N), 0 <= β < 1 -> (V, N, D)."""
    system = torch.eye(graph.shape[1], dtype=graph.dtype, device=graph.device) - beta * graph
    return torch.cholesky_solve((1 - beta) * vectors, torch.linalg.cholesky(system))


def smooth_by_level(vectors: Tensor, segments: PathSegments, *, beta: float) -> Tensor:
    """What the graph comes near to, at a price that grows with N alone: (1 - β) h + β · mean of h's level.

    Within a level nearly all pairs are joined about equally, so what flows through the graph is nearly the average.
    vectors (V, N, D) -> (V, N, D).
    """
    levels = segments.opens.shape[1]
    sums = vectors.new_zeros(len(vectors), levels, vectors.shape[2])
    sums.scatter_add_(1, segments.level[..., None].expand_as(vectors), vectors)
    means = sums / segments.opens.sum(2).clamp(min=1)[..., None]
    return (1 - beta) * vectors + beta * _rows(means, segments.level).masked_fill(~segments.valid[..., None], 0.0)


def moments_of(smoothed: Tensor, segments: PathSegments, lengths: Tensor) -> PathMoments:
    """Between two neighbouring cuts of any level: the mean over the levels of the segments that cover it.

    smoothed (V, N, D), lengths (V,) frames.
    """
    there = segments.opens.any(2)  # (V, L) levels that a video has
    start, valid = _positions(segments.opens.any(1))
    end = F.pad(start[:, 1:], (0, 1)).where(F.pad(valid[:, 1:], (0, 1)), lengths[:, None])
    total = smoothed.new_zeros(*start.shape, smoothed.shape[2])
    for level in range(there.shape[1]):  # one at a time: together they would be the largest tensor
        node = segments.at[:, level].gather(1, start)
        total += _rows(smoothed, node) * (there[:, level, None] & valid)[..., None]
    return PathMoments(total / there.sum(1)[:, None, None], torch.stack([start, end], 2), valid)


def _positions(flags: Tensor) -> tuple[Tensor, Tensor]:
    """Where each row is True: flags (V, K) -> positions (V, N) in order, 0 behind the last, and which are real."""
    count = flags.sum(1)
    video, place = flags.nonzero(as_tuple=True)
    valid = torch.arange(int(count.amax()), device=flags.device) < count[:, None]
    found = torch.zeros(valid.shape, dtype=torch.int64, device=flags.device)
    found[video, flags.cumsum(1)[video, place] - 1] = place
    return found, valid


def _rows(x: Tensor, index: Tensor) -> Tensor:
    """x (V, N, D), index (V, K) -> (V, K, D)."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))
