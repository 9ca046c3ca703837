"""A recipe put to work: train it, open what was trained, measure it.

A run folder holds `config.json` (recipe, settings, encoder), `model.safetensors` (the best weights),
`last.safetensors` (where to go on), `metrics.jsonl` and `tensorboard/`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from prvr.core.config import fingerprint, from_dict, to_dict
from prvr.core.errors import CheckpointError, ConfigError
from prvr.core.files import write_whole
from prvr.core.types import Encoder, EncoderSpec, RetrievalModel, VideoBatch, VideoFeatures
from prvr.data.dataset import RetrievalSet
from prvr.data.folder import DataFolder
from prvr.encoders.devices import pick_device
from prvr.encoders.loading import load_encoder
from prvr.evaluation.report import Report
from prvr.recipes.measure import measure
from prvr.recipes.recipe import Recipe, load_recipe
from prvr.recipes.zero_shot import zero_shot_recipe
from prvr.training.checkpoint import load_weights
from prvr.training.loop import TrainProgress, TrainResult, train

CONFIG = "config.json"
WEIGHTS = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model that ranks, with what it needs to read a video."""

    recipe: Recipe
    encoder: EncoderSpec
    model: RetrievalModel
    fingerprint: str  # of recipe, settings, encoder and weights
    width: int  # D
    trained: bool = True

    def prepare(self, videos: Sequence[VideoFeatures]) -> VideoBatch:
        """Frozen features -> what the model reads."""
        return self.recipe.prepare(self.recipe.settings, videos)
