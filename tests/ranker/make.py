"""Folders of runs as training leaves them, without the training: small networks with weights that matter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.core.types import FeatureSpec, QueryBatch, VideoFeatures
from prvr.core.weights import WEIGHTS, save_weights
from prvr.evaluation.scoring import score_library
from prvr.methods.recipe import Recipe, load_recipe
from prvr.ranker.ranker import CONFIG, SEAL, Ranker
from prvr.runs.measure import untrained
from prvr.runs.train import describe, described
from tests.methods.family import roused
from tests.methods.names import named

SPEC = FeatureSpec(name="a pack", revision="1", video_width=10, text_width=6)
SMALL = ["model.video_width=10", "model.text_width=6", "model.hidden=16", "model.heads=2"]
SAID = {"recipe": "of these weights", "epoch": "3"}  # beside the weights


def small(name: str) -> Recipe:
    return load_recipe(named(name)).with_settings(SMALL)


def write_run(folder: Path, name: str = "msc:world") -> Ranker:
    """A run of a recipe -> the ranker as it was before it was saved."""
    recipe = small(name)
    ranker = untrained(recipe, SPEC)
    model = roused(cast(nn.Module, ranker.model))
    describe(folder, described(recipe, SPEC, selected_on="val", selected_by="abc"))
    save_weights(folder / WEIGHTS, model.state_dict(), SAID)
    return ranker


def config_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / CONFIG).read_text())
    found.pop(SEAL, None)
    return found


def change(folder: Path, **values: object) -> None:
    """Other values in a run's config, as somebody writes them who takes the seal off; None takes one out."""
    config = config_of(folder) | values
    (folder / CONFIG).write_text(json.dumps({name: value for name, value in config.items() if value is not None}))


def make_old(folder: Path, recipe: str) -> None:
    """A run's config as it was written while a run named its recipe alone."""
    change(folder, recipe=recipe, format=None, method=None, title=None)
    assert list(config_of(folder)) == ["recipe", "settings", "features", "selected_on", "selected_by"]


def scores(ranker: Ranker) -> Tensor:
    """Of 7 queries against 5 videos, those of branches as the model weighs them -> (7, 5)."""
    draw = torch.Generator().manual_seed(3)
    videos = [
        VideoFeatures(torch.randn(n, 10, generator=draw), torch.arange(n) * 0.5, n * 0.5) for n in (150, 30, 7, 128, 2)
    ]
    words = F.normalize(torch.randn(7, 4, 6, generator=draw), dim=2)
    asked = QueryBatch(words=words, valid=torch.ones(7, 4, dtype=torch.bool), sentence=words[:, 0])
    found = score_library(ranker.model, [ranker.prepared.make([video]) for video in videos], [asked])
    return found.fused(ranker.model.clip_weight)
