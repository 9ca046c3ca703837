from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.parts.bert_adam import BertAdam, decay_groups, published_undecayed, warmup_cosine, warmup_linear


def test_the_schedule_by_hand() -> None:
    at = [warmup_linear(step / 10, 0.2) for step in range(13)]
    assert at == pytest.approx([0, 0.5, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0, 0, 0])
    at = [warmup_cosine(progress, 0.2) for progress in (0, 0.1, 0.2, 0.6, 1, 1.2)]
    assert at == pytest.approx([0, 0.5, 1, 0.5, 0, 0])
    assert warmup_linear(0, 0) == warmup_cosine(0, 0) == 1


def test_two_steps_by_hand() -> None:
    parameter = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = BertAdam([parameter], lr=0.1, total_steps=4, warmup=0.5, weight_decay=0.01)
    for expected_rate in (0.0, 0.05):
        parameter.grad = torch.tensor([3.0, 4.0], dtype=torch.float64)  # of norm 5, so clipped to 0.6, 0.8
        optimizer.step()
        assert optimizer.param_groups[0]["rate"] == pytest.approx(expected_rate)
        assert parameter.grad.tolist() == [3, 4]
        if expected_rate == 0:
            assert parameter.tolist() == [1, -2]
    for value, start, gradient in zip(parameter.tolist(), (1.0, -2.0), (0.6, 0.8), strict=True):
        first = 0.9 * 0.1 * gradient + 0.1 * gradient
        second = 0.999 * 0.001 * gradient**2 + 0.001 * gradient**2
        assert value == pytest.approx(start - 0.05 * (first / (math.sqrt(second) + 1e-6) + 0.01 * start), abs=1e-6)


def test_the_running_mean_by_hand() -> None:
    """It begins at the first weights, follows fast at first, and stands in their place only where it is asked to."""
    parameter, still = nn.Parameter(torch.tensor([1.0])), nn.Parameter(torch.tensor([7.0]))
    optimizer = BertAdam([parameter, still], lr=0.1, total_steps=50, warmup=0.0, ema=0.15)
    mean = 1.0
    for step in range(4):
        parameter.grad = torch.tensor([0.5])
        optimizer.step()
        decay = min(0.15, (1 + step) / (10 + step))
        mean = decay * mean + (1 - decay) * parameter.item()
    learned = parameter.item()
    with optimizer.averaged():
        assert parameter.item() == pytest.approx(mean)
        assert still.item() == 7
    assert parameter.item() == learned != pytest.approx(mean)
    plain = BertAdam([parameter], lr=0.1, total_steps=1)
    plain.step()
    with plain.averaged():
        assert parameter.item() == learned
    assert "mean" not in plain.state[parameter]


class Slow:
    """One tensor at a time, one line a step of the formula."""

    def __init__(self, parameters: list[Tensor], *, lr: float, total: int, warmup: float, decay: float) -> None:
        self.parameters, self.lr, self.total, self.warmup, self.decay = parameters, lr, total, warmup, decay
        self.m = [torch.zeros_like(p) for p in parameters]
        self.v = [torch.zeros_like(p) for p in parameters]
        self.t = [0] * len(parameters)

    def step(self, gradients: list[Tensor | None]) -> None:
        for i, g in enumerate(gradients):
            if g is None:
                continue
            g = g * min(1.0, 1.0 / (float(g.norm()) + 1e-6))
            self.m[i] = 0.9 * self.m[i] + 0.1 * g
            self.v[i] = 0.999 * self.v[i] + 0.001 * g * g
            x = self.t[i] / self.total
            k = x / self.warmup if x < self.warmup else max(0, (1 - x) / (1 - self.warmup))
            update = self.m[i] / (self.v[i].sqrt() + 1e-6) + self.decay * self.parameters[i]
            self.parameters[i] = self.parameters[i] - self.lr * k * update
            self.t[i] += 1


