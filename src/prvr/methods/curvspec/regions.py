"""Four regions a video, for training alone: where its clips gather, and what frames and clips say of that.

The authors cluster with scikit-learn on the CPU, video by video, in every step (TVR, Charades), or all videos at once
(ActivityNet); here both ways of beginning are done for all videos and all starts at once, on the device.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.core.types import VideoTokens
from prvr.parts.dropout import Dropout

Starts = Literal["spread", "drawn"]

_STARTS = {"spread": 30, "drawn": 10}  # scikit-learn takes 10 as well; three times as many cost next to nothing here
_TRIES = 3  # for each next clip of k-means++, as scikit-learn has it for four
_STEPS = 100  # of Lloyd's, at most
_SEED = 42
_STILL = 1e-4  # squared movement of a video's means, on average, from which on they stay
_DROPOUT = 0.1  # of all layers here


@torch.no_grad()
def means_of_clips(clips: Tensor, valid: Tensor, number: int, *, starts: Starts) -> Tensor:
    """K-means of each video's clips (V, C, D), of which valid (V, C) are there -> (V, K, D), without gradient.

    Of many starts the best: clips far from each other, by the sum of squared distances (`spread`: k-means++ as in
    scikit-learn), or any clips, the same one twice too, by that of plain distances (`drawn`). What is drawn is the same
    for all videos and all steps, so that nothing depends on a video's company.
    """
    fixed = torch.Generator().manual_seed(_SEED)
    draw = torch.rand(_STARTS[starts], number, _TRIES, generator=fixed, dtype=clips.dtype).to(clips.device)
    begin = far_apart_clips if starts == "spread" else drawn_clips
    return lloyd(clips, valid, begin(clips, valid, draw), squared=starts == "spread")


def drawn_clips(clips: Tensor, valid: Tensor, draw: Tensor) -> Tensor:
    """Any valid clips: draw (S, K, tries), from 0 to below 1, of which the first counts -> (S, V, K) int64."""
    return _in_proportion(valid.to(clips.dtype), draw[:, None, :, 0])


def far_apart_clips(clips: Tensor, valid: Tensor, draw: Tensor) -> Tensor:
    """Any first clip, then each with a chance that grows with its squared distance from those before (k-means++).

    Of several tries the one that leaves the least. clips (V, C, D), draw (S, K, tries) -> (S, V, K) int64. Where all
    that is left is equal, any clip.
    """
    there = valid.to(clips.dtype)
    square = torch.cdist(clips, clips).square().expand(len(draw), -1, -1, -1)  # (S, V, C, C)
    chosen = [_in_proportion(there, draw[:, None, 0, :1])]  # (S, V, 1) each
    nearest = square.gather(2, _rows(chosen[0], square.shape[3])).squeeze(2) * there  # (S, V, C)
    for tries in draw[:, None, 1:].unbind(2):  # a region each
        weight = torch.where(nearest.sum(-1, keepdim=True) > 0, nearest, there)
        candidates = _in_proportion(weight, tries)  # (S, V, tries)
        left = torch.minimum(nearest[:, :, None], square.gather(2, _rows(candidates, square.shape[3])))
        best = left.sum(-1).argmin(-1, keepdim=True)
        chosen.append(candidates.gather(2, best))
        nearest = left.gather(2, _rows(best, left.shape[3])).squeeze(2)
    return torch.cat(chosen, dim=-1)


def lloyd(clips: Tensor, valid: Tensor, starts: Tensor, *, squared: bool) -> Tensor:
    """Lloyd's steps from each of S starts, and the means of the best: starts (S, V, K) int64 -> (V, K, D).

    A mean that no clip is nearest to stays where it is. The best has the smallest sum of distances, or of squared ones.
    """
    everywhere = clips.expand(len(starts), *clips.shape)  # (S, V, C, D)
    means = everywhere.gather(2, _rows(starts, clips.shape[2]))
    there = valid.to(clips.dtype)[..., None]
    for _ in range(_STEPS):
        owner = F.one_hot(_squares(clips, means).argmin(-1), means.shape[2]).to(clips.dtype) * there  # (S, V, C, K)
        count = owner.sum(2)[..., None]
        moved = torch.where(count > 0, torch.einsum("svck,vcd->svkd", owner, clips) / count.clamp(min=1), means)
        moving = (moved - means).square().sum(-1).mean(-1) >= _STILL
        means = moved
        if not moving.any():
            break
    nearest = _squares(clips, means).amin(-1)
    cost = ((nearest if squared else nearest.sqrt()) * there[..., 0]).sum(-1)  # (S, V)
    best = cost.argmin(0)  # the first of equals
    return means[best, torch.arange(len(clips), device=clips.device)]


class Regions(nn.Module):
    """Means of clips look at frames and at clips; a gate weighs the two, and the mean itself goes on beside them."""

    def __init__(self, width: int, tangent_width: int, num_heads: int) -> None:
        super().__init__()
        self.frame_attention, self.clip_attention = (
            nn.MultiheadAttention(width, num_heads, dropout=_DROPOUT, batch_first=True) for _ in range(2)
        )
        self.frame_norm, self.clip_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.gate = nn.Linear(2 * width, width)
        self.refine_in = nn.Linear(2 * width, width)
        self.refine_norm = nn.LayerNorm(width)
        self.refine_out = nn.Linear(width, width)
        self.tangent = nn.Linear(width, tangent_width)
        self.dropout = Dropout(_DROPOUT)

    def forward(self, means: Tensor, tokens: VideoTokens) -> Tensor:
        """means (V, K, D) of the clips, and what a video's tokens are -> tangents (V, K, d), not scaled."""
        tangent: Tensor = self.tangent(self.refined(means, tokens))
        return tangent

    def refined(self, means: Tensor, tokens: VideoTokens) -> Tensor:
        """The same before the last layer -> (V, K, D)."""
        by_frames, by_clips = self.looked(means, tokens)
        gate = self.gated(by_frames, by_clips)
        united = gate * by_frames + (1 - gate) * by_clips
        hidden = F.relu(self.refine_norm(self.refine_in(torch.cat([united, means], dim=-1))))
        out: Tensor = self.refine_out(self.dropout(hidden)) + united
        return out

    def looked(self, means: Tensor, tokens: VideoTokens) -> tuple[Tensor, Tensor]:
        """What regions find among the frames and among the clips -> (V, K, D) each."""
        frames, _ = self.frame_attention(
            means, tokens.frames, tokens.frames, key_padding_mask=~tokens.frame_valid, need_weights=False
        )
        clips, _ = self.clip_attention(
            means, tokens.clips, tokens.clips, key_padding_mask=~tokens.clip_valid, need_weights=False
        )
        return self.frame_norm(frames + means), self.clip_norm(clips + means)

    def gated(self, by_frames: Tensor, by_clips: Tensor) -> Tensor:
        """The share of the frames in a region -> (V, K, D)."""
        share: Tensor = self.gate(torch.cat([by_frames, by_clips], dim=-1)).sigmoid()
        return share


def _squares(clips: Tensor, means: Tensor) -> Tensor:
    """Squared distances: clips (V, C, D), means (S, V, K, D) -> (S, V, C, K)."""
    lengths = clips.square().sum(-1)[..., None] + means.square().sum(-1)[:, :, None]
    return (lengths - 2 * torch.einsum("vcd,svkd->svck", clips, means)).clamp(min=0)


def _rows(index: Tensor, width: int) -> Tensor:
    """index (S, V, K), as `gather` wants it of rows -> (S, V, K, D)."""
    return index[..., None].expand(*index.shape, width)


def _in_proportion(weight: Tensor, draw: Tensor) -> Tensor:
    """Places in proportion to their weight: weight (..., V, C), draw (S, 1, K), each below 1 -> (S, V, K) int64."""
    sums = weight.cumsum(-1)
    sums = sums.expand(len(draw), *sums.shape[-2:]).contiguous()
    # the first place whose sum is above what was drawn has a weight above 0
    places = torch.searchsorted(sums, (draw * sums[..., -1:]).contiguous(), right=True)
    return places.clamp(max=weight.shape[-1] - 1)
