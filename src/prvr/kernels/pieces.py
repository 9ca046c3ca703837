"""Going through many videos some at a time, so that nothing is made that is larger than a processor's cache.

The readable twins go through the same pieces: what is drawn at random depends on them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def piecewise(x: Tensor) -> bool:
    """Whether to go through x piece by piece: on a CPU pieces stay in its cache; a GPU and a compiler want it whole."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def by_pieces(
    function: Callable[..., Tensor],
    x: Tensor,
    *more: Tensor | None,
    rows: int,
    dim: int = 0,
    everywhere: bool = False,
) -> Tensor:
    """`function(x, *more)`, so many videos at a time that they have `rows` tokens, put together along `dim`.

    x (V, N, ...), each of `more` (V, ...) or None. Whole where `piecewise` says so, unless it is wanted `everywhere`.
    """
    step = rows // x.shape[1] if everywhere or piecewise(x) else len(x)
    if step >= len(x):
        return function(x, *more)
    pieces = torch.split(x, max(step, 1))
    others = [[None] * len(pieces) if y is None else torch.split(y, max(step, 1)) for y in more]
    return torch.cat([function(*piece) for piece in zip(pieces, *others, strict=True)], dim)
