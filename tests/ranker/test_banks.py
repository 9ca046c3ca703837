"""What a video is searched by, for every system that an index can serve."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prvr.data.folder import DataFolder
from prvr.methods.recipe import load_recipe
from prvr.runs.measure import untrained
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
