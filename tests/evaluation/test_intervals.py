from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prvr.core.errors import DataError
from prvr.evaluation.intervals import NAMES, bootstrap, compare, sign_flip_p
from prvr.evaluation.metrics import Recalls


def test_every_resample_is_what_the_metrics_say_of_it() -> None:
    """The same draws one at a time: queries first, then videos with all their queries."""
    ranks = torch.tensor([1, 2, 7, 300, 12, 1, 90, 4])
    video = torch.tensor([5, 5, 9, 9, 9, 0, 0, 5])
    for cluster, units in ((None, torch.arange(8)), (video, torch.tensor([1, 1, 2, 2, 2, 0, 0, 1]))):
        found = bootstrap(ranks, video_of_query=cluster, resamples=50, seed=3)
        draws = np.random.default_rng(3).integers(int(units.max()) + 1, size=(50, int(units.max()) + 1))
        slow = []
        for draw in draws:
            rows = torch.cat([(units == unit).nonzero().squeeze(1) for unit in draw.tolist()])
            slow.append(list(Recalls.of(ranks[rows]).to_dict().values()))
        low, high = np.quantile(np.array(slow), [0.025, 0.975], axis=0)
        assert tuple(found.of) == NAMES
        for place, bounds in enumerate(found.of.values()):
            assert bounds == pytest.approx((low[place], high[place]))
        assert found.unit == ("query" if cluster is None else "video")


def test_pieces_change_nothing_and_seeds_do(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = torch.randint(1, 50, (40,))
    one = bootstrap(ranks, resamples=64)
    assert bootstrap(ranks, resamples=64) == one
    assert bootstrap(ranks, resamples=64, seed=1).of != one.of
    monkeypatch.setattr("prvr.evaluation.intervals._CELLS", 40 * 7)
    assert bootstrap(ranks, resamples=64).of == one.of


def test_an_interval_is_as_wide_as_theory_says() -> None:
    """R@1 of 900 queries at 20 %: 1.96 · √(0.2 · 0.8 / 900) on either side; ten equal queries a video: √10 as wide."""
    ranks = torch.full((900,), 9)
    ranks[:180] = 1
    video = torch.arange(900) // 10
    low, high = bootstrap(ranks).of["R@1"]
    assert (high - low) / 2 == pytest.approx(100 * 1.96 * (0.2 * 0.8 / 900) ** 0.5, rel=0.06)
    wide = bootstrap(ranks, video_of_query=video).of["R@1"]
    assert wide.high - wide.low == pytest.approx((high - low) * 10**0.5, rel=0.08)


def test_the_same_run_does_not_differ() -> None:
    ranks = torch.randint(1, 50, (30,))
    found = compare(ranks, ranks)
    assert all((one.value, one.low, one.high, one.p_bootstrap) == (0, 0, 0, 1) for one in found.of.values())
    assert [one.p_exact for one in found.of.values()] == [1, 1, 1, 1, 1, None, None, None]


def test_a_comparison_by_hand() -> None:
    """Of ten queries five get better at R@1, one gets worse: 2 · (1 + 6) / 64."""
    ours = torch.tensor([5, 5, 5, 5, 5, 1, 200, 200, 1, 1])
    theirs = torch.tensor([1, 1, 1, 1, 1, 5, 200, 200, 1, 1])
    found = compare(ours, theirs, seed=1).of
    assert found["R@1"].value == pytest.approx(40)
    assert found["R@1"].p_exact == pytest.approx(2 * 7 / 64)
    assert found["SumR"].p_exact == found["R@1"].p_exact
    assert found["R@5"].p_exact == 1
    assert found["MedR"].value == -4
    assert found["MeanR"].value == pytest.approx(-1.6)
    by_video = compare(ours, theirs, video_of_query=torch.tensor([0, 0, 1, 1, 2, 3, 3, 4, 4, 5])).of
    assert by_video["R@1"].p_exact == pytest.approx(6 / 16)  # videos differ by 2, 2, 1, -1: sums of 4 and 6, of 16
    assert by_video["R@1"].value == found["R@1"].value


def test_the_bootstrap_tells_a_real_difference() -> None:
    ours = torch.randint(1, 40, (400,))
    better = torch.where(torch.rand(400) < 0.3, (ours // 2).clamp(min=1), ours)
    found = compare(ours, better).of["SumR"]
    assert 0 < found.low < found.value < found.high
    assert found.p_bootstrap < 0.01
    assert found.p_exact is not None
    assert found.p_exact < 1e-6


@given(st.lists(st.integers(-4, 4), max_size=9))
def test_sign_flips_equal_trying_them_all(differences: list[int]) -> None:
    observed = abs(sum(differences))
    patterns = list(product((-1, 1), repeat=len(differences)))
    far = sum(abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= observed for signs in patterns)
    assert sign_flip_p(np.array(differences, dtype=np.int64)) == pytest.approx(far / len(patterns))


@pytest.mark.parametrize(("up", "down"), [(3, 9), (40, 41), (700, 560), (3000, 3500)])
def test_with_ones_it_is_mcnemars_exact_test(up: int, down: int) -> None:
    total, fewer = up + down, min(up, down)
    tail, one = 0, 1
    for count in range(fewer + 1):
        tail, one = tail + one, one * (total - count) // (count + 1)
    want = min(Fraction(1), Fraction(2 * tail, 2**total))
    assert one == comb(total, fewer + 1)
    found = sign_flip_p(np.array([1] * up + [-1] * down + [0] * 5, dtype=np.int64))
    assert found == pytest.approx(float(want), rel=1e-9)


def test_what_cannot_be_drawn_is_said() -> None:
    with pytest.raises(DataError, match="there is no query to draw"):
        bootstrap(torch.empty(0, dtype=torch.int64))
    with pytest.raises(DataError, match="ranks of 2 and of 3 queries cannot be paired"):
        compare(torch.tensor([1, 2]), torch.tensor([1, 2, 3]))
