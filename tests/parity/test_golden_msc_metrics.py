"""Recalls and similarity statistics against what the official code computed (reference arrays g_metrics)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prvr.evaluation.collapse import query_sums, released_video_similarity, similarity
from prvr.evaluation.metrics import Recalls, ranks
from tests.parity.arrays import Arrays


@pytest.fixture(scope="module")
def arrays(golden: Path) -> Arrays:
    return Arrays(golden / "msc_gmmformer" / "g_metrics.npz")


def test_ranks_and_recalls(arrays: Arrays) -> None:
    found = ranks(arrays["scores"], arrays["gt"])
    assert torch.equal(found, arrays["ranks_independent"])
    measured = Recalls.of(found)
    ours = [measured.r1, measured.r5, measured.r10, measured.r100]
    assert ours == pytest.approx(arrays["r1_r5_r10_r100"].tolist(), abs=1e-9)
    assert measured.sum_r == pytest.approx(float(arrays["sumr"]), abs=1e-9)


@pytest.mark.parametrize("side", ["model", "teacher"])
def test_query_statistics(arrays: Arrays, side: str) -> None:
    queries = arrays[f"text_dist/{side}_query_normalised"]
    found = similarity(query_sums(queries, arrays["gt"], arrays["scores"].shape[1]))
    assert found is not None
    assert found.intra == pytest.approx(float(arrays[f"text_dist/{side}_intra"]), abs=5e-8)
    assert found.total == pytest.approx(float(arrays[f"text_dist/{side}_total"]), abs=5e-8)


@pytest.mark.parametrize(("side", "tokens"), [("model", "frame_feat"), ("raw", "raw_clip_feat")])
def test_video_statistics_as_released(arrays: Arrays, side: str, tokens: str) -> None:
    found = released_video_similarity(arrays[f"vid_dist/{tokens}"])
    assert found is not None
    assert found.intra == pytest.approx(float(arrays[f"vid_dist/{side}_intra"]), abs=5e-8)
    assert found.total == pytest.approx(float(arrays[f"vid_dist/{side}_total"]), abs=5e-8)
