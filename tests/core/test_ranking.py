from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch

from prvr.core.ranking import (
    Curves,
    TokenScores,
    around,
    best_of_branches,
    highest_cosines,
    instants,
    moments,
    on_grid,
    per_second,
    relevance,
)
from prvr.core.types import Bank, Candidate
from tests.core import slow


def candidate(spans: list[list[float]], scores: list[float], num_frames: int) -> Candidate:
    bank = Bank(torch.zeros(len(scores), 4), torch.tensor(spans), num_frames)
    return Candidate("v", max(scores), torch.tensor(scores), bank)


def curve(ends: Sequence[float], values: Sequence[float]) -> Curves:
    """Of one video."""
    return Curves(np.array(ends, dtype=np.float32), np.array(values, dtype=np.float32), np.array([len(ends)]))


@pytest.mark.parametrize("clip_weight", [0.0, 0.4, 1.0])
def test_fused_scores_equal_the_loop(clip_weight: float) -> None:
    """A branch without tokens in the middle and at the end; cosines that lie in memory either way."""
    sizes = np.array([[3, 1], [1, 2], [0, 3], [2, 0], [4, 0]])
    cosines, at = torch.randn(2, 16), 0
    got = best_of_branches(cosines, sizes).fused(clip_weight)
    assert torch.equal(got, best_of_branches(cosines.T.contiguous().T, sizes).fused(clip_weight))
    for v, (frames, clips) in enumerate(sizes):
        for q in range(2):
            parts = cosines[q, at : at + frames], cosines[q, at + frames : at + frames + clips]
            frame, clip = (max(part.tolist(), default=-np.inf) for part in parts)
            want = {0.0: frame, 1.0: clip}.get(clip_weight, 0.6 * frame + 0.4 * clip)
            assert float(got[q, v]) == pytest.approx(want)
        at += frames + clips


def test_no_video_has_no_score() -> None:
    assert best_of_branches(torch.empty(3, 0), np.empty((0, 2), np.int64)).fused(0.4).shape == (3, 0)


def test_the_best_token_by_hand() -> None:
    tokens = torch.tensor([[[3.0, 0.0], [0.0, 2.0]], [[-5.0, 0.0], [1.0, 1.0]]])
    valid = torch.tensor([[True, True], [True, False]])
    assert highest_cosines(torch.tensor([[2.0, 0.0]]), tokens, valid).tolist() == [[1, -1]]
    assert highest_cosines(torch.tensor([[0.0, 1.0]]), tokens, valid).tolist() == [[1, 0]]
    nothing = highest_cosines(torch.ones(1, 2), tokens, torch.zeros(2, 2, dtype=torch.bool))
    assert nothing.tolist() == [[-torch.inf] * 2]
    assert highest_cosines(torch.ones(1, 2), tokens[:, :0], valid[:, :0]).tolist() == [[-torch.inf] * 2]


def test_padding_changes_nothing() -> None:
    query, tokens = torch.randn(3, 4), torch.randn(4, 5, 4)
    padded = torch.cat([tokens, torch.full((4, 2, 4), 9.0)], 1)
    valid = torch.arange(7).expand(4, 7) < 5
    torch.testing.assert_close(highest_cosines(query, padded, valid), highest_cosines(query, tokens, valid[:, :5]))


def test_columns_of_zeros_cost_nothing_and_change_nothing() -> None:
    """The query keeps its whole length, of which these columns are a part."""
    query, tokens, valid = torch.randn(3, 8), torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)
    tokens[..., [1, 4, 5]] = 0.0
    torch.testing.assert_close(
        highest_cosines(query, tokens, valid), torch.tensor(slow.highest_cosines(query, tokens, valid))
    )
    assert highest_cosines(query, torch.zeros(2, 5, 8), valid).tolist() == [[0.0, 0.0]] * 3


