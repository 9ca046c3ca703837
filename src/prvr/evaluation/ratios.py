"""Recalls by moment-to-video ratio: how much of its video a query speaks of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prvr.evaluation.metrics import Recalls
from prvr.evaluation.windows import Array

RATIOS = ((0.0, 0.2), (0.2, 0.4), (0.4, 1.0))
"""Shares of a video, (above, up to), as the field groups them."""

_SLACK = 1e-9  # 0.2 of a video is 0.2, however its seconds are rounded


@dataclass(frozen=True, kw_only=True)
class RatioGroup:
    """The queries whose windows cover so much of their video."""

    above: float
    upto: float
    num_queries: int
    recalls: Recalls | None  # None of no query


def by_ratio(ranks: Tensor, share: Array) -> tuple[RatioGroup, ...] | None:
    """ranks (Q,), share (Q,) of the video that is described, NaN = not known -> a group a ratio; None if none is."""
    if not np.isfinite(share).any():
        return None
    groups = []
    for above, upto in RATIOS:
        chosen = (share > (above + _SLACK if above else 0.0)) & (share <= upto + _SLACK)
        found = ranks.cpu()[torch.from_numpy(chosen)]
        recalls = Recalls.of(found) if len(found) else None
        groups.append(RatioGroup(above=above, upto=upto, num_queries=len(found), recalls=recalls))
    return tuple(groups)
