"""Many tokens -> one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AttentionPooling(nn.Module):
    """A learned vector says how much each token counts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, tokens: Tensor, valid: Tensor) -> Tensor:
        """tokens (Q, W, D), valid (Q, W) -> (Q, D)."""
        return weighted_mean(tokens, self.score(tokens).squeeze(-1), valid)


def weighted_mean(tokens: Tensor, logits: Tensor, valid: Tensor) -> Tensor:
    """tokens (Q, W, D), logits (Q, W), valid (Q, W) -> (Q, D), weights softmax(logits) over the valid."""
    weights = logits.masked_fill(~valid, -torch.inf).softmax(-1)
    return torch.einsum("qw,qwd->qd", weights, tokens)
