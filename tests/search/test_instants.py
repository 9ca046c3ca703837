from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from prvr.core.types import Bank, Candidate
from prvr.search.instants import Instants, in_order, instants, stretch, without
from tests.search.slow import relevance


def timed(rows: list[list[list[float]]]) -> Instants:
    """Steps x videos x instants, shorter videos padded."""
    longest = max(len(video) for step in rows for video in step)
    values = torch.full((len(rows), len(rows[0]), longest), -torch.inf)
    for s, step in enumerate(rows):
        for k, video in enumerate(step):
            values[s, k, : len(video)] = torch.tensor(video)
    return Instants(values, torch.tensor([len(video) for video in rows[0]]), 1.0)


def slow_order(steps: Sequence[Sequence[float]], windows: Sequence[int | None]) -> tuple[float, tuple[int, ...]]:
    """Every choice of instants, tried."""
    best: tuple[float, tuple[int, ...]] = (-torch.inf, ())
    for places in product(range(len(steps[0])), repeat=len(steps)):
        gaps = [b - a for a, b in pairwise(places)]
        if all(gap > 0 and (w is None or gap <= w) for gap, w in zip(gaps, windows, strict=True)):
            score = sum(step[at] for step, at in zip(steps, places, strict=True)) / len(steps)
            best = max(best, (score, places), key=lambda pair: pair[0])
    return best


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
            curve = relevance(Candidate("v", 0, bank.tokens @ query, bank), clip_weight=0.3, duration_s=duration)
            at = torch.searchsorted(curve.edges, middles, right=True) - 1
            torch.testing.assert_close(found.values[s, k, : len(middles)], curve.values[at])
        assert found.values[:, k, int(found.ends[k]) :].isneginf().all()


def test_order_by_hand() -> None:
    steps = timed([[[0.1, 0.9, 0.2, 0.3], [0.0, 0.0, 0.9]], [[0.8, 0.1, 0.1, 0.6], [0.9, 0.0, 0.0]]])
    chain = in_order(steps, within_s=[None])
    assert chain.score.tolist() == pytest.approx(
        [(0.9 + 0.6) / 2, 0.0]
    )  # the 0.8 comes too early, and all of the second
    assert chain.places[0].tolist() == [1, 3]
    near = in_order(steps, within_s=[1.0])
    assert near.score[0] == pytest.approx((0.9 + 0.1) / 2)
    assert near.places[0].tolist() == [1, 2]


def test_a_video_too_short_for_the_steps_is_no_answer() -> None:
    three = timed([[[0.5, 0.5], [0.1, 0.2, 0.3]]] * 3)
    for within in ([None, None], [1.0, 1.0]):
        chain = in_order(three, within_s=within)
        assert chain.score[0] == -torch.inf
        assert chain.score[1] == pytest.approx(0.2)


@pytest.mark.parametrize("windows", [(None, None), (1, None), (2, 3), (None, 1), (20, 20)])
def test_order_equals_trying_everything(windows: tuple[int | None, ...]) -> None:
    lengths = (4, 9, 6)
    rows = [[torch.randn(length).tolist() for length in lengths] for _ in range(3)]
    chain = in_order(timed(rows), within_s=[None if w is None else float(w) for w in windows])
    for k in range(len(lengths)):
        score, places = slow_order([step[k] for step in rows], windows)
        assert float(chain.score[k]) == pytest.approx(score, abs=1e-6)
        assert tuple(chain.places[k].tolist()) == places


def test_what_must_not_be_seen_takes_from_the_same_instant_only() -> None:
    wanted = timed([[[0.5, 0.6, 0.4], [0.6, 0.2]]])
    unwanted = timed([[[0.1, 0.5, 0.1], [0.1, 0.9]], [[0.0, 0.0, 0.0], [0.0, 0.0]]])  # usual heights 0.1 and 0.0
    found = without(wanted, unwanted, strength=0.5).values
    torch.testing.assert_close(found[0, 0], torch.tensor([0.5, 0.6 - 0.5 * 0.4, 0.4]))
    torch.testing.assert_close(found[0, 1, :2], torch.tensor([0.6, 0.2 - 0.5 * 0.8]))
    assert found[0, 1, 2] == -torch.inf


def test_a_step_lasts_as_long_as_its_curve_stays_up() -> None:
    curve = torch.tensor([0.0, 0.0, 0.7, 1.0, 0.6, 0.0, 0.9, 0.0])  # half way to 1.0 is 0.5
    assert stretch(curve, 3, step_s=0.5) == (1.0, 2.5)
    assert stretch(curve, 6, step_s=0.5) == (3.0, 3.5)
    assert stretch(torch.ones(4), 2, step_s=0.5) == (0.0, 2.0)


def slow_best_before(values: Tensor, window: int | None) -> Tensor:
    rows = []
    for row in values:
        parts = [row[max(0, t - (window or t)) : t] for t in range(len(row))]
        rows.append(torch.stack([part.max() if len(part) else torch.tensor(-torch.inf) for part in parts]))
    return torch.stack(rows)


@pytest.mark.parametrize("window", [None, 1, 3, 50])
def test_two_steps_are_the_best_before_plus_the_best_now(window: int | None) -> None:
    steps = Instants(torch.randn(2, 5, 12), torch.full((5,), 12), 1.0)
    want = (slow_best_before(steps.values[0], window) + steps.values[1]).amax(1) / 2
    found = in_order(steps, within_s=[None if window is None else float(window)])
    torch.testing.assert_close(found.score, want)
