"""MSC (NeurIPS 2025) and its ablation rows, on the generated world.

The paper's four benchmarks follow the same pattern with the published settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from torch import Tensor, nn
from torch.optim import Optimizer

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, EncoderSpec, Outputs, VideoBatch, VideoFeatures
from prvr.models.msc import MSC, MSCConfig
from prvr.nn.prepare import PrepareConfig, cat_videos, prepare_video
from prvr.objectives.objective import Objective
from prvr.recipes.recipe import Recipe
from prvr.training.bert_adam import BertAdam, decay_groups
from prvr.training.loop import TrainConfig


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the terms (sheet: MSC total loss) and the settings that they read. A weight of 0 leaves a term out."""

    nce_clip: float = 0.02
    nce_frame: float = 0.04
    margin: float = 0.2  # of the triplet terms, in cosine
    hard_from_epoch: int = 20  # random negatives before, hard ones from here on
    hard_pool: int = 20  # hardest videos among which a query's negative is drawn
    tcpl_distance: float = 15.0  # λ_E
    tcpl_angle: float = 30.0  # λ_A
    cbva: float = 0.1  # λ_CBVA

    def __post_init__(self) -> None:
        for name in ("nce_clip", "nce_frame", "tcpl_distance", "tcpl_angle", "cbva", "margin"):
            if getattr(self, name) < 0:
                raise ConfigError(f"loss.{name}={getattr(self, name)}: must not be negative")


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """BertAdam, as the authors use it."""

    lr: float = 2.5e-4
    warmup: float = 0.01  # share of all steps
    schedule_epochs: int = 100  # the rate falls to 0 over so many epochs
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ConfigError(f"optim.lr={self.lr}: must be positive")


@dataclass(frozen=True, kw_only=True)
class MSCSettings:
    """All of a run."""

    model: MSCConfig
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    batch_videos: int = 128
