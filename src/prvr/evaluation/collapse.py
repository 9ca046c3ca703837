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
        both = self.intra + self.total
        return (self.intra - self.total) / both if both else 0.0  # of zero vectors, which are alike in nothing


class VideoSums(NamedTuple):
    """All that the statistics need of the unit vectors of V videos."""

    vector: Tensor  # (V, D) float64, their sum
    square: Tensor  # (V,) float64, the sum of their squared lengths: 1 each, 0 for a zero vector
    number: Tensor  # (V,) int64, how many they are


def token_sums(tokens: Tensor, valid: Tensor | None = None) -> VideoSums:
    """tokens (V, N, D) of any length, valid (V, N), None = all -> VideoSums on the CPU."""
    if valid is not None and not valid.all():
        tokens = tokens.masked_fill(~valid[..., None], 0.0)  # padding may hold anything, NaN too
    return _sums(tokens, valid, _unit_scale(tokens))


def query_sums(queries: Tensor, video_of_query: Tensor, num_videos: int) -> VideoSums:
    """queries (Q, D) of any length, video_of_query (Q,) -> VideoSums on the CPU, of the queries of each video."""
    rows, video = queries.cpu().double(), video_of_query.cpu()
    scale, square = _unit_scale(rows)
    return VideoSums(
        rows.new_zeros(num_videos, rows.shape[1]).index_add_(0, video, rows * scale[:, None]),
        rows.new_zeros(num_videos).index_add_(0, video, square),
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
        if self._whole:
            self._whole = tokens.shape[1] > 1 and (valid is None or bool(valid.all()))
        if not self._whole or not len(tokens):
            self._sums.append(token_sums(tokens, valid))
            return
        scale, square = _unit_scale(tokens)
        self._sums.append(_sums(tokens, valid, (scale, square)))
        first = scale[:, :_RELEASED_TOKENS]
        chunk = torch.arange(self._tokens, self._tokens + first.numel(), device=tokens.device) // _RELEASED_CHUNK
        share = first.new_zeros(int(chunk[-1] - chunk[0]) + 1, first.numel())  # of each token in each chunk's sum
        share.scatter_(0, (chunk - chunk[0])[None], first.reshape(1, -1))
        self._first.append(int(chunk[0]))
        self._chunks.append((share @ tokens[:, :_RELEASED_TOKENS].flatten(0, 1)).cpu().double())
        self._tokens += first.numel()

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


def _sums(tokens: Tensor, valid: Tensor | None, unit: tuple[Tensor, Tensor]) -> VideoSums:
    """tokens (V, N, D), zero where there is padding, valid (V, N), and what `_unit_scale` says of them."""
    scale, square = unit
    number = torch.full((len(tokens),), tokens.shape[1]) if valid is None else valid.sum(1).cpu()
    vector = torch.bmm(scale[:, None], tokens).squeeze(1)  # (V, D), without a copy of the tokens
    return VideoSums(vector.cpu().double(), square.sum(1).cpu().double(), number)


def _unit_scale(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """vectors (..., D) -> what each is multiplied by to become a unit vector, and its squared length then, (...)."""
    norm = vectors.norm(dim=-1)
    scale = norm.clamp_min(1e-12).reciprocal()
    return scale, (norm * scale).square()
