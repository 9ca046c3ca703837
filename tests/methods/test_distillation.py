from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from prvr.methods.dldkd.distillation import frame_distillation, hard_labelled, soft_nce
from prvr.parts.nce import query_nce, video_nce

OWN = torch.tensor([0, 1, 1, 2, 2, 2])


def test_distillation_by_hand() -> None:
    """Teacher 3 : 1, student 1 : 1, and a frame that is not there."""
    student = torch.tensor([[0.4, 0.4, 9.0]], requires_grad=True)
    teacher = torch.tensor([[0.5 * math.log(3), 0.0, 9.0]])
    valid = torch.tensor([[True, True, False]])
    loss = frame_distillation(student, teacher, valid, temperature=0.5)
    want = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    torch.testing.assert_close(loss, torch.tensor([want]))
    (grad,) = torch.autograd.grad(loss.sum(), student)
    torch.testing.assert_close(grad, torch.tensor([[-0.5, 0.5, 0.0]]))
    same = frame_distillation(teacher, teacher, valid, temperature=0.5)
    torch.testing.assert_close(same, torch.zeros(1))


def test_the_teacher_does_not_learn() -> None:
    student, teacher = torch.rand(2, 3, requires_grad=True), torch.rand(2, 3, requires_grad=True)
    loss = frame_distillation(student, teacher, torch.ones(2, 3, dtype=torch.bool), temperature=0.2).sum()
    assert torch.autograd.grad(loss, teacher, allow_unused=True)[0] is None


def test_the_videos_of_most_queries_keep_hard_labels() -> None:
    queries, videos = hard_labelled(OWN, 3, 0.7)  # 2 of 3 videos, 4 of 6 queries
    assert videos.tolist() == [False, True, True]
    assert queries.tolist() == [False, True, False, True, True, True]
    moved = torch.tensor([3, 5, 0, 1, 4, 2])
    again, _ = hard_labelled(OWN[moved], 3, 0.7)
    assert again[OWN[moved] == 2].all()
    assert int(again.sum()) == 4


def test_soft_labels_equal_the_loop() -> None:
    scores, targets = torch.randn(6, 3).double(), torch.randn(6, 3).double()
    share, trust = 0.4, 0.6
    queries, videos = hard_labelled(OWN, 3, share)
    hard, soft = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for q in range(6):
        label = F.one_hot(OWN[q], 3).double()
        if not queries[q]:
            label = (1 - trust) * targets[q].softmax(0) + trust * label
        term = -(label * scores[q].log_softmax(0)).sum()
        (hard if queries[q] else soft)[0] += term / (2 if queries[q] else 4)
    for v in range(3):
        label = OWN.eq(v).double()
        if not videos[v]:
            label = (1 - trust) * targets[:, v].softmax(0) + trust * label
        term = scores[:, v].logsumexp(0) - torch.log(((label + 1e-12) * scores[:, v].exp()).sum())
        (hard if videos[v] else soft)[1] += term / (1 if videos[v] else 2)
    want = share * hard.sum() + (1 - share) * soft.sum()
    torch.testing.assert_close(soft_nce(scores, targets, OWN, share=share, trust=trust), want)


def test_wholly_hard_labels_are_info_nce() -> None:
    scores, targets = torch.randn(6, 3).double(), torch.randn(6, 3).double()
    want = query_nce(scores, OWN).mean() + video_nce(scores, OWN).mean()
    torch.testing.assert_close(soft_nce(scores, targets, OWN, share=1.0, trust=0.3), want)
    one = soft_nce(torch.randn(1, 1), torch.randn(1, 1), torch.zeros(1, dtype=torch.int64), share=0.5, trust=0.5)
    assert float(one) == 0
