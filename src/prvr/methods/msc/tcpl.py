"""TCPL: queries keep the relations to each other that the frozen text encoder sees between them.

Relations are distances of pairs and angles of triples (relational knowledge distillation). The teacher gets no
gradient.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.kernels import angles as kernels
from prvr.kernels.switch import twin_of

Over = Literal["pairs", "all"]
"""Whether a mean over Q² entries of a matrix of relations counts its diagonal, which is 0."""


def tcpl_distance(student: Tensor, teacher: Tensor, *, delta: float = 1.0, unit: Over = "pairs") -> Tensor:
    """How far the distance of each pair, in units of the mean distance, is from the teacher's; Huber loss.

    student (Q, D), teacher (Q, E). Returns (Q, Q), not averaged, 0 on the diagonal.
    """
    ours, theirs = relative_distances(student, unit=unit), relative_distances(teacher.detach(), unit=unit)
    return F.huber_loss(ours, theirs, reduction="none", delta=delta)


def relative_distances(x: Tensor, *, unit: Over = "pairs") -> Tensor:
    """Distances divided by their mean, x (Q, D) -> (Q, Q). The mean takes part in the gradient.

    The mean is over all pairs of two, as released, or over all Q² (paper, μ of Eq. 2).
    """
    gram = x @ x.T
    square = gram.diag()
    distance = (square[:, None] + square - 2 * gram).clamp(min=1e-12).sqrt()
    distance = distance.masked_fill(torch.eye(len(x), dtype=torch.bool, device=x.device), 0.0)
    return distance / mean_relation(distance, unit).clamp(min=1e-12)


def mean_relation(relations: Tensor, over: Over) -> Tensor:
    """The mean of a (Q, Q) matrix whose diagonal is 0, over all its entries or over those of two different queries."""
    count = len(relations)
    return relations.sum() / max(count * (count - 1 if over == "pairs" else count), 1)


@twin_of(kernels.angle_losses)
def tcpl_angle(student: Tensor, teacher: Tensor, *, delta: float = 1.0) -> Tensor:
    """How far the cosine of the angle at each query, between any two others, is from the teacher's; Huber loss.

    student (Q, D), teacher (Q, E). Returns (Q,), for each vertex the mean over all Q² ordered pairs of others, where a
    pair that includes the vertex or a point equal to it counts 0.
    """
    ours, theirs = _cosines(student), _cosines(teacher.detach())
    return F.huber_loss(ours, theirs.to(ours.dtype), reduction="none", delta=delta).mean((1, 2))


def _cosines(x: Tensor) -> Tensor:
    """Cosines of the angles of all triples, vertex first: x (Q, D) -> (Q, Q, Q)."""
    apart = x[None] - x[:, None]  # (Q, Q, D)
    length = apart.norm(dim=-1, keepdim=True)
    unit = apart / length.masked_fill(length == 0, torch.inf)
    cosines: Tensor = unit @ unit.mT
    return cosines
