"""A run that is asked what its videos do not show."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from prvr.cli import main
from prvr.core.errors import DataError
from prvr.data.folder import DataFolder
from prvr.data.world import true_similarity
from prvr.ranker.ranker import zero_shot
from prvr.runs.absent import asked, evaluate_absent, other_videos
from prvr.runs.measure import evaluate_run, load_split


def test_scores_are_those_of_the_pairs_that_it_says(world: Path) -> None:
    """The bare encoder, whose score anyone can work out: the best cosine of a frame."""
    data = DataFolder(world)
    ranker = zero_shot(data.store.header.encoder)
    items = load_split(ranker.prepared, data, "train")
    found, others = asked(ranker, items, device="cpu"), other_videos(items)
    alike = np.asarray(true_similarity(items.items))
    scores = []
    for q, query in enumerate(items.items):
        said = {items.items[p].video_id for p in np.flatnonzero(alike[q] >= 1 - 1e-6)}
        assert {items.video_ids[v] for v in others[q].nonzero()[:, 0]} == set(items.video_ids) - said - {query.video_id}
        frames = [data.store.read(video_id).features for video_id in items.video_ids]
        scores.append([float(torch.cosine_similarity(x, items.queries.sentence[q][None]).max()) for x in frames])
    table, own = np.array(scores), items.video_of_query.numpy()
    rows = np.arange(len(own))
    np.testing.assert_allclose(found.present, table[rows, own], atol=1e-5)
    assert all(np.abs(table[q][others[q].numpy()] - score).min() < 1e-5 for q, score in enumerate(found.absent))
    np.testing.assert_allclose(found.library[0], table.max(1), atol=1e-5)
    table[rows, own] = -2
    np.testing.assert_allclose(found.library[1], table.max(1), atol=1e-5)
    first = evaluate_run(ranker, data, "train").report.moments
    assert first is not None
    assert found.truth.valid.sum() == first.num_queries


def test_it_is_a_verb_and_says_where_the_threshold_comes_from(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(mine / "annotations" / "train.jsonl", mine / "annotations" / "val.jsonl")  # its own has one video
    words = ["evaluate", "zero-shot", "--data", str(mine), "--absent", "--device", "cpu"]
    assert main([*words, "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    data = DataFolder(mine)
    assert found == evaluate_absent(zero_shot(data.store.header.encoder), data, "test", device="cpu").to_dict()
    assert found["chosen_on"] == "val"
    assert found["num_absent"] == found["num_one"] + found["num_several"] == len(data.queries("test"))
    assert "best for rejection on val" in printed.err
    assert main([*words, "--split", "val"]) == 0
    assert "on val, the very split that is measured" in capsys.readouterr().err
    assert main([*words, "--intervals"]) == 1
    assert "--intervals: does not go with --absent" in capsys.readouterr().err


def test_without_moments_it_says_what_is_missing(world: Path) -> None:
    data = DataFolder(world)
    ranker = zero_shot(data.store.header.encoder)
    items = load_split(ranker.prepared, data, "train")
    blank = replace(items, items=tuple(replace(item, windows=()) for item in items.items))
    with pytest.raises(DataError, match="train: no query has annotated moments and another video"):
        asked(ranker, blank, device="cpu")
