from __future__ import annotations

import math
import sys
from itertools import permutations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.methods.mssl.loss import pair_nce
from prvr.parts.diversity import focal_diversity, query_diversity
from prvr.parts.matching import assign, optimal_matching, place_in_video

OWN = torch.tensor([0, 0, 1, 2, 2, 2, 0])


def test_diversity_by_hand() -> None:
    """Two queries at a right angle, a third alone."""
    query, own = torch.tensor([[2.0, 0], [0, 3], [1, 1]]), torch.tensor([0, 0, 1])
    found = query_diversity(query, own, margin=0.5, scale=2.0)
    torch.testing.assert_close(found, torch.tensor([math.log(1 + math.e), math.log(1 + math.e), 0.0]))
    focal = focal_diversity(query, own, margin=0.5, scale=2.0, power=3.0)
    torch.testing.assert_close(focal, found)  # (1 + 0)^3 is 1
    same = focal_diversity(torch.tensor([[1.0, 0], [4, 0]]), torch.tensor([5, 5]), margin=0.0, scale=1.0, power=2.0)
    torch.testing.assert_close(same, torch.full((2,), 4 * math.log(1 + math.e)))


def test_diversity_equals_the_loop() -> None:
    query = torch.randn(len(OWN), 4, dtype=torch.float64, requires_grad=True)
    plain, focal = [], []
    for i in range(len(OWN)):
        others = [j for j in range(len(OWN)) if j != i and OWN[j] == OWN[i]]
        cosines = [F.cosine_similarity(query[i], query[j], dim=0) for j in others]
        zero = query.sum() * 0
        plain.append(torch.log1p(sum((torch.exp(8 * (c + 0.2)) for c in cosines), zero)))
        focal.append(sum(((1 + c) ** 0.5 * torch.log1p(torch.exp(8 * (c + 0.2))) for c in cosines), zero))
    ours = query_diversity(query, OWN, margin=0.2, scale=8), focal_diversity(query, OWN, margin=0.2, scale=8, power=0.5)
    for got, want in zip(ours, (torch.stack(plain), torch.stack(focal)), strict=True):
        torch.testing.assert_close(got, want)
        one, other = (torch.autograd.grad(x.sum(), query, retain_graph=True)[0] for x in (got, want))
        torch.testing.assert_close(one, other)


def test_opposite_queries_have_a_finite_gradient() -> None:
    query = torch.tensor([[1.0, 0], [-1, 0]], requires_grad=True)
    for power in (0.5, 1.0, 2.0):
        loss = focal_diversity(query, torch.tensor([0, 0]), margin=0.2, scale=32, power=power).sum()
        assert torch.autograd.grad(loss, query)[0].isfinite().all()


def slow_assign(cost: Tensor, rows: Tensor, columns: Tensor) -> list[float]:
    """The cheapest total of each problem, of all ways to give as many rows a column as can have one."""
    totals = []
    for one, row, column in zip(cost, rows, columns, strict=True):
        part = one[row][:, column]
        part = part if part.shape[0] <= part.shape[1] else part.T
        ways = permutations(range(part.shape[1]), part.shape[0])
        totals.append(min(float(sum(part[i, j] for i, j in enumerate(way))) for way in ways))
    return totals


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(0, 10_000), st.sampled_from(["real", "whole"])
)
def test_assignments_are_the_cheapest(number: int, rows: int, columns: int, seed: int, kind: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    cost = torch.randn(number, rows, columns, generator=generator, dtype=torch.float64)
    if kind == "whole":  # many ties
        cost = (2 * cost).round()
    there = torch.rand(number, rows, generator=generator) < 0.7
    usable = torch.rand(number, columns, generator=generator) < 0.8
    chosen = assign(cost, there, usable)
    for v in range(number):
        taken = chosen[v][chosen[v] >= 0]
        assert len(set(taken.tolist())) == len(taken) == min(int(there[v].sum()), int(usable[v].sum()))
        assert usable[v][taken].all()
        assert not (chosen[v] >= 0)[~there[v]].any()
    totals = [float(cost[v, chosen[v] >= 0, chosen[v][chosen[v] >= 0]].sum()) for v in range(number)]
    assert totals == pytest.approx(slow_assign(cost, there, usable))


def test_without_scipy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ConfigError, match=r"pip install 'prvr\[matching\]'"):
        assign(torch.ones(1, 1, 1), torch.ones(1, 1) > 0, torch.ones(1, 1) > 0)


def test_matching_equals_the_loop() -> None:
    query, clips = torch.randn(len(OWN), 6).double().requires_grad_(), torch.randn(3, 4, 6).double().requires_grad_()
    valid = torch.ones(3, 4, dtype=torch.bool)
    valid[2, 3] = False
    far, matched = optimal_matching(query, clips, valid, OWN)
    terms = []
    for v in range(3):
        mine = OWN.eq(v).nonzero().squeeze(1)
        if len(mine) < 2:
            continue
        cosine = F.cosine_similarity(query[mine][:, None], clips[v][valid[v]][None], dim=-1)
        pairs = linear_sum_assignment(-cosine.detach().numpy())
        terms.append(1 - cosine[pairs])
    want = torch.cat(terms).mean()
    assert matched.tolist() == [True, True, False, True, True, True, True]
    assert not far[~matched].any()
    torch.testing.assert_close(far.sum() / matched.sum(), want)
    leaves = (query, clips)
    ours = torch.autograd.grad(far.sum() / matched.sum(), leaves)
    torch.testing.assert_close(ours, torch.autograd.grad(want, leaves))


def test_more_queries_than_clips_leave_some_out() -> None:
    query, clips = torch.randn(5, 3), torch.randn(1, 2, 3)
    far, matched = optimal_matching(query, clips, torch.ones(1, 2, dtype=torch.bool), torch.zeros(5, dtype=torch.int64))
    assert int(matched.sum()) == 2
    assert far[matched].gt(0).all()


def test_places_in_their_video() -> None:
    assert place_in_video(torch.tensor([2, 0, 2, 1, 2, 0])).tolist() == [0, 0, 1, 0, 2, 1]


def test_pairs_by_hand() -> None:
    """Row 0 and column 0 hold e^0 four times: the right pair twice."""
    torch.testing.assert_close(pair_nce(torch.zeros(2, 2)), torch.full((2,), math.log(4)))
    scores = torch.tensor([[math.log(2), 0.0], [math.log(3), 0.0]])
    torch.testing.assert_close(pair_nce(scores), torch.tensor([8 / 2, 6 / 1]).log())
