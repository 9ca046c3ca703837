"""The named weighted sum of loss terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, Outputs

Term = Callable[[Outputs, Batch, int], Tensor]
"""(outputs, batch, epoch) -> a scalar."""


@dataclass(frozen=True)
class Objective:
    """Terms and weights by name; the same names are the columns of a run's log."""

    terms: Mapping[str, Term]
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        unpaired = sorted(self.terms.keys() ^ self.weights.keys())
        if unpaired:
            raise ConfigError(f"objective: {', '.join(unpaired)} must have both a term and a weight")
        if not self.terms:
            raise ConfigError("objective: there is no term to learn from; give at least one a weight above 0")

    def __call__(self, outputs: Outputs, batch: Batch, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        """-> the sum of weight x term, with its gradient, and each term by name, unweighted and without."""
        parts = {name: term(outputs, batch, epoch) for name, term in self.terms.items()}
        total = torch.stack([self.weights[name] * part for name, part in parts.items()]).sum()
        return total, {name: part.detach() for name, part in parts.items()}
