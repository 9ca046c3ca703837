from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prvr.core.errors import DataError, PrvrError
from prvr.evaluation.metrics import Recalls, ranks


def test_ranks_by_hand() -> None:
    scores = torch.tensor(
        [
            [0.9, 0.1, 0.5],  # right video 0: rank 1
            [0.4, 0.4, 0.2],  # right video 1, tied with 0: a tie counts against us, rank 2
            [0.3, 0.2, 0.1],  # right video 2: rank 3
            [0.7, 0.7, 0.7],  # a model that says the same of all is last, not first
            [-torch.inf, 0.0, -torch.inf],  # no valid token: behind all others
        ]
    )
    found = ranks(scores, torch.tensor([0, 1, 2, 0, 0]))
    assert found.tolist() == [1, 2, 3, 3, 3]
    assert found.dtype == torch.int64


@given(st.integers(1, 7), st.integers(1, 9), st.integers(0, 2**31))
def test_ranks_equal_the_loop(num_queries: int, num_videos: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 4, (num_queries, num_videos), generator=generator).float()  # full of ties
    truth = torch.randint(0, num_videos, (num_queries,), generator=generator)
    slow = [sum(score >= row[t] for score in row) for row, t in zip(scores.tolist(), truth.tolist(), strict=True)]
    assert ranks(scores, truth).tolist() == slow
    pieces = [ranks(s, t) for s, t in zip(torch.split(scores, 2), torch.split(truth, 2), strict=True)]
    assert torch.cat(pieces).tolist() == slow
    order = torch.randperm(num_videos, generator=generator)
    assert ranks(scores[:, order], order.argsort()[truth]).tolist() == slow


def test_scores_that_are_no_numbers_are_refused() -> None:
    scores = torch.tensor([[0.1, 0.2], [float("nan"), 0.1], [0.0, float("nan")]])
    with pytest.raises(PrvrError, match=r"scores of 2 of 3 queries are not numbers \(first: row 1\); .* train again"):
        ranks(scores, torch.tensor([0, 1, 0]))


def test_recalls_by_hand() -> None:
    measured = Recalls.of(torch.tensor([1, 1, 2, 6, 11, 101]))
    assert measured.to_dict() == pytest.approx(
        {
            "R@1": 100 * 2 / 6,
            "R@5": 100 * 3 / 6,
            "R@10": 100 * 4 / 6,
            "R@100": 100 * 5 / 6,
            "SumR": 100 * 14 / 6,
            "MedR": 4.0,
            "MeanR": 122 / 6,
            "mAP": 100 * (1 + 1 + 1 / 2 + 1 / 6 + 1 / 11 + 1 / 101) / 6,
        }
    )
    assert list(measured.to_dict()) == ["R@1", "R@5", "R@10", "R@100", "SumR", "MedR", "MeanR", "mAP"]
    assert Recalls.from_dict(json.loads(json.dumps(measured.to_dict()))) == measured
    assert Recalls.of(torch.tensor([9, 1, 3])).med_r == 3
    assert Recalls.of(torch.tensor([3, 2])).r100 == 100


def test_sumr_is_summed_before_rounding() -> None:
    """Three times 16.66 and once 100: 150.0, where the rounded parts would give 150.1."""
    measured = Recalls.of(torch.tensor([1, 50, 50, 50, 50, 50]))
    assert f"{measured.sum_r:.1f}" == "150.0"
    assert sum(round(value, 1) for value in (measured.r1, measured.r5, measured.r10, measured.r100)) > 150.05


def test_nothing_to_evaluate_is_said() -> None:
    with pytest.raises(DataError, match="there is no query to evaluate"):
        Recalls.of(torch.empty(0, dtype=torch.int64))
