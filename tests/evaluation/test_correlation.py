from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from torch import Tensor

from prvr.evaluation.correlation import average_ranks, cosine_matrix, rank_correlation, spearman


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_ranks_share_their_places() -> None:
    assert average_ranks(torch.tensor([0.3, 0.1, 0.3, 0.2, 0.3])).tolist() == [4, 1, 4, 2, 4]
    assert average_ranks(torch.tensor([])).tolist() == []


def slow_spearman(a: list[float], b: list[float]) -> float:
    def places(values: list[float]) -> list[float]:
        return [mean([i for i, other in enumerate(sorted(values), 1) if other == value]) for value in values]

    x, y = places(a), places(b)
    x, y = [value - mean(x) for value in x], [value - mean(y) for value in y]
    return sum(p * q for p, q in zip(x, y, strict=True)) / math.sqrt(sum(p * p for p in x) * sum(q * q for q in y))


def symmetric(values: Tensor) -> Tensor:
    return values.triu(1) + values.triu(1).T


def test_spearman_by_hand() -> None:
    """Pairs (0,1), (0,2), (1,2) are ranked 1, 2, 3 here and 1, 3, 2 there: 1 - 6 (0 + 1 + 1) / (3 · 8)."""
    ours = symmetric(torch.tensor([[0, 0.1, 0.2], [0, 0, 0.3], [0, 0, 0]]))
    theirs = symmetric(torch.tensor([[0, -9.0, 4], [0, 0, 2], [0, 0, 0]]))
    assert spearman(ours, theirs) == pytest.approx(0.5)
    assert spearman(ours, ours.exp()) == pytest.approx(1)
    assert spearman(ours, -ours) == pytest.approx(-1)


def test_spearman_equals_the_loop_ties_included() -> None:
    ours, theirs = (symmetric(torch.randint(0, 5, (9, 9)).double()) for _ in range(2))
    pairs = list(combinations(range(9), 2))
    a, b = ([float(m[i, j]) for i, j in pairs] for m in (ours, theirs))
    assert spearman(ours, theirs) == pytest.approx(slow_spearman(a, b), abs=1e-12)
    order = torch.randperm(9)
    assert spearman(ours[order][:, order], theirs[order][:, order]) == pytest.approx(slow_spearman(a, b), abs=1e-12)


def test_cosines_are_of_directions() -> None:
    vectors = torch.tensor([[3.0, 4.0], [-6.0, -8.0], [0.0, 1.0]])
    want = torch.tensor([[1.0, -1.0, 0.8], [-1.0, 1.0, -0.8], [0.8, -0.8, 1.0]])
    torch.testing.assert_close(cosine_matrix(vectors), want)


def test_what_is_not_defined_is_none() -> None:
    assert spearman(torch.ones(4, 4), torch.randn(4, 4)) is None
    assert spearman(torch.eye(2), torch.eye(2)) is None
    for exact in (0, 100):
        assert rank_correlation(torch.ones(9, 4), torch.randn(9, 4), exact=exact) is None


@pytest.mark.parametrize(("spread", "within"), [(1.0, 2e-6), (0.05, 2e-5)])
def test_shared_places_are_as_good_as_sorting(spread: float, within: float) -> None:
    """Also where all sentences point the same way (cosines of 0.998 on the average), and a few do not."""
    queries = spread * torch.randn(700, 24) + torch.randn(24)
    queries[5:12] = -queries[5:12]
    others = queries @ torch.randn(24, 16) + spread * torch.randn(700, 16)
    exact, shared = (rank_correlation(queries, others, exact=limit) for limit in (700, 699))
    assert exact == pytest.approx(spearman(cosine_matrix(queries), cosine_matrix(others)))
    assert shared != exact
    assert shared == pytest.approx(exact, abs=within)
