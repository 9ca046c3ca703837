"""What a video is searched by, for every system that an index can serve."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prvr.data.folder import DataFolder
from prvr.evaluation.scoring import score_library
from prvr.index.exact import ExactIndex
from prvr.methods.recipe import load_recipe
from prvr.ranker.ranker import open_run
from prvr.runs.measure import load_split, queries_of, untrained, videos_of
from prvr.runs.train import train_run
from tests.index.make import header
from tests.methods.names import named

SYSTEMS = ("msc", "gmmformer", "gmmformer_v2", "curvspec", "dldkd", "protoprvr_style", "arl_style")


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_vector_is_of_unit_length_and_of_some_seconds(system: str, world: Path) -> None:
    data = DataFolder(world)
    trained = untrained(load_recipe(named(f"{system}:world")), data.spec)
    entries = data.store.entries()[:3]
    made = trained.banks([data.store.read(entry.video_id) for entry in entries])
    for bank, entry in zip(made, entries, strict=True):
        assert bank.tokens.shape == (len(bank.spans), trained.width)
        torch.testing.assert_close(bank.tokens.norm(dim=1), torch.ones(len(bank.tokens)))
        start, end = bank.spans.unbind(1)
        assert ((start >= 0) & (start < end) & (end <= entry.duration_s + 1e-3)).all()
        weight = trained.model.clip_weight
        assert (bank.num_frames > 0) == (weight < 1)
        assert (len(bank.tokens) > bank.num_frames) == (weight > 0)


def test_a_trained_run_of_curvspec_is_searched_as_it_is_measured(world: Path, tmp_path: Path) -> None:
    """An index of plain vectors gives the scores that the evaluation ranks by: nothing hyperbolic is left in them."""
    small = ["model.hidden=16", "model.heads=2", "model.tangent_width=7", "train.epochs=1", "batch_videos=4"]
    data, recipe = DataFolder(world), load_recipe(named("curvspec:world")).with_settings(small)
    train_run(recipe, data, tmp_path / "run", device="cpu")
    trained = open_run(tmp_path / "run")
    items = load_split(trained.prepared, data, "test")
    index = ExactIndex(header(width=trained.width, clip_weight=trained.model.clip_weight))
    for video_id, bank in zip(
        items.video_ids, trained.banks([data.store.read(v) for v in items.video_ids]), strict=True
    ):
        index.add(video_id, bank)
    with torch.inference_mode():
        scores = score_library(trained.model, videos_of(items), queries_of(items)).fused(trained.model.clip_weight)
        asked = [trained.model.encode_queries(some) for some in queries_of(items)]
    ids, found = index.score_all(torch.cat(asked))
    assert ids == list(items.video_ids)
    torch.testing.assert_close(found, scores, atol=1e-5, rtol=1e-5)
    best = index.search(torch.cat(asked)[0], k=1)[0].video_id
    assert best == ids[int(scores[0].argmax())]
