"""Two videos end to end: the start of one place after place, then the other, each squeezed into its share."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Spliced(NamedTuple):
    """P sequences, each of two."""

    tokens: Tensor  # (P, N, E) unit length, zero behind the end
    valid: Tensor  # (P, N) bool
    cut: Tensor  # (P,) int64, where the second begins: 1 at least, and before the end


def splice(tokens: Tensor, valid: Tensor, first: Tensor, second: Tensor, share: Tensor) -> Spliced:
    """Sequences `first` and `second` in one as long as the longer of the two, of which `share` belongs to the first.

    tokens (V, N, E), valid (V, N), padding behind, first and second (P,) int64 rows, share (P,) from 0 to 1. A place is
    the mean of the tokens that fall to it; tokens repeat where there are fewer of them than places.
    """
    counts = valid.sum(1)
    ours, theirs = counts[first], counts[second]
    length = torch.maximum(ours, theirs).clamp(min=2)
    cut = torch.minimum((length * share).round().long().clamp(min=1), length - 1)
    most = max(valid.shape[1], 2)
    place = torch.arange(most, device=valid.device).expand(len(first), most)
    early = place < cut[:, None]  # (P, N)
    step = place.where(early, place - cut[:, None])
    places = torch.where(early, cut[:, None], (length - cut)[:, None])
    number = torch.where(early, ours[:, None], theirs[:, None])
    table = _means(step * number // places, (step + 1) * number // places, valid.shape[1]).to(tokens)
    rows = (table * early[..., None]) @ tokens[first] + (table * ~early[..., None]) @ tokens[second]
    there = place < length[:, None]
    return Spliced(F.normalize(rows, dim=-1) * there[..., None], there, cut)


def _means(start: Tensor, end: Tensor, number: int) -> Tensor:
    """What each place takes of each token, from its first to before its last: (P, N) each -> (P, N, number)."""
    token = torch.arange(number, device=start.device)
    inside = (start[..., None] <= token) & (token < torch.maximum(end, start + 1)[..., None])
    return inside / inside.sum(-1, keepdim=True).clamp(min=1)
