from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, Made
from prvr.methods.msc.network import Aligned
from prvr.parts.nce import query_nce, video_nce
from prvr.parts.objective import Objective, Term, weighted
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
    """Of what `see` made of both sides, once for all of them; what is watched is in the log alone."""
    made, given = network().embed(batch()), batch()
    looks: list[int] = []

    def see(made: Made[Tensor, Aligned], _: Batch[Any], epoch: int) -> Tensor:
        looks.append(epoch)
        return made.queries * 3

    objective = Objective(
        see=see,
        terms={"a": lambda seen, _, __: seen.sum(), "b": lambda _, __, epoch: torch.tensor(float(epoch))},
        weights={"a": 2.0, "b": 0.5},
        watched={"w": lambda seen, _, __: seen.square().sum()},
    )
    total, parts = objective(made, given, 3)
    torch.testing.assert_close(total, 6 * made.queries.sum() + 1.5)
    assert looks == [3]
    assert parts["b"] == 3
    torch.testing.assert_close(parts["a"], 3 * made.queries.detach().sum())
    torch.testing.assert_close(parts["w"], 9 * made.queries.detach().square().sum())
    assert not any(part.requires_grad for part in parts.values())
    assert total.requires_grad
    with pytest.raises(ConfigError, match="c must have both"):
        replace(objective, weights={"a": 1.0, "b": 1.0, "c": 1.0})
    with pytest.raises(ConfigError, match="no term"):
        replace(objective, terms={}, weights={})


def test_weights_are_found_by_the_names_of_the_terms() -> None:
    """1 where the settings say nothing; a weight of 0 leaves its term out, which then is not worked out."""

    def never(*_: object) -> Tensor:
        raise AssertionError

    terms: dict[str, Term[Tensor]] = {
        "nce_clip": never,
        "nce_frame": lambda seen, _, __: seen.sum(),
        "own": lambda seen, _, __: seen.sum() * 2,
    }
    found: Objective[Made[Tensor, Aligned], Tensor] = weighted(
        lambda made, _, __: made.queries, terms, SimpleNamespace(nce_clip=0.0, nce_frame=0.5)
    )
    assert found.weights == {"nce_frame": 0.5, "own": 1.0}
    made, given = network().embed(batch()), batch()
    torch.testing.assert_close(found(made, given, 0).total, 2.5 * made.queries.sum())
