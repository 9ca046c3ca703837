"""ARL-style ambiguity and the losses that read it: by hand, by loops, and without it what everybody has."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from prvr.methods.arl_style.ambiguity import ambiguous_frames, ambiguous_videos, any_nce, dual_margin, many_nce
from prvr.parts.nce import own_pairs, query_nce, video_nce
from prvr.parts.triplet import query_triplet, video_triplet

OWN = torch.tensor([0, 1, 0, 2, 3, 1, 2])


def slow_videos(scores: Tensor, uncertainty: Tensor, most: int) -> list[set[int]]:
    """One query after the other."""
    similar = sum(float(scores[i, v]) for i, v in enumerate(OWN.tolist())) / len(OWN)
    every = [float(u) for row in uncertainty for u in row]
    uncertain = sum(every) / len(every)
    found = []
    for i, v in enumerate(OWN.tolist()):
        some = [j for j in range(scores.shape[1]) if j != v]
        some = [j for j in some if float(scores[i, j]) >= similar and float(uncertainty[i, j]) >= uncertain]
        found.append(set(sorted(some, key=lambda j: -float(scores[i, j]))[:most]))
    return found


@pytest.mark.parametrize("most", [0, 1, 3])
def test_ambiguous_videos_equal_the_loop(most: int) -> None:
    for _ in range(20):
        scores, uncertainty = torch.randn(7, 9).double(), torch.randn(7, 9).double()
        found = ambiguous_videos(scores, uncertainty, OWN, most=most)
        assert [set(row.nonzero().squeeze(1).tolist()) for row in found] == slow_videos(scores, uncertainty, most)
        assert not (found & own_pairs(OWN, 9)).any()


def test_ambiguous_videos_by_hand() -> None:
    """Right pairs are alike by 0.5 on average; of the wrong ones that are, one is not generic enough."""
    scores = torch.tensor([[0.4, 0.6, 0.7], [0.5, 0.6, 0.1]])
    uncertainty = torch.tensor([[0.9, 0.8, 0.1], [0.7, 0.0, 0.5]])
    found = ambiguous_videos(scores, uncertainty, torch.tensor([0, 1]), most=3)
    assert found.tolist() == [[False, True, False], [True, False, False]]


def test_ambiguous_frames_by_hand() -> None:
    """0.85 and 0.82 are within 0.1 of 0.9; the first is generic; padding is neither a frame nor part of the mean."""
    scores = torch.tensor([[0.9, 0.85, 0.82, 0.3, 5.0]])
    uncertainty = torch.tensor([[0.1, 0.5, 0.2, 0.3, 9.0]])
    valid = torch.tensor([[True, True, True, True, False]])
    found = ambiguous_frames(scores, uncertainty, valid, slack=0.1)
    assert found.tolist() == [[False, True, False, False, False]]
    # a query's own uncertainty, as in the paper's mean of both, changes nothing
    assert torch.equal(ambiguous_frames(scores, (uncertainty + 0.7) / 2, valid, slack=0.1), found)


def test_several_hits_by_hand() -> None:
    scores = torch.tensor([[0.0, math.log(2), math.log(5), 7.0]])
    hits = torch.tensor([[True, True, False, False]])
    valid = torch.tensor([[True, True, True, False]])
    assert float(many_nce(scores, hits, valid)) == pytest.approx(math.log(8) - math.log(2) / 2)
    assert float(any_nce(scores[:, :3], hits[:, :3])) == pytest.approx(math.log(8 / 3))


def test_several_hits_equal_the_loop() -> None:
    scores, hits = torch.randn(5, 6).double().requires_grad_(), torch.rand(5, 6) < 0.4
    hits[:, 2] = True
    many, any_ = [], []
    for i in range(5):
        total = torch.stack([scores[i, j].exp() for j in range(6)]).sum()
        mine = [scores[i, j] for j in range(6) if hits[i, j]]
        many.append(total.log() - sum(mine) / len(mine))
        any_.append(total.log() - torch.stack([x.exp() for x in mine]).sum().log())
    for found, want in ((many_nce(scores, hits), many), (any_nce(scores, hits), any_)):
        torch.testing.assert_close(found, torch.stack(want))
        gradients = [torch.autograd.grad(x.sum(), scores, retain_graph=True)[0] for x in (found, torch.stack(want))]
        torch.testing.assert_close(*gradients)


def test_two_margins_by_hand() -> None:
    """0.2 + 0.9 - 1 from the hardest clean one, 0.1 + 0.95 - 1 from the ambiguous one; nothing where there is none."""
    scores = torch.tensor([[1.0, 0.9, 0.95, 0.3], [1.0, 0.9, 0.95, 0.3], [1.0, 0.9, 0.95, 0.3]])
    right = torch.tensor([True, False, False, False])
    ambiguous = torch.tensor([[False, False, True, False], [False] * 4, [False, True, True, True]])
    found = dual_margin(
        scores[:, 0],
        scores,
        ambiguous=ambiguous & torch.tensor([[True], [True], [False]]),
        clean=~ambiguous & ~right,
        margin=0.2,
        ambiguous_margin=0.1,
        pool=1,
    )
    torch.testing.assert_close(found, torch.tensor([0.1 + 0.05, 0.15, 0.0]))


def test_two_margins_equal_the_loop() -> None:
    """One ambiguous one at most, and the hardest clean one: then nothing is left to chance."""
    scores, own = torch.rand(7, 6).double().requires_grad_(), own_pairs(OWN, 6)
    ambiguous = torch.zeros_like(own)
    for i in (0, 3, 4):
        ambiguous[i, (int(OWN[i]) + 1) % 6] = True
    right = scores.gather(1, OWN[:, None]).squeeze(1)
    margins = {"margin": 0.2, "ambiguous_margin": 0.1}
    found = dual_margin(right, scores, ambiguous=ambiguous, clean=~ambiguous & ~own, pool=1, **margins)
    want = []
    for i, v in enumerate(OWN.tolist()):
        clean = [j for j in range(6) if j != v and not ambiguous[i, j]]
        hardest = max(clean, key=scores[i].tolist().__getitem__)
        total = (0.2 + scores[i, hardest] - scores[i, v]).clamp(min=0)
        for j in ambiguous[i].nonzero().squeeze(1).tolist():
            total = total + (0.1 + scores[i, j] - scores[i, v]).clamp(min=0)
        want.append(total)
    torch.testing.assert_close(found, torch.stack(want))
    gradients = [torch.autograd.grad(x.sum(), scores, retain_graph=True)[0] for x in (found, torch.stack(want))]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("pool", [1, 3, None])
def test_without_ambiguity_it_is_what_everybody_has(pool: int | None) -> None:
    scores, own = torch.randn(7, 4), own_pairs(OWN, 4)
    margins = {"margin": 0.2, "ambiguous_margin": 0.1}
    torch.testing.assert_close(many_nce(scores, own), query_nce(scores, OWN))
    torch.testing.assert_close(any_nce(scores.T, own.T), video_nce(scores, OWN))
    right, mean = scores.gather(1, OWN[:, None]).squeeze(1), (scores * own).sum(0) / own.sum(0)
    for of, table, mine in ((query_triplet, scores, own), (video_triplet, scores.T, own.T)):
        torch.manual_seed(3)
        want = of(scores, OWN, margin=0.2, pool=pool)
        torch.manual_seed(3)
        positive = right if of is query_triplet else mean
        found = dual_margin(positive, table, ambiguous=torch.zeros_like(mine), clean=~mine, pool=pool, **margins)
        torch.testing.assert_close(found, want)


def test_rows_without_any_negative() -> None:
    scores = torch.rand(2, 3, requires_grad=True)
    none = torch.zeros(2, 3, dtype=torch.bool)
    found = dual_margin(scores[:, 0], scores, ambiguous=none, clean=none, margin=0.2, ambiguous_margin=0.1, pool=None)
    torch.autograd.backward(found.sum())
    assert found.tolist() == [0, 0]
    assert scores.grad is not None
    assert not scores.grad.any()
