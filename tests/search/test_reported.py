"""What a report finds inside the right videos is what people are shown."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prvr.core.facts import Facts
from prvr.data.folder import DataFolder
from prvr.encoders.world import load_world_encoder
from prvr.evaluation.scoring import encode_queries
from prvr.index.base import IndexHeader
from prvr.index.exact import ExactIndex
from prvr.methods.recipe import load_recipe
from prvr.ranker.ranker import bank_of
from prvr.runs.measure import Watched, load_split, queries_of, untrained
from prvr.search.engine import SearchEngine


@pytest.mark.parametrize("target", ["zero_shot.runs:max_over_frames", "msc.runs:world"])
def test_hits_have_the_moments_of_the_report(target: str, world: Path, tmp_path: Path) -> None:
    data, encoder, recipe = DataFolder(world), load_world_encoder(), load_recipe(f"prvr.methods.{target}")
    items = load_split(recipe.prepared, data, "val")
    trained = untrained(recipe, data.spec)
    model, weight = trained.model, trained.model.clip_weight
    with torch.no_grad():
        tokens, spans = model.encode_videos(items.videos), model.token_spans(items.videos)
    header = IndexHeader(encoder=encoder.spec, model="any", width=tokens.frames.shape[2], clip_weight=weight)
    index, durations = ExactIndex(header), {item.video_id: item.duration_s for item in items.items}
    for v, video_id in enumerate(items.video_ids):
        facts = Facts(duration_s=durations[video_id] or 0.0)
        index.add(video_id, bank_of(tokens, spans, v, clip_weight=weight), facts=facts)
    engine = SearchEngine(index, tmp_path, encoder, trained)
    watched = Watched(model, items, encode_queries(model, queries_of(items)))
    assert sum(len(part.frames) for part in watched.tokens("cpu")) == len(items)
    for q, item in enumerate(items.items):
        (hit,) = [hit for hit in engine.search(item.text, k=len(items)) if hit.video_id == item.video_id]
        found = watched.windows.spans[q][watched.windows.valid[q]]
        assert [list(span) for span in hit.moments] == found[: len(hit.moments)].tolist()
        assert len(hit.moments) == min(3, len(found))
