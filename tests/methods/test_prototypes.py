"""What ProtoPRVR-style prototypes learn from: by hand, by loops, and where the gradient goes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.methods.protoprvr_style.terms import (
    frames_missed,
    guided_attention,
    prototype_overlap,
    prototypes_used,
    words_missed,
)

OWN = torch.tensor([0, 1, 0, 2, 2])


def test_words_by_hand() -> None:
    """The second word was hidden, and the guess is one off in one number and two in the other."""
    words = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]]])
    guesses = torch.tensor([[[1.0, 3.0], [9.0, 9.0]], [[1.0, 0.0], [0.5, 0.0]]])
    found = words_missed(guesses, words, torch.tensor([[1, -1], [0, 0]]))
    torch.testing.assert_close(found, torch.tensor([[5.0, 0.0], [0.0, 0.25]]))


def test_words_and_frames_equal_the_loop() -> None:
    guesses, words = torch.randn(4, 3, 5).double().requires_grad_(), torch.randn(4, 6, 5).double()
    places = torch.tensor([[2, 0, -1], [5, -1, -1], [1, 2, 3], [0, -1, -1]])
    want = [
        sum(float((guesses[q, m, e] - words[q, p, e]).detach()) ** 2 for e in range(5))
        for q in range(4)
        for m, p in enumerate(places[q].tolist())
        if p >= 0
    ]
    found = words_missed(guesses, words, places)
    assert found[places >= 0].tolist() == pytest.approx(want)
    assert torch.autograd.gradcheck(lambda x: words_missed(x, words, places), guesses)
    rebuilt, frames = (torch.randn(2, 4, 3).double().requires_grad_() for _ in range(2))
    valid = torch.arange(4) < torch.tensor([[4], [2]])
    missed = frames_missed(rebuilt, frames, valid)
    for v in range(2):
        for t in range(4):
            gaps = [float((rebuilt[v, t, d] - frames[v, t, d]).detach()) ** 2 for d in range(3)]
            assert float(missed[v, t].detach()) == pytest.approx(sum(gaps) / 3 if valid[v, t] else 0.0)
    torch.autograd.backward(missed.sum())
    assert frames.grad is None, "what is to be rebuilt learns nothing from it"
    assert rebuilt.grad is not None
    assert not rebuilt.grad[~valid].any()


def slow_guidance(query: Tensor, prototypes: Tensor, share: Tensor, margin: float, *, is_first: bool) -> Tensor:
    """One query, as the paper has it: of two videos in one, is it about the first? share (L,) of the first."""
    best = max(range(len(prototypes)), key=lambda k: float(F.cosine_similarity(query, prototypes[k], dim=0)))
    arguments = (share[best] + margin, 1 - (share[best] - margin))
    clamped = [x.clamp(min=1e-6, max=1.0) for x in arguments]
    return -clamped[0].log() if is_first else -clamped[1].log()


def test_attention_equals_the_paper_whichever_video_comes_first() -> None:
    query, prototypes = torch.randn(5, 4).double(), torch.randn(3, 6, 4).double()
    share = torch.rand(3, 6).double().requires_grad_()
    found = guided_attention(query, prototypes, share, OWN, margin=0.1)
    for first in (True, False):
        want = [
            slow_guidance(query[q], prototypes[v], share[v] if first else 1 - share[v], 0.1, is_first=first)
            for q, v in enumerate(OWN.tolist())
        ]
        torch.testing.assert_close(found, torch.stack(want))
        gradients = [torch.autograd.grad(x.sum(), share, retain_graph=True)[0] for x in (found, torch.stack(want))]
        torch.testing.assert_close(*gradients)


def test_attention_by_hand() -> None:
    """The query likes the second prototype; 0.4 of what it looked at, and 0.1, is half."""
    prototypes = torch.tensor([[[0.0, 1.0], [1.0, 0.2]]])
    query = torch.tensor([[5.0, 0.0]])
    for share, want in ((0.4, math.log(2)), (0.9, 0.0), (1.0, 0.0), (0.0, math.log(10))):
        given = torch.tensor([[0.7, share]])
        found = guided_attention(query, prototypes, given, torch.tensor([0]), margin=0.1)
        assert float(found) == pytest.approx(want, abs=1e-6)
    done = torch.tensor([[0.7, 0.95]], requires_grad=True)
    torch.autograd.backward(guided_attention(query, prototypes, done, torch.tensor([0]), margin=0.1).sum())
    assert done.grad is not None
    assert not done.grad.any(), "enough is enough"


def test_overlap_by_hand_and_by_loop() -> None:
    right_angles = torch.tensor([[3.0, 0, 0], [0, 0.5, 0], [0, 0, 9]])
    opposite = torch.tensor([[1.0, 0, 0], [-2, 0, 0], [0, 1, 0]])
    assert prototype_overlap(torch.stack([right_angles, opposite])).tolist() == [0, 0]
    same = torch.ones(1, 2, 4)
    torch.testing.assert_close(prototype_overlap(same), torch.tensor([2**0.5 / 2]))
    assert prototype_overlap(torch.randn(2, 1, 4)).tolist() == [0, 0]
    many = torch.randn(2, 5, 3).double().requires_grad_()
    want = []
    for one in many:
        cosines = [
            F.cosine_similarity(one[i], one[j], dim=0).clamp(min=0) for i in range(5) for j in range(5) if i != j
        ]
        want.append(torch.stack(cosines).square().sum().sqrt() / 20)
    torch.testing.assert_close(prototype_overlap(many), torch.stack(want))
    gradients = [
        torch.autograd.grad(x.sum(), many, retain_graph=True)[0] for x in (prototype_overlap(many), torch.stack(want))
    ]
    torch.testing.assert_close(*gradients)
    nothing = right_angles[None].clone().requires_grad_()
    torch.autograd.backward(prototype_overlap(nothing).sum())
    assert nothing.grad is not None
    assert bool(nothing.grad.isfinite().all())


def test_used_prototypes_by_hand() -> None:
    prototypes = torch.eye(3)[None]
    every, one = torch.eye(3), torch.eye(3)[[0, 0, 0]]
    own = torch.zeros(3, dtype=torch.int64)
    assert float(prototypes_used(every, prototypes, own)) == pytest.approx(3)
    assert float(prototypes_used(one, prototypes, own)) == pytest.approx(1)
