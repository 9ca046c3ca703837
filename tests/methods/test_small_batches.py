"""Every recipe there is, on the least that there can be: one video, one query, one frame, one word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest
import torch
import torch.nn.functional as F

from prvr.core.config import assignments
from prvr.core.types import Query, QueryAtVideo, RetrievalModel, TextFeatures
from prvr.data.dataset import RetrievalSet
from prvr.data.sources import query_table
from prvr.methods.recipe import Recipe, load_recipe, own_recipes
from prvr.reproduce.systems import SYSTEMS
from prvr.runs.measure import About, measured, recalls
from prvr.training.step import make_step
from tests.parts.make import video_features

WIDTH = 8  # of frames and words
SMALL = {"model.hidden": 16, "model.heads": 2, "model.video_width": WIDTH, "model.text_width": WIDTH}


RECIPES = tuple(own_recipes())


def small(target: str) -> Recipe:
    recipe = load_recipe(target)
    if recipe.objective is None:
        return recipe
    return recipe.with_settings([f"{name}={value}" for name, value in SMALL.items()])


def split(recipe: Recipe, frames: Sequence[int], words: Sequence[int], video_of_query: Sequence[int]) -> RetrievalSet:
    """Videos of so many frames and queries of so many words, 2 s a frame."""
    lengths = torch.tensor(words)
    valid = torch.arange(int(lengths.max())) < lengths[:, None]
    texts = TextFeatures(torch.randn(*valid.shape, WIDTH), valid, torch.randn(len(words), WIDTH))
    items = tuple(
        Query(
            query_id=f"v{v}#{q}", video_id=f"v{v}", text="a sentence", windows=((0.0, 1.0),), duration_s=2.0 * frames[v]
        )
        for q, v in enumerate(video_of_query)
    )
    videos = [F.normalize(torch.randn(n, WIDTH), dim=1) for n in frames]
    return RetrievalSet(
        name="made up",
        items=items,
        video_ids=tuple(f"v{v}" for v in range(len(frames))),
        videos=recipe.prepared.make([video_features(x) for x in videos]),
        queries=query_table(texts),
        video_of_query=torch.tensor(video_of_query),
        digest="made up",
        content="",
    )


def test_every_system_of_the_comparison_is_among_them() -> None:
    assert len(RECIPES) > 50
    for system in SYSTEMS:
        assert {system.target.format("tvr"), system.target.format("activitynet")} <= set(RECIPES), system.name


def test_what_is_shown_of_a_recipe_can_be_set() -> None:
    for target in RECIPES:
        recipe = load_recipe(target)
        shown = list(assignments(recipe.settings))
        assert any(line.startswith("model.") for line in shown) or not recipe.objective
        assert recipe.with_settings(shown).settings == recipe.settings, target


@pytest.mark.parametrize("target", [target for target in RECIPES if load_recipe(target).objective])
def test_training_steps_of_next_to_nothing(target: str) -> None:
    """Before hard negatives, matching and the like begin, and after; by the whole step, and by the one cut in two."""
    recipe = small(target)
    model = recipe.build().train()
    assert recipe.objective is not None
    assert recipe.optimizer is not None
    objective, optimizer = recipe.objective(recipe.settings), recipe.optimizer(recipe.settings, model, 1)
    whole = make_step(model, objective)
    cut = make_step(model, objective, precision="tf32")
    for what, step, epoch in (
        (([9], [3], [0]), whole, 0),  # frames of each video, words of each query, video of each query
        (([9], [3], [0]), whole, 60),
        (([1], [1], [0]), cut, 60),
        (([9], [3, 1, 4], [0, 0, 0]), whole, 60),
        (([9, 1], [3, 1], [0, 1]), cut, 60),
    ):
        (batch,) = split(recipe, *what).batches(8, seed=0, epoch=0)
        optimizer.zero_grad()
        loss, parts = step(batch, epoch, 0)
        assert loss.isfinite(), (what, parts)
        assert all(part.isfinite().all() for part in parts.values()), (what, parts)
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None), what
        optimizer.step()
        assert all(p.isfinite().all() for p in model.parameters()), what


@pytest.mark.parametrize("target", RECIPES)
def test_a_library_of_one_video_and_one_query(target: str) -> None:
    recipe = small(target)
    model = recipe.build().eval()
    ranker = cast(RetrievalModel, model)
    for frames in (9, 1):
        items = split(recipe, [frames], [1], [0])
        found = measured(ranker, items, About(split="test"), device="cpu", resamples=10)
        assert found.report.fused.sum_r == 400, "the only video is the right one"
        assert found.report.moments is not None
        assert recalls(ranker, items, device="cpu")["R@1"] == 100
    if isinstance(model, QueryAtVideo):
        batch = items.select(torch.tensor([0]))
        scores = model.scores(ranker.encode_queries(batch.queries), ranker.encode_videos(batch.videos))
        assert (scores.clip.shape, scores.frame.shape) == ((1, 1), (1, 1))
