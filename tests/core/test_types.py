from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from prvr.core.config import from_dict, to_dict
from prvr.core.types import Batch, BranchScores, FeatureSpec, Hit, QueryBatch
from tests.features.make import ColourEncoder


def test_fused_scores_by_hand_and_a_branch_of_no_weight_is_not_looked_at() -> None:
    scores = BranchScores(frame=torch.tensor([[1.0, 0.5]]), clip=torch.tensor([[0.0, 1.0]]))
    torch.testing.assert_close(scores.fused(0.4), torch.tensor([[0.6, 0.7]]))
    absent = scores._replace(clip=torch.full((1, 2), -torch.inf))
    torch.testing.assert_close(absent.fused(0.0), scores.frame)
    torch.testing.assert_close(scores._replace(frame=absent.clip).fused(1.0), scores.clip)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"name": "renamed", "source": "elsewhere"}, True),
        ({"revision": "2" * 12}, False),
        ({"image_size": (9, 9)}, False),
        ({"mean": (0.5, 0, 0)}, False),
        ({"crop": True}, False),
    ],
)
def test_encoders_are_the_same_by_weights_and_pictures(change: dict[str, object], same: bool) -> None:
    spec = ColourEncoder().spec
    assert spec.same_as(replace(spec, **change)) is same  # type: ignore[arg-type]


def test_a_batch_moves_with_all_its_parts() -> None:
    queries = QueryBatch(
        words=torch.zeros(2, 3, 4), valid=torch.ones(2, 3, dtype=torch.bool), sentence=torch.zeros(2, 4)
    )
    moved = queries.to("meta")
    assert {name: value.device.type for name, value in vars(moved).items()} == dict.fromkeys(vars(queries), "meta")
    assert Batch.to is QueryBatch.to


def test_what_is_said_of_features_is_no_part_of_their_identity_and_old_files_open() -> None:
    old = {"name": "a pack", "revision": "1", "video_width": 4, "text_width": 4, "simulated": False, "encoder": None}
    before = from_dict(FeatureSpec, old)
    assert (before.shared_space, before.sentence_vector, before.teacher, before.comparable) == (None, None, None, True)
    now = replace(before, shared_space=False, sentence_vector=False, teacher=before)
    assert now.same_as(before)
    assert not now.comparable
    assert not replace(before, text_width=5).comparable
    assert not replace(now, revision="2").same_as(before)
    assert from_dict(FeatureSpec, to_dict(now)) == now
    assert {name: value for name, value in to_dict(now).items() if name not in now.REMARKS} == old
    made = FeatureSpec.of_encoder(ColourEncoder().spec)
    assert (made.shared_space, made.sentence_vector) == (True, True)


def test_start_and_end_are_those_of_the_best_moment() -> None:
    hit = Hit(video_id="v", score=1.0, moments=((7.0, 9.0), (1.0, 2.0)), duration_s=10.0)
    assert (hit.start, hit.end) == (7.0, 9.0)


def test_a_hit_as_json_has_all_that_it_says() -> None:
    hit = Hit(
        video_id="v",
        score=0.12345678,
        moments=((1.23456, 2.0), (5.0, 6.0)),
        duration_s=10.00004,
        path=Path("a") / "v.mp4",
        p_topic=0.25,
        relevance=(0.123456,),
        steps=((1.23456, 1.5), (1.5, 2.0)),
    )
    told = hit.as_dict()
    assert told.keys() == {field.name for field in fields(hit)} | {"start", "end", "state"}
    assert json.loads(json.dumps(told)) == {
        "video_id": "v",
        "path": str(Path("a") / "v.mp4"),
        "state": "missing",
        "score": 0.123457,
        "duration_s": 10.0,
        "channel": "seen",
        "quote": "",
        "confidence": "not calibrated",
        "p_topic": 0.25,
        "p_instance": None,
        "same_as": None,
        "start": 1.235,
        "end": 2.0,
        "moments": [[1.235, 2.0], [5.0, 6.0]],
        "steps": [[1.235, 1.5], [1.5, 2.0]],
        "relevance": [0.1235],
    }
    assert (hit.video, replace(hit, path=None).video) == (str(Path("a") / "v.mp4"), "v")
    assert replace(hit, path=None).as_dict()["path"] is None
