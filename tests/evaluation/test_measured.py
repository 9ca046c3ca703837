from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prvr.core.errors import DataError
from prvr.core.types import FeatureSpec, Query, QueryBatch, TokenSpans, VideoTokens
from prvr.data.dataset import RetrievalSet
from prvr.data.sources import QueryTable
from prvr.evaluation.collapse import query_sums, released_video_similarity, similarity, token_sums
from prvr.evaluation.correlation import cosine_matrix, spearman
from prvr.evaluation.intervals import compare
from prvr.evaluation.measured import Measured
from prvr.evaluation.metrics import Recalls, ranks
from prvr.methods.msc.prepare import MSCVideos
from prvr.parts.scoring import cosine_scores
from prvr.runs import measure
from prvr.runs.measure import About, measured
from tests.methods.make import network

E, D, V, Q, T, C = 6, 4, 30, 70, 36, 4


class Lines(nn.Module):
    """A real two-tower model: a line for the queries, a line for the tokens of both branches."""

    def __init__(self, clip_weight: float = 0.4) -> None:
        super().__init__()
        self.query, self.video, self.clip_weight = nn.Linear(E, D), nn.Linear(E, D), clip_weight

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        out: Tensor = self.query(queries.sentence)
        return out

    def encode_videos(self, videos: MSCVideos) -> VideoTokens:
        return VideoTokens(
            self.video(videos.frames), videos.frame_valid, self.video(videos.clips), videos.clip_size > 0
        )

    def token_spans(self, videos: MSCVideos) -> TokenSpans:
        return network().token_spans(videos)


