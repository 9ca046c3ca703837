from __future__ import annotations

import numpy as np
import pytest
import torch

from prvr.evaluation.ratios import by_ratio


def test_groups_by_hand() -> None:
    """0.2 belongs to the first group also where it is the rounded quotient of seconds; what is not known to none."""
    share = np.array([0.05, (18.6 - 12.4) / 31.0, 0.2000001, 0.4, np.nan, 0.99, 1.0])
    ranks = torch.tensor([1, 200, 2, 200, 1, 7, 200])
    found = by_ratio(ranks, share)
    assert found is not None
    assert [(group.above, group.upto, group.num_queries) for group in found] == [
        (0, 0.2, 2),
        (0.2, 0.4, 2),
        (0.4, 1, 2),
    ]
    assert [group.recalls.sum_r for group in found if group.recalls] == pytest.approx([200, 150, 100])


def test_what_is_not_known_is_none() -> None:
    assert by_ratio(torch.tensor([1, 2]), np.array([np.nan, np.nan])) is None
    found = by_ratio(torch.tensor([1, 2]), np.array([np.nan, 0.3]))
    assert found is not None
    assert [group.recalls is None for group in found] == [True, False, True]
