"""Stretches of any length as candidates for a moment: every run of neighbouring clips, averaged (MS-SL, BGM-Net).

An average of clips has an average of products, so that P = C (C + 1) / 2 proposals cost C products a query and not P.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_AT_A_TIME = 1 << 22  # products of queries and proposals: 16 MiB


def window_bounds(num_clips: int) -> Tensor:
    """First and last clip of every window, the shortest first -> (P, 2) int64."""
    bounds = torch.triu_indices(num_clips, num_clips)  # rows first, so by first clip and then by last
    first, last = bounds[:, (bounds[1] - bounds[0]).argsort(stable=True)]
    return torch.stack([first, last], dim=1)


def window_table(num_clips: int, like: Tensor) -> Tensor:
    """What each window takes of each clip -> (P, C), rows that sum to 1, of the type and on the device of `like`."""
    first, last = window_bounds(num_clips)[..., None].unbind(1)  # (P, 1) each
    clip = torch.arange(num_clips)
    inside = (first <= clip) & (clip <= last)
    return (inside / inside.sum(1, keepdim=True)).to(like)


def window_valid(clip_valid: Tensor) -> Tensor:
    """Windows whose clips are all there: (V, C) -> (V, P)."""
    table = window_table(clip_valid.shape[1], torch.empty(0, device=clip_valid.device))
    return ~((~clip_valid).to(table) @ table.T).bool()


def window_spans(clip_spans: Tensor) -> Tensor:
    """(V, C, 2) -> (V, P, 2) seconds, from the first clip's start to the last one's end."""
    first, last = window_bounds(clip_spans.shape[1]).to(clip_spans.device).unbind(1)
    return torch.stack([clip_spans[:, first, 0], clip_spans[:, last, 1]], dim=-1)


class ProposalScores(NamedTuple):
    """Each query's best proposal in each video."""

    cosine: Tensor  # (Q, V) the highest cosine
    dot: Tensor  # (Q, V) the highest dot product, maybe of another proposal
    winner: Tensor  # (Q, V) int64, which proposal has the highest cosine


def proposal_scores(query: Tensor, clips: Tensor, clip_valid: Tensor) -> ProposalScores:
    """query (Q, D), clips (V, C, D), clip_valid (V, C), of any length -> the best of P proposals, never made.

    No more than 16 MiB of products with proposals, or those of one query, are held at a time, and none for the backward
    pass.
    """
    table, valid = window_table(clips.shape[1], clips), window_valid(clip_valid)
    products = torch.einsum("qd,vcd->qvc", query, clips)
    # |Σ a c|² = aᵀ (c cᵀ) a, for all proposals of a video
    length = ((table @ (clips @ clips.mT)) * table).sum(-1).clamp(min=1e-24).sqrt()  # (V, P)
    by_cosine, by_dot = _winners(products.detach(), table, length.detach(), valid)
    chosen = length.gather(1, by_cosine.T).T  # (Q, V)
    cosine = _pooled(products, table, by_cosine) / (chosen * query.norm(dim=-1).clamp(min=1e-12)[:, None])
    return ProposalScores(cosine, _pooled(products, table, by_dot), by_cosine)


def guided_means(guide: Tensor, keys: Tensor, values: Tensor, valid: Tensor) -> Tensor:
    """Means of values weighted by softmax(guide · key), not divided by √D (MS-SL).

    guide (V, G, D), keys and values (V, T, D), valid (V, T) -> (V, G, D).
    """
    logits = (guide @ keys.mT).masked_fill(~valid[:, None], -torch.inf)
    return logits.softmax(-1) @ values


def key_scores(
    query: Tensor, proposals: Tensor, guided: Tensor, valid: Tensor, num_clips: int
) -> tuple[Tensor, Tensor]:
    """Cosine with the best proposal, and with what that proposal guides to.

    query (Q, D), proposals and guided (V, P, D), of which the first `num_clips` proposals are the clips themselves,
    valid (V, P) -> (Q, V) each, some queries at a time.
    """
    unit, length = F.normalize(guided, dim=-1), proposals.norm(dim=-1).clamp(min=1e-12)
    clips = proposals[:, :num_clips].flatten(0, 1)
    # of products with clips at once the cosines with proposals, and -inf where there is none
    shares = (window_table(num_clips, proposals) / length[..., None]).mT  # (V, C, P)
    bias = torch.zeros_like(length).masked_fill(~valid, -torch.inf)[:, None]
    place = torch.arange(len(proposals), device=query.device)[:, None]
    best, led = [], []
    for part in torch.split(F.normalize(query, dim=-1), max(1, _AT_A_TIME // max(1, valid.numel()))):
        products = (part @ clips.T).view(len(part), -1, num_clips).transpose(0, 1)  # (V, q, C)
        highest, winner = torch.baddbmm(bias, products, shares).max(-1)  # (V, q)
        best.append(highest.T)
        led.append(torch.einsum("qd,vqd->qv", part, unit[place, winner]))
    return torch.cat(best), torch.cat(led)


def _pooled(products: Tensor, table: Tensor, winner: Tensor) -> Tensor:
    return (table[winner] * products).sum(-1)


def _winners(products: Tensor, table: Tensor, length: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """products (Q, V, C), table (P, C), length and valid (V, P) -> best by cosine and by dot product, (Q, V) each."""
    step = max(1, _AT_A_TIME // max(1, valid.numel()))
    found: list[tuple[Tensor, Tensor]] = []
    for part in torch.split(products, step):
        dots = (part @ table.T).masked_fill_(~valid, -torch.inf)  # (q, V, P)
        by_dot = dots.argmax(-1)
        found.append((dots.div_(length).argmax(-1), by_dot))
    by_cosine, by_product = zip(*found, strict=True)
    return torch.cat(by_cosine), torch.cat(by_product)
