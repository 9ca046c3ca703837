"""Points on hyperboloids: -time² + |space|² = -k. How one comes there from a flat space, and how far apart two are.

CurvSpec has two kinds. Those of its attention blocks have a k of their own, and a point is (time, space). That of its
losses has k = 1, and a point is its space alone, since the time follows. The larger k, the flatter: the sectional
curvature is -1/k, the other way round than the paper's text has it.

Where the authors' formulas have a guard it is here; where they would give NaN there is one of ours, and its docstring
says so.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_FLAT = 1e-9  # least squared length of a tangent that is lifted, and least x² - 1 that a logarithm is taken of
_FARTHEST = 10.0  # length of a tangent from which on a block's points lie no farther
_FARTHEST_POINT = math.asinh(2.0**15)  # the same on the hyperboloid of the losses
_LONGEST = 5.0  # length that a tangent of the losses is cut to
_TINY = 1e-8
_LEAST_SPACE = 1e-6  # of τ² - k
_NO_SPACE = 1e-24  # squared length below which there is no direction


def held(value: Tensor, least: float, most: float) -> Tensor:
    """The value within its bounds, with the gradient that it would have without them; any shape."""
    free = value.detach()
    return value + (free.clamp(least, most) - free)


def inner(a: Tensor, b: Tensor) -> Tensor:
    """⟨a, b⟩ = -a₀b₀ + Σ aᵢbᵢ of points (..., d), row by row -> (...)."""
    products = a * b
    return products[..., 1:].sum(-1) - products[..., 0]


def inner_products(a: Tensor, b: Tensor) -> Tensor:
    """The same of all pairs: a (..., N, d), b (..., M, d) -> (..., N, M)."""
    return torch.cat([-a[..., :1], a[..., 1:]], dim=-1) @ b.mT


def lift(tangent: Tensor, k: Tensor) -> Tensor:
    """Tangents at the origin (..., d) -> points of -k, time first, (..., d + 1).

    As released, by the exponential map of k = 1: k enters the time alone, which is then as it must be. A tangent longer
    than 10 is lifted as one of length 10, and one shorter than 3e-5 by a straight line. (There the authors let 1e-8 of
    the length's gradient pass, which is left out.)
    """
    length = tangent.square().sum(-1, keepdim=True).clamp(min=_FLAT).sqrt()
    space = length.clamp(max=_FARTHEST).sinh() * tangent / length
    return on_hyperboloid(space, k)


def on_hyperboloid(space: Tensor, k: Tensor | float) -> Tensor:
    """space (..., d) -> (time, space), (..., d + 1)."""
    time = (k + space.square().sum(-1, keepdim=True)).sqrt()
    return torch.cat([time, space], dim=-1)


def with_time(point: Tensor, reach: Tensor, k: Tensor) -> Tensor:
    """Any numbers (..., d) -> points of -k: the first says how far off, the others in which direction.

    time τ = sigmoid · exp(reach) + 1.1, the space as long as it must be. Without a guard the authors' is NaN where
    τ² < k, which their bounds of k allow, and where dropout leaves no direction: here τ² - k is 1e-6 at least, and the
    space is zero.
    """
    time = point[..., :1].sigmoid() * reach.exp() + 1.1
    space = point[..., 1:]
    length = space.square().sum(-1, keepdim=True).clamp(min=_NO_SPACE).sqrt()
    wanted = (time.square() - k).clamp(min=_LEAST_SPACE).sqrt()
    return torch.cat([time, space * (wanted / length)], dim=-1)


def midpoint(mean: Tensor) -> Tensor:
    """Weighted means of points (..., d) -> where they meet, on the hyperboloid of k = 1 whatever theirs is."""
    return mean / inner(mean, mean).abs().clamp(min=_TINY).sqrt()[..., None]


def log_origin(point: Tensor) -> Tensor:
    """Points (..., d + 1) -> tangents at the origin, (..., d), by the first coordinate as the time of k = 1.

    The authors divide by √(time² - 1) as it is, which is NaN in float32 at the origin itself; here it is √1e-9 at
    least, of which the quotient is 1.
    """
    time = point[..., :1].clamp(min=1 + _TINY)
    root = (time.square() - 1).clamp(min=_FLAT).sqrt()
    return point[..., 1:] * ((time + root).log() / root)


def shortened(tangent: Tensor) -> Tensor:
    """Tangents (..., d), those longer than 5 cut to that length. A zero one has no gradient, as released."""
    length = torch.linalg.vector_norm(tangent, dim=-1, keepdim=True)
    short: Tensor = tangent * length.clamp(max=_LONGEST) / (length + _TINY)
    return short


def exp_origin(tangent: Tensor) -> Tensor:
    """Tangents at the origin (..., d) -> the space of points of k = 1, (..., d)."""
    length = torch.linalg.vector_norm(tangent, dim=-1, keepdim=True)
    space: Tensor = tangent * length.clamp(_TINY, _FARTHEST_POINT).sinh() / length.clamp(min=_TINY)
    return space


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Of all pairs of points of k = 1, by their space: a (N, d), b (M, d) -> (N, M).

    acosh has no slope at 1. The authors clamp at 1 + 1e-8, which is 1 in float32: two equal points, such as two of a
    projection that died, have a gradient of NaN there. Here it is 1 + 1e-6, so that no distance is below 0.0014.
    """
    ahead = on_hyperboloid(a, 1.0)[:, :1] * on_hyperboloid(b, 1.0)[:, 0] - a @ b.T
    return ahead.clamp(min=1 + max(_TINY, 8 * torch.finfo(ahead.dtype).eps)).acosh()