def test_relevance_by_hand() -> None:
    frames = [[0.0, 2.0], [2.0, 4.0], [4.0, 6.0]]
    clips = [[0.0, 4.0], [4.0, 6.0]]
    one = candidate(frames + clips, [0.1, 0.5, 0.3, 0.2, 0.8], 3)
    found = relevance(TokenScores.of([one, one]), clip_weight=0.4, durations_s=[6.0, 3.0])
    want = [0.6 * 0.1 + 0.4 * 0.2, 0.6 * 0.5 + 0.4 * 0.2, 0.6 * 0.3 + 0.4 * 0.8]
    assert found.ends.tolist() == [2, 4, 6, 2, 3]
    assert found.starts.tolist() == [0, 2, 4, 0, 2]
    assert found.sizes.tolist() == [3, 2]
    assert found.values.tolist() == pytest.approx(want + want[:2])


def test_the_better_of_two_tokens_that_show_one_instant_counts() -> None:
    shown = candidate([[0.0, 2.0], [0.0, 2.0], [2.0, 3.0]], [0.1, 0.7, 0.2], 3)
    found = relevance(TokenScores.of([shown]), clip_weight=0.0, durations_s=[3])
    assert found.values.tolist() == pytest.approx([0.7, 0.2])


def test_moments_by_hand() -> None:
    one = curve(range(1, 11), [0, 0, 8, 10, 0, 0, 7, 0, 0, 4])  # median 0, half height 5
    assert moments(one).each() == [((2.0, 4.0), (6.0, 7.0))]
    assert moments(one).peaks.tolist() == [10, 7]
    assert moments(one, most=1).each() == [((2.0, 4.0),)]
    assert moments(one, height=0.3).each() == [((2.0, 4.0), (6.0, 7.0), (9.0, 10.0))]


def test_a_flat_curve_is_the_whole_video() -> None:
    assert moments(curve([1.0, 5.0], [0.3, 0.3])).each() == [((0.0, 5.0),)]


def test_the_median_is_over_time_not_over_tokens() -> None:
    ends = [10.0, 10.1, 10.2, 10.3]  # one long dull stretch, three short bright ones
    ((found,),) = moments(curve(ends, [0.0, 0.4, 1.0, 0.6])).each()
    assert list(found) == pytest.approx([10.1, 10.3])


def test_moments_stay_inside_the_video_and_apart() -> None:
    for _ in range(50):
        spans = torch.rand(12, 2).sort(1).values * 40 - 5
        shown = candidate(spans.tolist(), torch.randn(12).tolist(), 8)
        found = sorted(moments(relevance(TokenScores.of([shown]), clip_weight=0.4, durations_s=[30.0])).each()[0])
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
        found = relevance(TokenScores.of([shown]), clip_weight=0.4, durations_s=[30.0])
        middles = ((found.ends + found.starts) / 2).tolist()
        want = [slow_relevance(shown, clip_weight=0.4, at=at, duration_s=30.0) for at in middles]
        assert found.values.tolist() == pytest.approx(want, rel=1e-5)


