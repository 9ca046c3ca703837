"""InfoNCE over pairs: row j and column j of a square matrix are two views of one query (MS-SL's frame branch)."""

from __future__ import annotations

import torch
from torch import Tensor


def pair_nce(scores: Tensor) -> Tensor:
    """Each diagonal entry against the row and the column that cross in it, in one sum.

    scores (Q, Q). Returns (Q,), not averaged. The right pair stands in row and in column and so counts twice, as
    released.
    """
    return torch.logaddexp(scores.logsumexp(1), scores.logsumexp(0)) - scores.diagonal()
