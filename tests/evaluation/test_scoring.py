from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from prvr.core.types import (
    BranchScores,
    Query,
    QueryAtVideo,
    QueryBatch,
    RetrievalModel,
    TokenSpans,
    VideoTokens,
)
from prvr.data.dataset import RetrievalSet
from prvr.data.sources import QueryTable
from prvr.evaluation.scoring import encode_queries, score_library
from prvr.methods.recipe import load_recipe
from prvr.parts import proposals, scoring
from prvr.parts.spans import equal_spans
from prvr.parts.videos import ClipVideos, FrameVideos
from prvr.runs.measure import measure
from tests.core import slow
from tests.methods.family import roused
from tests.methods.names import named
from tests.parts.make import video_features

E, D = 6, 4


class Lines(nn.Module):
    """A real two-tower model: a line for the queries, a line for the tokens of both branches."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.video = nn.Linear(E, D), nn.Linear(E, D)

    @property
    def clip_weight(self) -> float:
        return 0.4

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        out: Tensor = self.query(queries.sentence)
        return out

    def encode_videos(self, videos: ClipVideos) -> VideoTokens:
        return VideoTokens(
            self.video(videos.frames), videos.frame_valid, self.video(videos.clips), videos.clip_size > 0
        )

    def token_spans(self, videos: ClipVideos) -> TokenSpans:
        return TokenSpans(frames=videos.frame_spans, clips=equal_spans(videos, videos.clips.shape[1]))


def videos(number: int) -> ClipVideos:
    valid = torch.rand(number, 5) < 0.6
    valid[:, 0] = True
    return ClipVideos(
        frames=torch.randn(number, 5, E),
        frame_valid=valid,
        clips=torch.randn(number, 3, E),
        clip_size=torch.ones(number, 3),
        frame_spans=torch.zeros(number, 5, 2),
    )


def queries(number: int) -> QueryBatch:
    return QueryBatch(
        words=torch.randn(number, 2, E),
        valid=torch.ones(number, 2, dtype=torch.bool),
        sentence=torch.randn(number, E),
    )


def in_pieces(batch: ClipVideos | QueryBatch, size: int) -> Iterator[dict[str, Tensor]]:
    for at in range(0, len(batch), size):
        yield {name: value[at : at + size] for name, value in vars(batch).items()}


@pytest.mark.parametrize(
    ("video_batch", "query_batch", "products"), [(11, 7, 1 << 20), (3, 2, 40), (1, 1, 1), (4, 7, 60)]
)
def test_in_pieces_equals_the_whole_and_the_loop(video_batch: int, query_batch: int, products: int) -> None:
    model, library, asked = Lines(), videos(11), queries(7)
    with torch.no_grad():
        tokens, query = model.encode_videos(library), model.encode_queries(asked)
    scores = score_library(
        model,
        (ClipVideos(**piece) for piece in in_pieces(library, video_batch)),
        (QueryBatch(**piece) for piece in in_pieces(asked, query_batch)),
        products=products,
    )
    assert scores.frame.shape == scores.clip.shape == (7, 11)
    torch.testing.assert_close(
        scores.frame, torch.tensor(slow.highest_cosines(query, tokens.frames, tokens.frame_valid))
    )
    torch.testing.assert_close(scores.clip, torch.tensor(slow.highest_cosines(query, tokens.clips, tokens.clip_valid)))
    assert not scores.frame.requires_grad


def test_queries_stay_in_order() -> None:
    model, asked = Lines(), queries(5)
    pieces = (QueryBatch(**piece) for piece in in_pieces(asked, 2))
    torch.testing.assert_close(encode_queries(model, pieces), model.encode_queries(asked).detach())


class Guided(Lines):
    """A model whose frame score is read under the guidance of the query: mean of frames by softmax(query · frame)."""

    def __init__(self, products: int) -> None:
        super().__init__()
        self.products = products

    def scores(self, query: Tensor, tokens: VideoTokens) -> BranchScores:
        number = tokens.frame_valid.numel() + tokens.clip_valid.numel()
        assert len(query) == 1 or len(query) * number <= self.products, "more than was allowed at a time"
        logits = torch.einsum("qd,vnd->qvn", query, tokens.frames).masked_fill(~tokens.frame_valid, -torch.inf)
        seen = torch.einsum("qvn,vnd->qvd", logits.softmax(-1), tokens.frames)
        return BranchScores(torch.einsum("qd,qvd->qv", query, seen), query @ tokens.clips.sum(1).T)


def guided(query: Tensor, frames: Tensor, valid: Tensor) -> float:
    weights = [math.exp(float(query @ frame)) for frame, real in zip(frames, valid, strict=True) if real]
    rows = [frame for frame, real in zip(frames, valid, strict=True) if real]
    mean = sum(weight * row for weight, row in zip(weights, rows, strict=True)) / sum(weights)
    return float(query @ cast(Tensor, mean))


@pytest.mark.parametrize(("video_batch", "products"), [(11, 1 << 20), (3, 60), (1, 1), (4, 64)])
def test_a_model_that_needs_the_query_at_the_video_is_asked_in_pieces(video_batch: int, products: int) -> None:
    model, library, asked = Guided(products), videos(11), queries(7)
    assert isinstance(model, QueryAtVideo)
    assert not isinstance(Lines(), QueryAtVideo)
    with torch.no_grad():
        tokens, query = model.encode_videos(library), model.encode_queries(asked)
    scores = score_library(
        model,
        (ClipVideos(**piece) for piece in in_pieces(library, video_batch)),
        (QueryBatch(**piece) for piece in in_pieces(asked, 3)),
        products=products,
    )
    frame = [
        [guided(q, video, mask) for video, mask in zip(tokens.frames, tokens.frame_valid, strict=True)] for q in query
    ]
    clip = [[sum(float(q @ token) for token in video) for video in tokens.clips] for q in query]
    torch.testing.assert_close(scores.frame, torch.tensor(frame))
    torch.testing.assert_close(scores.clip, torch.tensor(clip))
    assert not scores.frame.requires_grad


SMALL = ("model.video_width=12", "model.text_width=12", "model.hidden=16")
BARE = ("zero_shot:max_over_frames", "tfprvr:moments", "trace:max_over_frames")
TRAINED = (
    *(
        "mssl",
        "bgmnet",
        "dldkd",
        "gmmformer",
        "gmmformer_v2",
        "amdnet",
        "curvspec",
        "protoprvr_style",
        "arl_style",
        "msc",
    ),
    *("dldkd:tvr_plus", "arl_style:tvr model.clip_weight=0.5"),
)


@pytest.mark.parametrize("system", [*TRAINED, *BARE])
@torch.no_grad()
def test_every_system_scores_in_pieces_as_at_once(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Towers and scores a few videos, a few queries and a few products at a time, against all of each at once."""
    target, *settings = system.split()
    target = target if ":" in target else f"{target}:tvr"
    recipe = load_recipe(named(target)).with_settings(settings if system in BARE else [*SMALL, *settings])
    library = [video_features(torch.randn(length, 12)) for length in (150, 30, 7, 128, 2)]
    words = nn.functional.normalize(torch.randn(6, 4, 12), dim=2)
    asked = QueryBatch(words=words, valid=torch.arange(4) < torch.arange(6)[:, None] % 4 + 1, sentence=words[:, 0])
    built = roused(recipe.build())
    model = cast(RetrievalModel, built)
    query, tokens = model.encode_queries(asked), model.encode_videos(recipe.prepared.make(library))
    needs_query = isinstance(model, QueryAtVideo)
    assert needs_query == (target.split(":")[0] in ("mssl", "bgmnet", "trace"))
    branches = ((tokens.frames, tokens.frame_valid), (tokens.clips, tokens.clip_valid))
    none = torch.full((6, 5), -torch.inf)
    cosines = BranchScores(*(scoring.best_cosine(query, *x)[0] if x[0].shape[1] else none for x in branches))
    whole = model.scores(query, tokens) if isinstance(model, QueryAtVideo) else cosines
    assert bool(whole.fused(model.clip_weight).isfinite().all())
    for videos_at_once, queries_at_once, products in ((5, 6, 1 << 24), (2, 4, 3000), (1, 1, 1)):
        monkeypatch.setattr(proposals, "_AT_A_TIME", products)
        parts = [library[at : at + videos_at_once] for at in range(0, 5, videos_at_once)]
        scores = score_library(
            model,
            (recipe.prepared.make(part) for part in parts),
            (QueryBatch(**piece) for piece in in_pieces(asked, queries_at_once)),
            products=products,
        )
        for got, want in zip(scores, whole, strict=True):
            assert got.shape == (6, 5)
            torch.testing.assert_close(got, want, atol=3e-6, rtol=1e-5)


