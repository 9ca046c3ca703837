from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.parts.nce import query_nce, video_nce
from prvr.parts.objective import Objective
from prvr.parts.triplet import draw_ranks, query_triplet, video_triplet
from tests.methods.make import batch, network

OWN = torch.tensor([0, 0, 1, 2, 2, 2, 1])


def scores(videos: int = 3) -> Tensor:
    return torch.randn(len(OWN), videos, dtype=torch.float64, requires_grad=True)


def test_nce_by_hand() -> None:
    given = torch.tensor([[0.0, math.log(3)], [0.0, 0.0], [math.log(2), math.log(5)]])
    own = torch.tensor([0, 1, 1])
    torch.testing.assert_close(query_nce(given, own), torch.tensor([4.0, 2.0, 7 / 5]).log())
    torch.testing.assert_close(video_nce(given, own), torch.tensor([4 / 1, 9 / 6]).log())
    torch.testing.assert_close(query_nce(given, own, temperature=0.5), torch.tensor([10.0, 2.0, 29 / 25]).log())


def test_nce_equals_the_loop() -> None:
    given = scores()
    by_query = [-(given[q, OWN[q]].exp() / given[q].exp().sum()).log() for q in range(len(OWN))]
    by_video = [-(given[v == OWN, v].exp().sum() / given[:, v].exp().sum()).log() for v in range(3)]
    torch.testing.assert_close(query_nce(given, OWN), torch.stack(by_query))
    torch.testing.assert_close(video_nce(given, OWN), torch.stack(by_video))
    want = torch.autograd.grad(torch.stack(by_query).mean() + torch.stack(by_video).mean(), given)[0]
    got = torch.autograd.grad(query_nce(given, OWN).mean() + video_nce(given, OWN).mean(), given)[0]
    torch.testing.assert_close(got, want)


def test_triplet_by_hand() -> None:
    given = torch.tensor([[0.9, 0.8, 0.1], [0.2, 0.3, 0.6], [0.5, 0.4, 0.0]])
    own = torch.tensor([0, 1, 0])
    hard_queries = query_triplet(given, own, margin=0.2, pool=1)
    torch.testing.assert_close(hard_queries, torch.tensor([0.1, 0.5, 0.1]))
    hard_videos = video_triplet(given[:, :2], own, margin=0.2, pool=1)  # positives 0.7 and 0.3
    torch.testing.assert_close(hard_videos, torch.tensor([0.0, 0.7]))


def loop_negatives(given: Tensor, own: Tensor, q: int, pool: int | None) -> list[float]:
    wrong = sorted((float(given[q, v]) for v in range(given.shape[1]) if v != own[q]), reverse=True)
    return wrong[:pool]


@pytest.mark.parametrize("pool", [1, 2, 20, None])
def test_negatives_are_drawn_evenly_from_the_pool(pool: int | None) -> None:
    given, own = torch.rand(1, 6).expand(4000, 6), torch.zeros(4000, dtype=torch.int64)
    generator = torch.Generator().manual_seed(4)
    loss = query_triplet(given, own, margin=10.0, pool=pool, generator=generator)
    drawn = (loss - 10 + given[:, 0]).tolist()
    allowed = loop_negatives(given, own, 0, pool)
    counts = [sum(abs(one - want) < 1e-5 for one in drawn) for want in allowed]
    assert sum(counts) == 4000
    assert min(counts) > 0.8 * 4000 / len(allowed)


def test_negatives_belong_to_others_and_carry_gradient() -> None:
    given = scores()
    for pool in (None, 1, 2):
        loss = video_triplet(given, OWN, margin=5.0, pool=pool)
        grad = torch.autograd.grad(loss.sum(), given)[0]
        for v in range(3):
            own = OWN.eq(v)
            torch.testing.assert_close(
                grad[own, v], torch.full((int(own.sum()),), -1 / float(own.sum()), dtype=torch.float64)
            )
            assert sorted(grad[~own, v].tolist())[-1] == 1
            assert grad[~own, v].sum() == 1
    hardest = video_triplet(given, OWN, margin=5.0, pool=1)
    for v in range(3):
        want = 5 + given[v != OWN, v].max() - given[v == OWN, v].mean()
        torch.testing.assert_close(hardest[v], want)


def test_recorded_draws_are_replayed() -> None:
    given = scores().detach()
    ranks = torch.tensor([1, 0, 1, 0, 1, 0, 0])
    loss = query_triplet(given, OWN, margin=3.0, pool=None, ranks=ranks)
    for q in range(len(OWN)):
        want = 3 + loop_negatives(given, OWN, q, None)[int(ranks[q])] - given[q, OWN[q]]
        assert float(loss[q]) == pytest.approx(float(want))


def test_a_video_alone_in_its_batch_costs_nothing() -> None:
    given, own = torch.rand(3, 1, requires_grad=True), torch.zeros(3, dtype=torch.int64)
    for pool in (None, 1, 20):
        loss = (
            query_triplet(given, own, margin=1.0, pool=pool).sum()
            + video_triplet(given, own, margin=1.0, pool=pool).sum()
        )
        assert float(loss.detach()) == 0
        assert not torch.autograd.grad(loss, given)[0].any()
    assert draw_ranks(torch.ones(2, 3, dtype=torch.bool), None).tolist() == [0, 0]


def test_objective_adds_named_terms() -> None:
    outputs, given = network()(batch()), batch()
    objective = Objective(
        terms={"a": lambda o, b, e: o.query.sum(), "b": lambda o, b, e: torch.tensor(float(e))},
        weights={"a": 2.0, "b": 0.5},
    )
    total, parts = objective(outputs, given, 3)
    torch.testing.assert_close(total, 2 * outputs.query.sum() + 1.5)
    assert parts["b"] == 3
    assert not parts["a"].requires_grad
    assert total.requires_grad
    with pytest.raises(ConfigError, match="c must have both"):
        Objective(terms=objective.terms, weights={"a": 1.0, "b": 1.0, "c": 1.0})
    with pytest.raises(ConfigError, match="no term"):
        Objective(terms={}, weights={})
