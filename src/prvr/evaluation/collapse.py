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


class TokenStatistics:
    """Both statistics of video tokens, a batch of videos after the other: no more than one batch is ever held.

    `released` is what the published code computes, to compare with the paper's Table 8: its intra is the exact one, its
    total reads only the first 32 tokens of a video and leaves out every pair within the same 400 of these tokens (12.5
    videos).
    """

    def __init__(self) -> None:
        self._sums: list[VideoSums] = []
        self._chunks: list[Tensor] = []  # (K, D) float64 each: a batch's sums by chunk; its first may be begun before
        self._first: list[int] = []  # the number of each batch's first chunk
        self._tokens = 0  # how many of the tokens that `released` reads have been seen
        self._whole = True  # no video had padding, and all had two tokens or more

    def add(self, tokens: Tensor, valid: Tensor | None = None) -> None:
        """tokens (V, N, D) of any length, valid (V, N), None = all."""
        self._sums.append(token_sums(tokens, valid))
        self._whole &= tokens.shape[1] > 1 and (valid is None or bool(valid.all()))
        if not self._whole or not len(tokens):
            return
        first = tokens[:, :_RELEASED_TOKENS]
        flat = (first * _unit_scale(first)[0][..., None]).flatten(0, 1).cpu().double()  # (V·32, D)
        chunk = torch.arange(self._tokens, self._tokens + len(flat)) // _RELEASED_CHUNK
        self._first.append(int(chunk[0]))
        sums = flat.new_zeros(int(chunk[-1] - chunk[0]) + 1, flat.shape[1])
        self._chunks.append(sums.index_add_(0, chunk - chunk[0], flat))
        self._tokens += len(flat)

    def exact(self) -> Similarity | None:
        """Over all pairs; None where no video has two tokens."""
        return similarity(join_sums(self._sums)) if self._sums else None

    def released(self) -> Similarity | None:
        """By the published rule; None where videos are padded, or so few that it leaves out all pairs."""
        exact = self.exact()
        last = (self._tokens - 1) // _RELEASED_CHUNK
        if exact is None or not self._whole or last < 1:
            return None
        size = torch.full((last + 1,), _RELEASED_CHUNK)
        size[last] = self._tokens - last * _RELEASED_CHUNK
        vector = self._chunks[0].new_zeros(last + 1, self._chunks[0].shape[1])
        for first, sums in zip(self._first, self._chunks, strict=True):
            vector[first : first + len(sums)] += sums
        pairs = self._tokens**2 - int(size.square().sum())
        total = (vector.sum(0).square().sum() - vector.square().sum()) / pairs
        return Similarity(intra=exact.intra, total=float(total))


def released_video_similarity(tokens: Tensor) -> Similarity | None:
    """The published statistics of tokens (V, N, D) without padding; see `TokenStatistics`."""
    statistics = TokenStatistics()
    statistics.add(tokens)
    return statistics.released()


def _unit_scale(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """tokens (V, N, D) -> what each is multiplied by to become a unit vector, and its squared length then, (V, N)."""
    norm = tokens.norm(dim=-1)
    scale = norm.clamp_min(1e-12).reciprocal()
    return scale, (norm * scale).square()
