from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.kernels.switch import without_kernels
from prvr.methods.msc.tcpl import Over, mean_relation, relative_distances, tcpl_angle, tcpl_distance

F64 = torch.float64


def slow_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """One triple at a time, delta 1."""
    count, losses = len(student), torch.zeros(len(student), dtype=student.dtype)
    for i, j, k in product(range(count), repeat=3):
        ours, theirs = (F.cosine_similarity(x[j] - x[i], x[k] - x[i], dim=0) for x in (student, teacher))
        losses[i] += huber(ours - theirs, 1.0) / count**2
    return losses


def in_full(student: Tensor, teacher: Tensor) -> Tensor:
    """All triples in memory, twice as many digits."""
    with without_kernels():
        return tcpl_angle(student.double(), teacher.double()).float()


def huber(x: Tensor, delta: float) -> Tensor:
    """As the textbook has it: a parabola within delta, a line outside."""
    return torch.where(x.abs() <= delta, x.square() / 2, delta * (x.abs() - delta / 2))


def slow_distances(x: Tensor, unit: Over) -> Tensor:
    apart = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    counted = len(x) * (len(x) - 1) if unit == "pairs" else len(x) ** 2
    return apart / (apart.sum() / counted)


def test_distances_by_hand() -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])  # 3, 4, 5: mean 4
    torch.testing.assert_close(relative_distances(x), torch.tensor([[0, 0.75, 1.25], [0.75, 0, 1], [1.25, 1, 0]]))
    equal = torch.tensor([[0.0], [1.0], [-1.0]])  # 1, 2, 1: mean 4/3
    loss = tcpl_distance(x, equal)
    assert loss[0].tolist() == pytest.approx([0, 0, (1.25 - 0.75) ** 2 / 2], abs=1e-6)
    assert loss[1, 2].item() == pytest.approx((1.5 - 1) ** 2 / 2)
    assert float(tcpl_distance(x, 5 * x + 1).max()) < 1e-9


def test_the_mean_distance_may_count_the_diagonal() -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])  # 3, 4, 5: mean 4 over pairs, 24 / 9 over all
    torch.testing.assert_close(relative_distances(x, unit="all")[0], torch.tensor([0.0, 9 / 8, 15 / 8]))
    ones = 1 - torch.eye(3)
    assert float(mean_relation(ones, "pairs")) == 1
    assert float(mean_relation(ones, "all")) == pytest.approx(2 / 3)
    assert float(mean_relation(torch.zeros(1, 1), "pairs")) == 0


@pytest.mark.parametrize("unit", ["pairs", "all"])
@pytest.mark.parametrize("delta", [1.0, 0.1])
def test_distances_equal_the_plain_form_values_and_gradients(unit: Over, delta: float) -> None:
    student = torch.randn(11, 6, dtype=F64, requires_grad=True)
    teacher = torch.randn(11, 9, dtype=F64) * 3
    got = tcpl_distance(student, teacher, delta=delta, unit=unit)
    want = huber(slow_distances(student, unit) - slow_distances(teacher, unit), delta)
    torch.testing.assert_close(got, want)
    weight = torch.randn(11, 11, dtype=F64)
    grads = [torch.autograd.grad((loss * weight).sum(), student)[0] for loss in (got, want)]
    torch.testing.assert_close(*grads)


def test_angles_by_hand() -> None:
    corner = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    line = torch.tensor([[0.0], [1.0], [2.0]])
    # at the corner 0 against 1; at (3, 0) 3/5 against -1, beyond 1 and so linear; at (0, 4) 4/5 against 1; each twice
    want = torch.tensor([2 * 0.5, 2 * (1.6 - 0.5), 2 * 0.5 * 0.2**2]) / 9
    torch.testing.assert_close(tcpl_angle(corner, line), want)


@pytest.mark.parametrize("form", [nullcontext, without_kernels])
def test_angles_equal_the_loop_over_triples(form: Callable[..., nullcontext[None]]) -> None:
    student, teacher = torch.randn(6, 5, dtype=F64, requires_grad=True), torch.randn(6, 7, dtype=F64) * 3
    want, weight = slow_angle(student, teacher), torch.randn(6, dtype=F64)
    with form():
        got = tcpl_angle(student, teacher)
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)
        grads = [torch.autograd.grad((loss * weight).sum(), student)[0] for loss in (got, want)]
    torch.testing.assert_close(*grads, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("form", [nullcontext, without_kernels])
def test_equal_points_count_nothing_and_spoil_nothing(form: Callable[..., nullcontext[None]]) -> None:
    student, teacher = torch.randn(5, 6, dtype=F64), torch.randn(5, 6, dtype=F64)
    teacher[4] = teacher[1]
    student[3] = student[2]
    with form():
        leaf = student.clone().requires_grad_()
        got = tcpl_angle(leaf, teacher)
        grad = torch.autograd.grad(got.sum(), leaf)[0]
    torch.testing.assert_close(got, slow_angle(student, teacher), rtol=1e-9, atol=1e-12)
    assert grad.isfinite().all()
    assert float(grad.abs().max()) < 10


def test_single_precision_holds_far_from_the_origin() -> None:
    teacher, student = torch.randn(60, 32), torch.randn(60, 32) + 20
    torch.testing.assert_close(tcpl_angle(student, teacher), in_full(student, teacher), rtol=1e-4, atol=1e-6)
    close = torch.randn(60, 32)
    close[30:] = close[:30] + 1e-3 * torch.randn(30, 32)  # the same sentence, twice, under dropout
    torch.testing.assert_close(tcpl_angle(close, teacher), in_full(close, teacher), rtol=2e-3, atol=1e-5)


def test_the_order_of_queries_does_not_matter_and_few_are_fine() -> None:
    student, teacher, order = torch.randn(8, 5), torch.randn(8, 4), torch.randperm(8)
    torch.testing.assert_close(tcpl_angle(student[order], teacher[order]), tcpl_angle(student, teacher)[order])
    torch.testing.assert_close(
        tcpl_distance(student[order], teacher[order]), tcpl_distance(student, teacher)[order][:, order]
    )
    for count in (1, 2):
        few = torch.randn(count, 5, requires_grad=True)
        loss = tcpl_angle(few, teacher[:count]).mean() + tcpl_distance(few, teacher[:count]).mean()
        assert math.isfinite(float(loss.detach()))
        assert torch.autograd.grad(loss, few)[0].isfinite().all()


def test_the_teacher_gets_no_gradient() -> None:
    student, teacher = torch.randn(5, 4, requires_grad=True), torch.randn(5, 4, requires_grad=True)
    loss = tcpl_angle(student, teacher).sum() + tcpl_distance(student, teacher).sum()
    (grad,) = torch.autograd.grad(loss, teacher, allow_unused=True)
    assert grad is None
