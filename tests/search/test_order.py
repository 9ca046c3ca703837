from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from prvr.core.ranking import Instants
from prvr.search.order import in_order, without


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
