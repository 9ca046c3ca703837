"""Semantic collapse in numbers: how alike what belongs to one video is, against everything (MSC, Tables 8 and 9).

A mean over pairs of unit vectors needs no pairs: Σᵢ≠ⱼ xᵢ·xⱼ = ‖Σx‖² - Σ‖x‖². So every statistic here follows from one
sum of vectors a video, in O(N · D), where the published code compares all with all, in O(N² · D).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

_RELEASED_TOKENS = 32
_RELEASED_CHUNK = 400


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Mean cosines: within a video, and among all."""

    intra: float
    total: float

    @property
    def difference(self) -> float:
        """(intra - total) / (intra + total): 0 when videos do not matter, 1 when each is a single point."""
        return (self.intra - self.total) / (self.intra + self.total)


class VideoSums(NamedTuple):
    """All that the statistics need of the unit vectors of V videos."""

    vector: Tensor  # (V, D) float64, their sum
    square: Tensor  # (V,) float64, the sum of their squared lengths: 1 each, 0 for a zero vector
    number: Tensor  # (V,) int64, how many they are


def token_sums(tokens: Tensor, valid: Tensor | None = None) -> VideoSums:
    """tokens (V, N, D) of any length, valid (V, N), None = all -> VideoSums on the CPU."""
    if valid is None:
        valid = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    elif not valid.all():
        tokens = tokens.masked_fill(~valid[..., None], 0.0)  # padding may hold anything, NaN too
    scale, square = _unit_scale(tokens)
    vector = torch.bmm(scale[:, None], tokens).squeeze(1)  # (V, D), without a copy of the tokens
    return VideoSums(vector.cpu().double(), square.sum(1).cpu().double(), valid.sum(1).cpu())


def query_sums(queries: Tensor, video_of_query: Tensor, num_videos: int) -> VideoSums:
    """queries (Q, D) of any length, video_of_query (Q,) -> VideoSums on the CPU, of the queries of each video."""
    unit, video = functional.normalize(queries.cpu().double(), dim=-1, eps=1e-12), video_of_query.cpu()
    return VideoSums(
        unit.new_zeros(num_videos, unit.shape[1]).index_add_(0, video, unit),
        unit.new_zeros(num_videos).index_add_(0, video, unit.square().sum(-1)),
        video.bincount(minlength=num_videos),
    )


def join_sums(parts: Sequence[VideoSums]) -> VideoSums:
    """The sums of several lots of videos, one after another: a library can be read in batches."""
    return VideoSums(*(torch.cat(column) for column in zip(*parts, strict=True)))


def similarity(sums: VideoSums) -> Similarity | None:
    """Exact statistics over all pairs; None where no video has two vectors.

    intra is the mean over videos, of those with two or more, of the mean cosine of their pairs. total is the mean
    cosine of all pairs, those within a video included. For queries the published code computes the same.
    """
    several = sums.number >= 2
    if not several.any():
        return None
    pairs = sums.number * (sums.number - 1)
    within = (sums.vector.square().sum(1) - sums.square)[several] / pairs[several]
    all_pairs = int(sums.number.sum()) * (int(sums.number.sum()) - 1)
    total = (sums.vector.sum(0).square().sum() - sums.square.sum()) / all_pairs
    return Similarity(intra=float(within.mean()), total=float(total))


def released_video_similarity(tokens: Tensor) -> Similarity | None:
    """The statistics of video tokens as the published code has them, to compare with the paper's Table 8.

    tokens (V, N, D), no padding, N at least 2. intra is that of `similarity`. total reads only the first 32 tokens of a
    video, and leaves out every pair within the same 400 of these tokens (12.5 videos); None where all pairs are left
    out.
    """
    sums = token_sums(tokens)
    first = tokens[:, :_RELEASED_TOKENS]
    flat = (first * _unit_scale(first)[0][..., None]).flatten(0, 1)  # (V·32, D)
    chunk = torch.arange(len(flat), device=flat.device) // _RELEASED_CHUNK
    chunk_size = chunk.bincount()
    pairs = len(flat) ** 2 - int(chunk_size.square().sum())
    exact = similarity(sums)
    if not pairs or exact is None:
        return None
    chunk_vector = flat.new_zeros(len(chunk_size), flat.shape[1]).index_add_(0, chunk, flat).cpu().double()
    total = (chunk_vector.sum(0).square().sum() - chunk_vector.square().sum()) / pairs
    return Similarity(intra=exact.intra, total=float(total))


def cosine_matrix(vectors: Tensor) -> Tensor:
    """vectors (Q, D) of any length -> (Q, Q) float32 on the CPU."""
    unit = functional.normalize(vectors.cpu().float(), dim=-1, eps=1e-12)
    return unit @ unit.T


def spearman(ours: Tensor, theirs: Tensor) -> float | None:
    """Rank correlation of two similarity matrices, over all pairs of two different items.

    ours, theirs (Q, Q), symmetric -> -1 to 1; None where it is not defined: fewer than two pairs, or all alike.
    """
    pairs = torch.ones(ours.shape, dtype=torch.bool).triu(1)
    x, y = average_ranks(ours.cpu()[pairs]), average_ranks(theirs.cpu()[pairs])
    if len(x) < 2:
        return None
    x, y = x - x.mean(), y - y.mean()
    scale = float(x.square().sum().sqrt() * y.square().sum().sqrt())
    return float(x @ y) / scale if scale else None


def average_ranks(values: Tensor) -> Tensor:
    """values (n,) -> (n,) float64 from 1, ascending; equal values share the mean of their places."""
    ordered, order = values.sort()
    _, group, size = torch.unique_consecutive(ordered, return_inverse=True, return_counts=True)
    middle: Tensor = size.cumsum(0) - (size - 1).double() / 2
    return middle.new_empty(len(values)).scatter_(0, order, middle[group])


def _unit_scale(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """tokens (V, N, D) -> what each is multiplied by to become a unit vector, and its squared length then, (V, N)."""
    norm = tokens.norm(dim=-1)
    scale = norm.clamp_min(1e-12).reciprocal()
    return scale, (norm * scale).square()
