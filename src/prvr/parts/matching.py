"""Queries of one video belong to different clips: the best one-to-one assignment is found, its pairs pulled close."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.errors import ConfigError


def optimal_matching(query: Tensor, clips: Tensor, clip_valid: Tensor, video_of_query: Tensor) -> tuple[Tensor, Tensor]:
    """How far each query is from the clip that it is assigned to, of those videos that have several queries.

    query (Q, D), clips (V, C, D), clip_valid (V, C), video_of_query (Q,). Returns 1 - cosine, (Q,), 0 where there is no
    assigned clip, and which queries have one, (Q,) bool. The assignment carries no gradient.
    """
    rows = torch.arange(len(query), device=query.device)
    cosine = torch.einsum("qd,qcd->qc", F.normalize(query, dim=-1), F.normalize(clips, dim=-1)[video_of_query])
    place = place_in_video(video_of_query)  # (Q,)
    count = torch.bincount(video_of_query, minlength=len(clips))
    table = cosine.new_zeros(len(clips), int(count.max()) if len(query) else 0, clips.shape[1])
    table[video_of_query, place] = cosine.detach()
    there = torch.arange(table.shape[1], device=query.device) < count[:, None]
    chosen = assign(-table, there & (count > 1)[:, None], clip_valid)[video_of_query, place]  # (Q,)
    matched = chosen >= 0
    return (1 - cosine[rows, chosen.clamp(min=0)]).masked_fill(~matched, 0.0), matched


def place_in_video(video_of_query: Tensor) -> Tensor:
    """How many queries of the same video come before each: (Q,) -> (Q,)."""
    order = video_of_query.argsort(stable=True)
    ordered = video_of_query[order]
    first = torch.searchsorted(ordered, ordered)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device) - first
    return place


def assign(cost: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The cheapest one-to-one assignment of each problem, by SciPy on the CPU.

    cost (V, R, C), rows (V, R) and columns (V, C) say which are there -> (V, R) int64, the column of each row, -1 for
    a row that is not there or, where rows outnumber columns, that is better left out. Raises ConfigError without SciPy.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise ConfigError(
            "assigning queries to clips needs SciPy; install it with: pip install 'prvr[matching]'"
        ) from error
    costs = np.nan_to_num(cost.detach().double().cpu().numpy())  # of a run that diverged: its loss says so
    chosen = np.full(rows.shape, -1)
    for own, part, there, usable in zip(chosen, costs, rows.cpu().numpy(), columns.cpu().numpy(), strict=True):
        who, where = np.flatnonzero(there), np.flatnonzero(usable)
        row, column = linear_sum_assignment(part[np.ix_(who, where)])
        own[who[row]] = where[column]
    return torch.from_numpy(chosen).to(cost.device)
