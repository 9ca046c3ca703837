from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from prvr.core.types import Bank, Candidate, VideoBatch
from prvr.evaluation.curves import (
    Curves,
    TokenScores,
    moment_scores,
    own_cosines,
    peaks,
    relevance_curves,
)
from prvr.evaluation.windows import pad
from prvr.parts.spans import clip_spans
from tests.search.slow import Curve, moments, relevance


def random_videos(number: int, frames: int, clips: int) -> tuple[VideoBatch, Tensor]:
    """Videos of different lengths, some padded, some with positions that show the same frame -> and seconds."""
    duration = torch.rand(number) * 50 + 10
    shown = torch.randint(frames // 3, frames + 1, (number, 1))
    frame = (torch.arange(frames) * shown // frames).clamp(max=shown - 1)
    spans = torch.stack([frame / shown, (frame + 1) / shown], 2) * duration[:, None, None]
    valid = torch.rand(number, frames) < 0.9
    valid[:, 0] = True
    slot = (torch.arange(frames) * clips // frames).repeat(number, 1)
    size = torch.zeros(number, clips).scatter_add(1, slot, valid.float())
    return batch(valid, size, slot, spans), duration


def batch(valid: Tensor, size: Tensor, slot: Tensor, spans: Tensor) -> VideoBatch:
    empty = torch.zeros(len(valid), 1, 1)
    return VideoBatch(
        frames=empty, frame_valid=valid, clips=empty, clip_size=size, slot=slot, segment=slot, frame_spans=spans
    )


def test_they_are_the_curves_and_the_moments_of_search() -> None:
    """One query after the other as search does it, with all heights and weights."""
    videos, duration = random_videos(17, 12, 5)
    frame, clip = torch.randn(17, 12), torch.randn(17, 5)
    spans, clip_valid = clip_spans(videos), videos.clip_size > 0
    for clip_weight, height in ((0.4, 0.5), (0.0, 0.3), (1.0, 0.8)):
        branches = [
            TokenScores(frame, videos.frame_spans, videos.frame_valid, 1 - clip_weight),
            TokenScores(clip, spans, clip_valid, clip_weight),
        ]
        curves = relevance_curves(branches, duration)
        found = peaks(curves, most=4, height=height)
        for v in range(17):
            real, used = videos.frame_valid[v], clip_valid[v]
            tokens = torch.cat([videos.frame_spans[v][real], spans[v][used]])
            scores = torch.cat([frame[v][real], clip[v][used]])
            if not clip_weight:
                tokens, scores = tokens[: int(real.sum())], scores[: int(real.sum())]
            bank = Bank(scores[:, None], tokens, int(real.sum()))
            want = relevance(Candidate("v", 0.0, scores, bank), clip_weight=clip_weight, duration_s=float(duration[v]))
            got = Curve(curves.edges[v], curves.values[v])
            middle = (curves.edges[v, 1:] + curves.edges[v, :-1])[curves.valid[v]] / 2
            at = torch.searchsorted(want.edges, middle, right=True) - 1
            torch.testing.assert_close(got.values[curves.valid[v]], want.values[at])
            own = [
                tuple(window) for window, there in zip(found.spans[v].tolist(), found.valid[v], strict=True) if there
            ]
            assert own == [pytest.approx(window) for window in moments(want, most=4, height=height)]


def test_peaks_by_hand() -> None:
    """Median over time 0.1; half the way to 0.9 is 0.5: two stretches, the second one higher. Then a flat curve."""
    edges = torch.tensor([[0.0, 4, 6, 10, 11], [0, 3, 9, 9, 9]])
    values = torch.tensor([[0.1, 0.6, 0.0, 0.9], [0.2, 0.2, 7.0, 7.0]])
    found = peaks(Curves(edges, values, torch.tensor([[True] * 4, [True, True, False, False]])))
    assert found.spans[0].tolist() == [[10, 11], [4, 6]]
    assert found.scores[0].tolist() == pytest.approx([0.9, 0.6])
    assert found.spans[1][found.valid[1]].tolist() == [[0, 9]]


def test_a_clip_covers_its_valid_frames() -> None:
    spans = torch.tensor([[[0.0, 1], [1, 2], [2, 3], [3, 4]]])
    valid = torch.tensor([[True, True, False, True]])
    found = clip_spans(batch(valid, torch.tensor([[2.0, 1.0]]), torch.tensor([[0, 0, 1, 1]]), spans))
    assert found.tolist() == [[[0, 2], [3, 4]]]


def test_own_cosines_equal_the_loop() -> None:
    queries, tokens, video = torch.randn(70, 4), torch.randn(5, 3, 4), torch.randint(0, 5, (70,))
    found = own_cosines(queries, tokens, video)
    slow = [torch.cosine_similarity(query[None], tokens[v]) for query, v in zip(queries, video.tolist(), strict=True)]
    torch.testing.assert_close(found, torch.stack(slow))
    assert own_cosines(queries[:0], tokens, video[:0]).shape == (0, 3)


def test_moments_are_counted_as_the_evaluator_counts() -> None:
    """Query 0 overlaps by 0.6, query 1 not; query 2 has no annotated window and is left out."""
    truth = pad([np.array([[0.0, 10]]), np.array([[30.0, 40]]), np.empty((0, 2))])
    predicted = pad([np.array([[0.0, 6, 0.9]]), np.array([[0.0, 6, 0.9], [30, 40, 0.1]]), np.array([[0.0, 6, 0.9]])])
    found = moment_scores(predicted, truth, torch.tensor([20.0, 40.0, 10.0]))
    assert found is not None
    assert (found.num_queries, found.r1_50, found.r1_70) == (2, 50, 0)
    assert found.mean_precision == pytest.approx((100 * 3 / 10 + 50) / 2)  # found at 0.5, 0.55, 0.6; at rank 2 at all
    assert found.mean_overlap == pytest.approx(30)
    assert found.whole_video == pytest.approx((50 + 25) / 2)
    assert moment_scores(predicted, pad([np.empty((0, 2))] * 3), torch.ones(3)) is None