def test_every_second_is_the_mean_over_it() -> None:
    (found,) = per_second(curve([0.5, 2.25, 3.0, 3.4], [1.0, 0.0, 4.0, 2.0]))
    assert found == pytest.approx((0.5, 0.0, 3.0, 2.0))
    values = torch.rand(21_600)
    (long,) = per_second(on_grid([values], steps_s=[0.5]))
    torch.testing.assert_close(torch.tensor(long), values.view(-1, 2).mean(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("clip_weight", [0.0, 0.4, 1.0])
def test_an_answer_equals_its_videos_one_by_one(clip_weight: float) -> None:
    """Of all lengths; frames of equal length and shown twice; equal scores; tokens past the end; a branch missing."""
    shown, durations = [], [30.0, 0.4, 61.3, 7.0, 13.9, 5.0, 12.3]
    for number, duration in enumerate(durations):
        frames, clips = 128 if number == 4 else 3 + 5 * number, 0 if number == 1 else 6
        place = torch.arange(frames) // (1 + number % 2)
        even = torch.stack([place, place + 1], 1) * (duration / (int(place.max()) + 1))
        spans = torch.cat([even, torch.rand(clips, 2).sort(1).values * 1.2 * duration - 1])
        scores = torch.randn(frames + clips).mul(2).round() / 10
        shown.append(candidate(spans.tolist(), scores.tolist(), frames))
    curves = relevance(TokenScores.of(shown), clip_weight=clip_weight, durations_s=durations)
    found = zip(np.split(curves.ends, curves.first[1:]), np.split(curves.values, curves.first[1:]), strict=True)
    for v, (ends, values) in enumerate(found):
        want = slow.relevance(shown[v], clip_weight=clip_weight, duration_s=durations[v])
        assert ends.tolist() == want.edges[1:].tolist()
        assert values.tolist() == want.values.tolist()
        for most, height in ((1, 0.5), (3, 0.5), (99, 0.2)):
            assert moments(curves, most=most, height=height).each()[v] == slow.moments(want, most=most, height=height)
        assert per_second(curves)[v] == pytest.approx(slow.per_second(want), abs=1e-6)


def test_a_bank_at_its_instants_by_hand() -> None:
    one = torch.tensor([[1.0, 0.0]])
    tokens = torch.tensor([[0.6, 0.8], [1.0, 0.0], [0.8, -0.6], [0.0, 1.0], [0.6, -0.8]])
    spans = torch.tensor([[0.0, 1.0], [1.0, 2.0], [2.0, 2.2], [0.0, 1.5], [1.5, 2.2]])
    found = instants([Bank(tokens, spans, 3)], one, clip_weight=0.5, durations_s=[2.2], step_s=1.0)
    assert found.ends.tolist() == [3]
    frame, clip = [0.6, 1.0, 0.8], [0.0, 0.6, 0.6]  # the last instant lasts 0.2 s
    assert found.values[0, 0].tolist() == pytest.approx([(f + c) / 2 for f, c in zip(frame, clip, strict=True)])


def test_instants_are_the_relevance_of_one_video_read_in_the_middle() -> None:
    banks, durations = [], []
    for size in (7, 30, 12):
        spans = (torch.rand(size, 2) * 20).sort(1).values + torch.tensor([0.0, 0.6])
        banks.append(Bank(torch.nn.functional.normalize(torch.randn(size, 6), dim=1), spans, size // 2))
        durations.append(float(spans.max()))
    queries = torch.nn.functional.normalize(torch.randn(3, 6), dim=1)
    found = instants(banks, queries, clip_weight=0.3, durations_s=durations)
    for k, (bank, duration) in enumerate(zip(banks, durations, strict=True)):
        middles = (torch.arange(int(found.ends[k])) + 0.5) * found.step_s
        middles = middles[middles < duration]
        for s, query in enumerate(queries):
            want = slow.relevance(Candidate("v", 0, bank.tokens @ query, bank), clip_weight=0.3, duration_s=duration)
            at = torch.searchsorted(want.edges, middles, right=True) - 1
            torch.testing.assert_close(found.values[s, k, : len(middles)], want.values[at])
        assert found.values[:, k, int(found.ends[k]) :].isneginf().all()


def test_a_step_lasts_as_long_as_its_curve_stays_up() -> None:
    values = torch.tensor([0.0, 0.0, 0.7, 1.0, 0.6, 0.0, 0.9, 0.0])  # half way to 1.0 is 0.5
    low = torch.tensor([1.0, 1.0, 0.0, 0.2, 1.0])  # a step may have to lie below the median: half way to 0.2 is 0.6
    curves = on_grid([values, torch.ones(4), values, low], steps_s=[0.5, 0.5, 0.5, 1.0])
    assert around(curves, np.array([3, 2, 6, 3])).tolist() == [[1.0, 2.5], [0.0, 2.0], [3.0, 3.5], [3.0, 5.0]]