def split() -> RetrievalSet:
    """30 videos of 36 seconds; query q speaks of the nine seconds that clip q % 4 covers."""
    video = torch.randint(0, V, (Q,))
    sentence = torch.randn(Q, E)
    spans = torch.stack([torch.arange(T), torch.arange(T) + 1], 1).float().expand(V, T, 2)
    slot = (torch.arange(T) * C // T).expand(V, T)
    items = tuple(
        Query(
            query_id=f"q{q}",
            video_id=f"v{v}",
            text="a sentence",
            windows=((9.0 * (q % C), 9.0 * (q % C) + 9),),
            duration_s=36.0,
        )
        for q, v in enumerate(video.tolist())
    )
    return RetrievalSet(
        name="val",
        items=items,
        video_ids=tuple(f"v{v}" for v in range(V)),
        videos=MSCVideos(
            frames=torch.randn(V, T, E),
            frame_valid=torch.ones(V, T, dtype=torch.bool),
            clips=torch.randn(V, C, E),
            clip_size=torch.full((V, C), 9.0),
            slot=slot,
            segment=torch.zeros(V, C, dtype=torch.int64),
            frame_spans=spans,
        ),
        queries=QueryTable(words=torch.zeros(Q, E), start=torch.arange(Q + 1), sentence=sentence),
        video_of_query=video,
        digest="0f0f",
        content="0f0f",
    )


def test_one_pass_in_batches_measures_what_the_whole_in_memory_does(monkeypatch: pytest.MonkeyPatch) -> None:
    items, model = split(), Lines()
    monkeypatch.setattr(measure, "VIDEOS", 7)
    monkeypatch.setattr(measure, "QUERIES", 16)
    monkeypatch.setattr(measure, "_ROWS", 9)
    features = FeatureSpec(name="pack", revision="1", video_width=E, text_width=E, simulated=True)
    about = About(split="val", selected_on="val", seed=3, recipe="a:b", settings="abc", features=features)
    found = measured(model, items, about, resamples=50)
    with torch.no_grad():
        tokens = model.encode_videos(cast(MSCVideos, items.videos))
        queries = model.query(items.queries.sentence)
    scores, report = cosine_scores(queries, tokens), found.report
    for name, weight in (("fused", 0.4), ("frame", 0.0), ("clip", 1.0)):
        want = ranks(scores.fused(weight), items.video_of_query)
        assert torch.equal(getattr(found.ranks, name), want)
        assert getattr(report, name) == Recalls.of(want)
    released = released_video_similarity(tokens.frames)
    for similar, want_one in (
        (report.text, similarity(query_sums(queries, items.video_of_query, V))),
        (report.video, similarity(token_sums(tokens.frames))),
        (report.video_released, released),
    ):
        assert similar is not None
        assert want_one is not None
        assert (similar.intra, similar.total) == pytest.approx((want_one.intra, want_one.total), abs=1e-7)
    rho = spearman(cosine_matrix(queries), cosine_matrix(items.queries.sentence))
    assert report.correlation_encoder == pytest.approx(rho)
    assert (report.protocol, report.selected_on, report.seed, report.recipe) == ("published", "val", 3, "a:b")
    assert (report.settings, report.features, report.data, report.simulated) == ("abc", "pack", "0f0f", True)
    assert report.intervals is not None
    assert report.intervals_video is not None
    assert (report.intervals.unit, report.intervals_video.unit) == ("query", "video")


def test_a_perfect_clip_is_a_perfect_moment_and_units_of_the_clock_do_not_matter() -> None:
    """Every query is the clip that it speaks of: R1 and mAP 100 % whatever a second is called in the features."""
    items, model = split(), Lines(clip_weight=1.0)
    with torch.no_grad():
        model.video.weight.copy_(model.query.weight)
        model.video.bias.copy_(model.query.bias)
    clips = torch.nn.functional.one_hot(torch.arange(C), E).float().expand(V, C, E).contiguous()
    sentence = clips[0, torch.arange(Q) % C]
    for scale in (1.0, 0.25):
        videos = replace(cast(MSCVideos, items.videos), clips=clips, frame_spans=items.videos.frame_spans * scale)
        clear = replace(items, videos=videos, queries=replace(items.queries, sentence=sentence))
        report = measured(model, clear, About(split="val"), resamples=10).report
        assert report.moments is not None
        assert (report.moments.num_queries, report.moments.r1_70) == (Q, 100)
        assert report.moments.mean_precision == pytest.approx(100)
        assert report.moments.whole_video == pytest.approx(25)
        assert report.by_ratio is not None
        assert [group.num_queries for group in report.by_ratio] == [0, Q, 0]
        assert report.protocol is None


def test_what_a_benchmark_does_not_say_is_not_reported() -> None:
    items = split()
    bare = replace(items, items=tuple(replace(item, windows=(), duration_s=None) for item in items.items))
    report = measured(
        Lines(clip_weight=0.0), bare, About(split="test", selected_on="10% of train"), resamples=10
    ).report
    assert (report.moments, report.by_ratio, report.frame, report.correlation_truth) == (None, None, None, None)
    assert report.protocol == "clean"
    timeless = replace(items, videos=replace(items.videos, frame_spans=torch.zeros(V, T, 2)))
    report = measure.measure(Lines(), timeless, split="test", device="cpu")
    assert (report.moments, report.protocol) == (None, None)


def test_there_and_back_and_against_another_run(tmp_path: Path) -> None:
    items = split()
    one, other = (measured(Lines(), items, About(split="val"), resamples=10) for _ in range(2))
    one.save(tmp_path / "new" / "report.json")
    again = Measured.load(tmp_path / "new" / "report.json")
    assert again.report == one.report
    assert again.ranks.query_ids == one.ranks.query_ids
    for name in ("video_of_query", "fused", "frame", "clip"):
        assert torch.equal(getattr(again.ranks, name), getattr(one.ranks, name))
    found = again.against(other, resamples=30)
    video = items.video_of_query
    assert found == compare(one.ranks.fused, other.ranks.fused, video_of_query=video, resamples=30)
    assert found.of["SumR"].value == pytest.approx(other.report.fused.sum_r - one.report.fused.sum_r)
    assert again.against(other, by_video=False, resamples=30).unit == "query"
    less = replace(other, ranks=replace(other.ranks, query_ids=other.ranks.query_ids[1:]))
    with pytest.raises(DataError, match="measured on different queries"):
        one.against(less)


def test_damage_is_said(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with pytest.raises(DataError, match="no report with its ranks, or a damaged one"):
        Measured.load(path)
    measured(Lines(), split(), About(split="val"), resamples=10).save(path)
    beside = tmp_path / "report.ranks.npz"
    content = beside.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"{}"):
        beside.write_bytes(damaged)
        with pytest.raises(DataError, match="write it again"):
            Measured.load(path)
    np.savez(beside, query_ids=np.array([object()], dtype=object), names=np.array([]), table=np.zeros((0, 1)))
    with pytest.raises(DataError, match="write it again"):  # a pickle is not opened
        Measured.load(path)
