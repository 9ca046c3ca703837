"""MSC with one more term in its loss: in this folder, `prvr train new_loss:world --data ../demo`.

The term is a function of what the network made, the batch and the epoch. It returns one number; its name becomes a
column of the run's metrics.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from prvr.core.types import Batch
from prvr.methods.msc import loss, runs
from prvr.methods.recipe import Recipe
from prvr.parts.objective import Objective

MARGIN = 0.1  # cosine


def stand_out(seen: loss.MSCSeen, batch: Batch[Any], epoch: int) -> torch.Tensor:
    """How far a query's own video falls short of `MARGIN` above the best other one, by clips; mean over Q queries."""
    scores, video = seen.cosine.clip, batch.video_of_query[:, None]  # (Q, V), (Q, 1)
    own = scores.gather(1, video)[:, 0]  # (Q,)
    other = scores.scatter(1, video, -torch.inf).amax(1)  # (Q,)
    return (MARGIN - own + other).clamp_min(0).mean()


def objective(settings: loss.MSCSettings) -> Objective[Any, loss.MSCSeen]:
    """Everything MSC has, and the new term."""
    own = loss.objective(settings)
    return replace(own, terms={**own.terms, "stand_out": stand_out}, weights={**own.weights, "stand_out": 0.2})


def world() -> Recipe:
    """MSC on the generated world, with the new term."""
    return replace(runs.world(), target="new_loss:world", title="MSC + stand out", objective=objective)
