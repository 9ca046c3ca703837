"""The named weighted sum of loss terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, Loss

From = TypeVar("From")  # what the network made of a batch: the method's own `Made`
Seen = TypeVar("Seen")  # what terms read: a NamedTuple of the method's own

Term = Callable[[Seen, Batch[Any], int], Tensor]
"""(seen, batch, epoch) -> a scalar."""


@dataclass(frozen=True, kw_only=True)
class Objective(Generic[From, Seen]):
    """Terms and weights by name; the same names are the columns of a run's log. Fits `Learn`."""

    see: Callable[[From, Batch[Any], int], Seen]  # compares both sides, once for all terms; no weight is read
    terms: Mapping[str, Term[Seen]]
    weights: Mapping[str, float]
    watched: Mapping[str, Term[Seen]] = field(default_factory=dict)  # in the log, and not learned from

    def __post_init__(self) -> None:
        unpaired = sorted(self.terms.keys() ^ self.weights.keys())
        if unpaired:
            raise ConfigError(f"objective: {', '.join(unpaired)} must have both a term and a weight")
        if not self.terms:
            raise ConfigError("objective: there is no term to learn from; give at least one a weight above 0")

    def __call__(self, made: From, batch: Batch[Any], epoch: int) -> Loss:
        """The sum of weight x term, with its gradient, and each term by name, unweighted and without."""
        seen = self.see(made, batch, epoch)
        parts = {name: term(seen, batch, epoch) for name, term in self.terms.items()}
        weights = self.weigh(seen)
        total = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
        with torch.no_grad():
            parts |= {name: watch(seen, batch, epoch) for name, watch in self.watched.items()}
        return Loss(total, {name: part.detach() for name, part in parts.items()})

    def weigh(self, _: Seen) -> Mapping[str, float | Tensor]:
        """The weights of this step, by name: those of the settings, unless a method learns them."""
        return self.weights


def weighted(
    see: Callable[[From, Batch[Any], int], Seen],
    terms: Mapping[str, Term[Seen]],
    loss: object,
    *,
    watched: Mapping[str, Term[Seen]] | None = None,
) -> Objective[From, Seen]:
    """Each term with the weight that `loss` has under its name, 1 where it has none; weights of 0 are left out."""
    weights = {name: float(getattr(loss, name, 1.0)) for name in terms}
    used = {name: weight for name, weight in weights.items() if weight}
    return Objective(see=see, terms={name: terms[name] for name in used}, weights=used, watched=watched or {})
