"""Queries of one video belong to different clips: the best one-to-one assignment is found, its pairs pulled close."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]


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
    """The cheapest one-to-one assignment of each problem, all problems side by side (Hungarian method, on the CPU).

    cost (V, R, C), rows (V, R) and columns (V, C) say which are there -> (V, R) int64, the column of each row, -1 for
    a row that is not there or, where rows outnumber columns, that is better left out.
    """
    costs = cost.detach().double().cpu().numpy()
    present, usable = rows.cpu().numpy(), columns.cpu().numpy()
    num_problems, num_rows, num_columns = costs.shape
    if not costs.size or not present.any():
        return torch.full(rows.shape, -1, device=cost.device)
    # a place that costs more than any assignment, for every row that finds no other
    spread = np.abs(costs[:, :, usable.any(0)]).max(initial=0.0) + 1.0
    costs = np.where(usable[:, None], costs, 4 * spread * (num_rows + 1))
    out = np.full((num_problems, num_rows, num_rows), 2 * spread * (num_rows + 1))
    owner = _augment(np.concatenate([costs, out], axis=2), present)[:, :num_columns]
    chosen = np.full((num_problems, num_rows + 1), -1)
    problem, column = np.nonzero(owner >= 0)
    chosen[problem, owner[problem, column]] = column
    return torch.from_numpy(chosen[:, :num_rows]).to(cost.device)


def _augment(cost: Numbers, rows: NDArray[np.bool_]) -> Places:
    """Shortest augmenting paths, a row of every problem at a time: cost (V, R, C) with R <= C -> (V, C), its row or -1.

    Column C stands for the row that looks for a place. `u` and `v` are the dual prices of rows and columns.
    """
    number, num_rows, num_columns = cost.shape
    problems = np.arange(number)
    u, v = np.zeros((number, num_rows + 1)), np.zeros((number, num_columns + 1))
    owner = np.full((number, num_columns + 1), -1)
    for row in range(num_rows):
        active = rows[:, row].copy()  # problems whose path is still growing
        owner[:, -1] = np.where(active, row, -1)
        at = np.full(number, num_columns)  # the column that the path has reached
        least = np.full((number, num_columns), np.inf)  # reduced cost of the cheapest path to each column
        came_from = np.full((number, num_columns), num_columns)
        used = np.zeros((number, num_columns + 1), dtype=bool)
        while active.any():
            some = problems[active]
            used[some, at[some]] = True
            here = owner[some, at[some]]
            reduced = cost[some, here] - u[some, here, None] - v[some, :-1]
            open_ = ~used[some, :-1]
            better = open_ & (reduced < least[some])
            least[some] = np.where(better, reduced, least[some])
            came_from[some] = np.where(better, at[some, None], came_from[some])
            reachable = np.where(open_, least[some], np.inf)
            nearest = reachable.argmin(1)
            step = reachable[np.arange(len(some)), nearest, None]
            _move_prices(u, v, owner, used, some, step)
            least[some] = np.where(open_, least[some] - step, least[some])
            at[some] = nearest
            active[some] = owner[some, nearest] >= 0
        _flip(owner, came_from, at, rows[:, row])
    return owner[:, :-1]


def _move_prices(u: Numbers, v: Numbers, owner: Places, used: NDArray[np.bool_], some: Places, step: Numbers) -> None:
    """Prices along the path so far, so that reduced costs stay non-negative; in place."""
    inside = used[some]
    problem, column = np.nonzero(inside)
    u[some[problem], owner[some[problem], column]] += step[problem, 0]
    v[some] -= step * inside


def _flip(owner: Places, came_from: Places, at: Places, active: NDArray[np.bool_]) -> None:
    """Everyone on the path moves one column on; in place."""
    start = owner.shape[1] - 1
    some = np.flatnonzero(active & (at != start))
    while len(some):
        before = came_from[some, at[some]]
        owner[some, at[some]] = owner[some, before]
        at[some] = before
        some = some[before != start]
