from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from prvr.core.types import Bank, Candidate
from prvr.search.moments import Curve, moments, per_second, relevance


def candidate(spans: list[list[float]], scores: list[float], num_frames: int) -> Candidate:
    bank = Bank(torch.zeros(len(scores), 4), torch.tensor(spans), num_frames)
    return Candidate("v", max(scores), torch.tensor(scores), bank)


def test_relevance_by_hand() -> None:
    frames = [[0.0, 2.0], [2.0, 4.0], [4.0, 6.0]]
    clips = [[0.0, 4.0], [4.0, 6.0]]
    curve = relevance(candidate(frames + clips, [0.1, 0.5, 0.3, 0.2, 0.8], 3), clip_weight=0.4, duration_s=6.0)
    assert curve.edges.tolist() == [0, 2, 4, 6]
    want = [0.6 * 0.1 + 0.4 * 0.2, 0.6 * 0.5 + 0.4 * 0.2, 0.6 * 0.3 + 0.4 * 0.8]
    torch.testing.assert_close(curve.values, torch.tensor(want))


def test_the_better_of_two_tokens_that_show_one_instant_counts() -> None:
    curve = relevance(
        candidate([[0.0, 2.0], [0.0, 2.0], [2.0, 3.0]], [0.1, 0.7, 0.2], 3), clip_weight=0.0, duration_s=3
    )
    torch.testing.assert_close(curve.values, torch.tensor([0.7, 0.2]))


def test_moments_by_hand() -> None:
    edges = torch.arange(11.0)
    values = torch.tensor([0, 0, 8, 10, 0, 0, 7, 0, 0, 4.0])  # median 0, half height 5
    assert moments(Curve(edges, values)) == ((2.0, 4.0), (6.0, 7.0))
    assert moments(Curve(edges, values), most=1) == ((2.0, 4.0),)
    assert moments(Curve(edges, values), height=0.3) == ((2.0, 4.0), (6.0, 7.0), (9.0, 10.0))


def test_a_flat_curve_is_the_whole_video() -> None:
    assert moments(Curve(torch.tensor([0.0, 1.0, 5.0]), torch.tensor([0.3, 0.3]))) == ((0.0, 5.0),)


def test_the_median_is_over_time_not_over_tokens() -> None:
    edges = torch.tensor([0.0, 10.0, 10.1, 10.2, 10.3])  # one long dull stretch, three short bright ones
    (found,) = moments(Curve(edges, torch.tensor([0.0, 0.4, 1.0, 0.6])))
    assert list(found) == pytest.approx([10.1, 10.3])


def test_moments_stay_inside_the_video_and_apart() -> None:
    for _ in range(50):
        spans = torch.rand(12, 2).sort(1).values * 40 - 5
        shown = candidate(spans.tolist(), torch.randn(12).tolist(), 8)
        found = sorted(moments(relevance(shown, clip_weight=0.4, duration_s=30.0)))
        assert found
        assert found[0][0] >= 0
        assert found[-1][1] <= 30.0
        assert all(a[1] <= b[0] for a, b in pairwise(found))
        assert all(start < end for start, end in found)


def slow_relevance(shown: Candidate, *, clip_weight: float, at: float, duration_s: float) -> float:
    """Token by token, at one instant."""
    total = 0.0
    first = shown.bank.num_frames
    for weight, tokens in ((1 - clip_weight, range(first)), (clip_weight, range(first, len(shown.token_scores)))):
        scores = [float(shown.token_scores[i]) for i in tokens]
        spans = [[min(max(edge, 0.0), duration_s) for edge in shown.bank.spans[i].tolist()] for i in tokens]
        covering = [score for score, (start, end) in zip(scores, spans, strict=True) if start <= at < end]
        total += weight * max(covering, default=min(scores))
    return total


def test_relevance_equals_the_loop_over_tokens() -> None:
    for _ in range(20):
        spans = torch.rand(12, 2).sort(1).values * 40 - 5
        shown = candidate(spans.tolist(), torch.randn(12).tolist(), 8)
        curve = relevance(shown, clip_weight=0.4, duration_s=30.0)
        middles = ((curve.edges[1:] + curve.edges[:-1]) / 2).tolist()
        want = [slow_relevance(shown, clip_weight=0.4, at=at, duration_s=30.0) for at in middles]
        torch.testing.assert_close(curve.values, torch.tensor(want))


def test_every_second_is_the_mean_over_it() -> None:
    curve = Curve(torch.tensor([0.0, 0.5, 2.25, 3.0, 3.4]), torch.tensor([1.0, 0.0, 4.0, 2.0]))
    assert per_second(curve) == pytest.approx((0.5, 0.0, 3.0, 2.0))
    long = Curve(torch.arange(21_601) / 2, torch.rand(21_600))
    torch.testing.assert_close(torch.tensor(per_second(long)), long.values.view(-1, 2).mean(1), rtol=1e-5, atol=1e-6)
