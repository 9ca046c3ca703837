from __future__ import annotations

import pytest
import torch

from prvr.core.errors import FeatureError
from prvr.core.types import RetrievalModel
from prvr.methods.zero_shot.network import Nothing, ZeroShot, prepare_raw
from prvr.parts.scoring import cosine_scores
from tests.methods.make import query_batch
from tests.parts.make import video_features


def test_the_best_frame_decides() -> None:
    model: RetrievalModel = ZeroShot()
    features = [torch.randn(3, 6), torch.randn(8, 6)]
    videos = prepare_raw([video_features(one, rate=2.0) for one in features], Nothing())
    queries = query_batch(5)
    scores = cosine_scores(model.encode_queries(queries), model.encode_videos(videos)).fused(model.clip_weight)
    for q in range(5):
        for v in range(2):
            want = torch.cosine_similarity(queries.sentence[q], features[v], dim=-1).max()
            torch.testing.assert_close(scores[q, v], want, atol=1e-4, rtol=0)
    assert list(ZeroShot().parameters()) == []


def test_raw_videos() -> None:
    batch = prepare_raw([video_features(torch.randn(3, 6) * 5, rate=2.0)], Nothing())
    assert batch.frame_spans.tolist() == [[[0, 0.5], [0.5, 1], [1, 1.5]]]
    assert ZeroShot().encode_videos(batch).clips.shape == (1, 0, 6)
    torch.testing.assert_close(batch.frames.norm(dim=-1), torch.ones(1, 3), atol=1e-4, rtol=0)
    with pytest.raises(FeatureError, match="no frames"):
        prepare_raw([video_features(torch.randn(0, 6))], Nothing())