class Halves(nn.Module):
    """Two tokens a video, the means of its halves: not the frames of the batch, and the model says when they are."""

    clip_weight = 0.0

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        return queries.sentence

    def encode_videos(self, videos: FrameVideos) -> VideoTokens:
        halves = torch.unflatten(videos.frames, 1, (2, -1)).mean(2)
        valid = torch.ones(halves.shape[:2], dtype=torch.bool)
        return VideoTokens(halves, valid, halves[:, :0], valid[:, :0])

    def token_spans(self, videos: FrameVideos) -> TokenSpans:
        start, end = torch.unflatten(videos.frame_spans, 1, (2, -1)).unbind(-1)
        spans = torch.stack([start.amin(2), end.amax(2)], 2)
        return TokenSpans(frames=spans, clips=spans[:, :0])


def test_moments_lie_where_the_model_says_that_its_tokens_do() -> None:
    places = torch.arange(4.0)
    video = FrameVideos(
        frames=torch.tensor([[[1.0, 0], [1, 0], [0, 1], [0, 1]]]),
        frame_valid=torch.ones(1, 4, dtype=torch.bool),
        frame_spans=torch.stack([places, places + 1], 1)[None],
    )
    items = tuple(
        Query(query_id=f"{i}", video_id="v", text="", windows=(span,), duration_s=4.0)
        for i, span in enumerate([(0.0, 2.0), (2.0, 4.0), (0.0, 0.5)])
    )
    sentence = torch.tensor([[1.0, 0], [0, 1], [1, 0]])
    table = QueryTable(words=sentence, start=torch.arange(4), sentence=sentence)
    split = RetrievalSet(
        name="by hand",
        items=items,
        video_ids=("v",),
        videos=video,
        queries=table,
        video_of_query=torch.zeros(3, dtype=torch.int64),
        digest="",
        content="",
    )
    found = measure(Halves(), split, split="by hand", device="cpu").moments
    assert found is not None
    assert found.r1_50 == pytest.approx(200 / 3)
    assert found.mean_overlap == pytest.approx((1 + 1 + 0.25) * 100 / 3)