@pytest.mark.parametrize("cached", [1, 10, 1 << 16])
def test_all_at_once_equals_one_at_a_time(monkeypatch: pytest.MonkeyPatch, cached: int) -> None:
    """Long and short gradients, tensors that miss steps, more steps than planned, in pieces of any size."""
    monkeypatch.setattr("prvr.parts.bert_adam._CACHED", cached)
    start = [torch.randn(shape, dtype=torch.float64) for shape in ((4, 3), (5,), (), (2, 2), (3,))]
    slow = Slow([p.clone() for p in start], lr=0.02, total=12, warmup=0.25, decay=0.01)
    fast = [nn.Parameter(p.clone()) for p in start]
    optimizer = BertAdam(fast, lr=0.02, total_steps=12, warmup=0.25, weight_decay=0.01)
    for step in range(15):
        gradients: list[Tensor | None] = [torch.randn_like(p) * 10.0 ** (i - 3) for i, p in enumerate(start)]
        gradients[4] = None
        if step % 3 == 1:
            gradients[1] = None
        for parameter, gradient in zip(fast, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        slow.step(gradients)
        torch.testing.assert_close([p.detach() for p in fast], slow.parameters, rtol=1e-10, atol=1e-12)
    assert fast[4] not in optimizer.state
    assert torch.equal(fast[4], start[4])


def test_what_does_not_decay_is_chosen_by_name() -> None:
    names = ["x.LayerNorm.weight", "x.LayerNorm.bias", "x.net.1.weight", "x.net.1.bias", "attn0.norm1.weight", "token"]
    named = [(name, nn.Parameter(torch.full((1,), float(i)))) for i, name in enumerate(names)]
    decay, spared = decay_groups(named, 0.01)
    assert [p.item() for p in decay["params"]] == [2, 4, 5]
    assert [p.item() for p in spared["params"]] == [0, 1, 3]
    assert (decay["weight_decay"], spared["weight_decay"]) == (0.01, 0)
    ours, _ = decay_groups(named, 0.01, undecayed=lambda name: published_undecayed(name) or "norm" in name)
    assert [p.item() for p in ours["params"]] == [2, 5]
    optimizer = BertAdam([decay, spared], lr=1.0, total_steps=1, warmup=0)
    for _, parameter in named:
        parameter.grad = torch.zeros(1)
    optimizer.step()
    assert [p.item() for _, p in named] == pytest.approx([0, 1, 2 * 0.99, 3, 4 * 0.99, 5 * 0.99])


def test_settings_are_judged_at_birth() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    with pytest.raises(ConfigError, match="lr=-1"):
        BertAdam([parameter], lr=-1, total_steps=1)
    with pytest.raises(ConfigError, match="total_steps=0"):
        BertAdam([parameter], lr=1, total_steps=0)
    with pytest.raises(ConfigError, match=r"warmup=1\.0"):
        BertAdam([parameter], lr=1, total_steps=1, warmup=1.0)
    with pytest.raises(ConfigError, match="betas="):
        BertAdam([parameter], lr=1, total_steps=1, betas=(0.9, 1.0))


@pytest.mark.parametrize("depth", [1, 2])
def test_stacked_tensors_are_clipped_as_if_they_were_apart(depth: int) -> None:
    """One parameter of many slices moves like the slices as parameters of their own, not like one long vector."""
    start = torch.randn(2, 3, 4, 5)
    stacked = nn.Parameter(start.clone())
    apart = [nn.Parameter(piece.clone()) for piece in start.flatten(0, depth - 1)]
    whole = nn.Parameter(start.clone())

    def optimizer_of(parameters: list[nn.Parameter], depth: int) -> BertAdam:
        named = [(f"p{i}", parameter) for i, parameter in enumerate(parameters)]
        return BertAdam(decay_groups(named, 0.01, stacked=lambda _: depth), lr=0.1, total_steps=9)

    optimizers = [optimizer_of([stacked], depth), optimizer_of(apart, 0), optimizer_of([whole], 0)]
    for step in range(4):
        gradient = torch.randn(2, 3, 4, 5) * torch.logspace(-2, 2, 6).view(2, 3, 1, 1) * (step + 1)
        stacked.grad, whole.grad = gradient.clone(), gradient.clone()
        for parameter, piece in zip(apart, gradient.flatten(0, depth - 1), strict=True):
            parameter.grad = piece.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(stacked.flatten(0, depth - 1), torch.stack(list(apart)))
    assert not torch.allclose(stacked, whole)
