"""Which hits of an answer show the same: copies of one film that were re-encoded, trimmed or made smaller.

That two moments look alike does not make them one: a library may hold many goals. A copy shares what lies around the
moment too. So one video is laid over the other such that their found moments begin, end or lie in the middle together,
and the frames are compared where the two overlap. What counts as alike is told by the index itself: the distance of two
copies is a small share of the usual distance of frames of different videos. That share stays the same when an encoder
points all its vectors into one direction, as most do; a bare cosine does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import torch
from torch import Tensor

from prvr.core.errors import IndexFolderError
from prvr.core.types import Bank, Span
from prvr.index.base import Index

BACK = 50  # how many hits before it one may repeat
SAME = 0.025  # distance of copies over the usual one (benchmarks/similar.py)
NEAR = 0.05  # that of their moments, to be looked at closely
TRIED = 4  # hits that one is compared with closely, those with the most alike moments
PROBES = 8  # frames of the shorter video, spread over all of it
SHARED = 0.8  # of these that lie inside the longer one at least
LEAST = 1e-3  # a distance that keeping vectors in few bits makes
SAMPLE = 32  # videos that tell the usual distance
PART = 64  # pairs compared at a time


class _Frames(NamedTuple):
    """The frame vectors of K videos end to end."""

    tokens: Tensor  # (ΣN, D) unit length
    spans: Tensor  # (ΣN, 2) seconds
    owner: Tensor  # (ΣN,) int64
    sizes: Tensor  # (K,)
    first: Tensor  # (K,) where each begins


def usual_distance(index: Index) -> float:
    """1 - cosine of two frames of different videos, on average over a sample; 1 where there are not two videos."""
    ids = sorted(index.versions)
    nothing, means = torch.zeros(index.header.width), []
    for video_id in ids[:: max(1, len(ids) // SAMPLE)][:SAMPLE]:
        with suppress(IndexFolderError):  # damaged, or taken out meanwhile: the others tell as well
            means.append(_branch(index.candidate(nothing, video_id).bank)[0].mean(0))
    if len(means) < 2:
        return 1.0
    stacked = torch.stack(means)  # (V', D)
    apart = stacked.sum(0).square().sum() - stacked.square().sum()  # all pairs of different videos, both ways
    return 1.0 - float(apart) / (len(means) * (len(means) - 1))


def same_as(banks: Sequence[Bank], found: Sequence[Span], *, usual: float, start: int = 0) -> list[int | None]:
    """Hits, best first, with their best moments -> for each from `start` on, the first before it that it repeats.

    Looked at are, of the `BACK` hits before it, those `TRIED` whose moments are most alike.
    """
    frames, moments = _joined(banks), torch.tensor(found, dtype=torch.float32).view(-1, 2)
    pairs = _pairs(_means(frames, moments), start, NEAR * usual)  # (P, 2)
    parts = [pairs[at : at + PART] for at in range(0, len(pairs), PART)]
    first = torch.full((len(banks),), len(banks))
    if parts:
        apart = torch.cat([_distance(frames, moments, part) for part in parts])
        one, before = pairs[apart <= max(SAME * usual, LEAST)].unbind(1)
        first.scatter_reduce_(0, one, before, "amin")
    return [None if place == len(banks) else place for place in first[start:].tolist()]


def _branch(bank: Bank) -> tuple[Tensor, Tensor]:
    """The frames of a bank, or its clips where only they are searched: (N, D), (N, 2)."""
    num = bank.num_frames or len(bank.tokens)
    return bank.tokens[:num], bank.spans[:num]


def _joined(banks: Sequence[Bank]) -> _Frames:
    parts = [_branch(bank) for bank in banks]
    sizes = torch.tensor([len(tokens) for tokens, _ in parts])
    owner = torch.arange(len(parts)).repeat_interleave(sizes)
    tokens, spans = (torch.cat(part) for part in zip(*parts, strict=True))
    return _Frames(tokens, spans, owner, sizes, sizes.cumsum(0) - sizes)


def _means(frames: _Frames, moments: Tensor) -> Tensor:
    """moments (K, 2) -> (K, D) the mean of the frames under each, by the seconds that they share with it."""
    spans, own = frames.spans, moments[frames.owner]
    shared = torch.minimum(spans[:, 1], own[:, 1]) - torch.maximum(spans[:, 0], own[:, 0])  # (ΣN,)
    under = (shared > 0).nonzero().squeeze(1)
    weights = torch.cat([frames.tokens[under], torch.ones(len(under), 1)], 1) * shared[under, None]
    total = weights.new_zeros(len(moments), weights.shape[1]).index_add_(0, frames.owner[under], weights)
    return total[:, :-1] / total[:, -1:].clamp(min=1e-6)


def _pairs(means: Tensor, start: int, most: float) -> Tensor:
    """means (K, D) -> pairs (P, 2) of a place from `start` on and one before it, worth a closer look.

    Half a squared distance is 1 - cosine of single frames, and unlike that of means it knows no common direction.
    """
    length = means.square().sum(1) / 2
    apart = length[start:, None] + length - means[start:] @ means.T  # (K', K)
    before = torch.arange(start, len(means))[:, None] - torch.arange(len(means))
    apart = apart.masked_fill((before < 1) | (before > BACK), torch.inf)
    nearest = apart.topk(min(TRIED, len(means)), largest=False)
    row, column = (nearest.values <= most).nonzero().unbind(1)
    return torch.stack([row + start, nearest.indices[row, column]], 1)


def _distance(frames: _Frames, moments: Tensor, pairs: Tensor) -> Tensor:
    """pairs (P, 2) -> (P,) mean 1 - cosine of what two videos show at the same time, laid over each other.

    Infinite where they share too little. A probe is compared with the frames that its span reaches, and the best
    counts: the two were sampled at different instants.
    """
    lasts = frames.spans[(frames.first + frames.sizes - 1), 1]  # (K,) about their durations
    short, long = pairs.gather(1, lasts[pairs].argsort(dim=1, stable=True)).unbind(1)  # (P,) each
    share = torch.linspace(0, 1, PROBES)
    probe = frames.first[short, None] + ((frames.sizes[short, None] - 1) * share).round().long()  # (P, S)
    within = torch.arange(int(frames.sizes[long].max()))  # (N,)
    real = within < frames.sizes[long, None]  # (P, N)
    place = frames.first[long, None] + within.minimum(frames.sizes[long, None] - 1)  # (P, N)
    cosine = torch.bmm(frames.tokens[probe], frames.tokens[place].transpose(1, 2))  # (P, S, N)
    begin, end = (moments[long] - moments[short]).unbind(1)
    moved = torch.stack([begin, end, (begin + end) / 2], 1)[:, :, None, None, None]  # (P, 3, 1, 1, 1)
    mine, theirs = frames.spans[probe][:, None, :, None] + moved, frames.spans[place][:, None, None]
    meet = (mine[..., 0] <= theirs[..., 1] + 1e-3) & (theirs[..., 0] <= mine[..., 1] + 1e-3)  # (P, 3, S, N)
    meet &= real[:, None, None]
    best = cosine[:, None].masked_fill(~meet, -torch.inf).amax(3)  # (P, 3, S)
    inside = best > -torch.inf
    num = inside.sum(2)
    mean = best.masked_fill(~inside, 0).sum(2) / num.clamp(min=1)
    return 1 - mean.masked_fill(num < SHARED * PROBES, -torch.inf).amax(1)
