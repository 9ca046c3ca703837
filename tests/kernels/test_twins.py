"""Each kernel beside its readable twin: the same values, gradients and draws."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import prvr.kernels.blocks
from prvr.kernels.angles import angle_losses
from prvr.kernels.switch import without_kernels
from prvr.methods.msc.mixture import GaussianMixture, TokenAttention, mix
from prvr.methods.msc.tcpl import tcpl_angle
from prvr.parts import attention_layers
from prvr.parts.attention import attend
from prvr.parts.attention_layers import AttentionLayers
from prvr.parts.blocks import AfterWeights, AttentionBlocks, InputProjection, add_norm, after_attention
from prvr.parts.dropout import drop
from prvr.parts.products import linear

F64 = torch.float64
V, N, D, H, K = 3, 5, 4, 2, 2

Call = Callable[..., Tensor]  # leaves -> what a kernel makes of them


def padding(dtype: torch.dtype = F64) -> Tensor:
    """What is added to logits: the second video has two keys, the third one."""
    there = torch.arange(N) < torch.tensor([N, 2, 1])[:, None]
    return torch.randn(V, N, dtype=dtype).masked_fill(~there, -torch.inf)


def in_module(module: nn.Module, inputs: list[tuple[int, ...]], *rest: Tensor) -> tuple[Call, list[tuple[int, ...]]]:
    """A module as a function of inputs and of all its weights, and the shapes of these."""
    names, weights = zip(*module.named_parameters(), strict=True)

    def call(*leaves: Tensor) -> Tensor:
        given = dict(zip(names, leaves[len(inputs) :], strict=True))
        out: Tensor = functional_call(module, given, (*leaves[: len(inputs)], *rest))
        return out

    return call, [*inputs, *(tuple(weight.shape) for weight in weights)]


def cases(rate: float) -> dict[str, tuple[Call, list[tuple[int, ...]]]]:
    """Title -> a function that has a kernel, and the shapes of all that has a gradient."""
    table, bias, teacher = torch.rand(K, N, N, dtype=F64), padding(), torch.randn(6, 3, dtype=F64)
    qkv: list[tuple[int, ...]] = [(V, N, D), (3, K, D, D), (3, K, D)]
    rows: list[tuple[int, ...]] = [(K, 3, D), (K, 3, D)]
    vectors: list[tuple[int, ...]] = [(K, D)] * 2
    fed: list[tuple[int, ...]] = [*vectors, (K, 4 * D, D), (K, 4 * D), (K, D, 4 * D), (K, D), *vectors]
    read = in_module(TokenAttention(D, H, rate).double(), [(D,), (K, V, N, D)], bias.isfinite())
    return {
        "attend": (lambda x, w, b: attend(x, w, b, H, table=table, bias=bias, dropout=rate), qkv),
        "attend to all": (lambda x, w, b: attend(x, w, b, 1, dropout=rate), qkv),
        "project": in_module(InputProjection(D, 3, rate).double(), [(V, N, D)]),
        "add_norm": (lambda *x: add_norm(*x, dropout=rate), [*rows, *vectors]),
        "after_attention": (lambda x, y, *w: after_attention(x, y, AfterWeights(*w), dropout=rate), rows + fed),
        "drop": (lambda x: drop(x, rate), [(3, 7)]),
        "linear": (linear, [(K, 6, D), (K, 3, D), (K, 3)]),
        "mix": (mix, [(K, V, N, D), (K, V, N)]),
        "read": read,
        "angles": (lambda x: tcpl_angle(x, teacher, delta=0.3), [(6, D)]),
    }


def randomly(shapes: list[tuple[int, ...]]) -> list[Tensor]:
    return [torch.randn(shape, dtype=F64, requires_grad=True) for shape in shapes]


def seeded(call: Call) -> Call:
    """The same random numbers at each call."""

    def again(*leaves: Tensor) -> Tensor:
        torch.manual_seed(1)
        return call(*leaves)

    return again


def measured(call: Call, leaves: list[Tensor]) -> list[Tensor]:
    """Value, gradients, and what is drawn next."""
    out = seeded(call)(*leaves)
    drawn = torch.rand(3)
    return [out, *torch.autograd.grad(out.sin().sum(), leaves), drawn]


def by_hand(out: Tensor) -> bool:
    """Whether any gradient on the way to it is written by hand."""
    seen: set[object] = set()
    ahead: list[Any] = [out.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is not None and node not in seen:
            seen.add(node)
            ahead += [before for before, _ in node.next_functions]
    return any(isinstance(node, torch.autograd.function.BackwardCFunction) for node in seen)


def same(call: Call, leaves: list[Tensor]) -> None:
    """With and without kernels."""
    fast = measured(call, leaves)
    with without_kernels():
        readable = measured(call, leaves)
    assert not by_hand(readable[0])
    assert by_hand(fast[0]) or fast[0] is leaves[0]  # nothing was dropped
    for one, other in zip(fast, readable, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("title", cases(0))
def test_a_kernel_and_its_twin_are_the_same(title: str, rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prvr.kernels.blocks, "_ROWS", 4)  # of features projected at a time
    call, shapes = cases(rate)[title]
    same(call, randomly(shapes))


@pytest.mark.parametrize("title", cases(0))
def test_gradients_are_right_under_dropout(title: str) -> None:
    call, shapes = cases(0.3)[title]
    assert torch.autograd.gradcheck(seeded(call), randomly(shapes))


@pytest.mark.parametrize("chunk", [1, 4, None])
@pytest.mark.parametrize("delta", [1.0, 0.2])
def test_angles_however_many_vertices_at_a_time(chunk: int | None, delta: float) -> None:
    student, teacher = torch.randn(13, 6, dtype=F64), torch.randn(13, 9, dtype=F64) * 3
    teacher[4], student[7] = teacher[1], student[2]  # equal points count nothing and have no angle
    leaf = student.requires_grad_()
    with without_kernels():
        want = measured(lambda x: tcpl_angle(x, teacher, delta=delta), [leaf])
    for one, other in zip(
        measured(lambda x: angle_losses(x, teacher, delta=delta, chunk=chunk), [leaf]), want, strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)


def module(title: str, rate: float) -> tuple[Call, nn.Module]:
    """What attends, as a function of features (V, N, 32), and what holds its weights."""
    bias, table, token = padding(torch.float32), torch.rand(K, N, N), torch.randn(32)
    made: dict[str, tuple[Call, nn.Module]] = {}
    blocks, layers = AttentionBlocks(K, 32, H, rate), AttentionLayers(K, 32, H, rate)
    mixture = GaussianMixture(32, H, N, widths=(None, 1.0), sft_factor=0.6, dropout=rate)
    made["blocks"] = (lambda x, *_: blocks(x, table=table, bias=bias)), blocks
    made["layers"] = (lambda x, *_: layers(x, table=table, bias=bias)), layers
    made["mixture"] = (lambda x, *_: mixture(x, token, bias.isfinite(), bias.exp())), mixture
    for parameter in made[title][1].parameters():
        nn.init.normal_(parameter, std=0.3)
    return made[title]


def apart(some: list[Tensor], others: list[Tensor]) -> float:
    """How far all of them are from the others, relative."""
    one, other = (torch.cat([x.detach().float().flatten() for x in these]) for these in (some, others))
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("title", ["blocks", "layers", "mixture"])
@pytest.mark.parametrize("form", [nullcontext, without_kernels])
def test_autocast_reaches_the_products_and_their_gradients(
    title: str, rate: float, form: Callable[..., nullcontext[None]]
) -> None:
    call, holder = module(title, rate)
    leaves = [torch.randn(V, N, 32, requires_grad=True), *holder.parameters()]
    want = measured(call, leaves)
    with form(), torch.autocast("cpu", torch.bfloat16):
        got = measured(call, leaves)
    assert 1e-4 < apart(got[:1], want[:1]) < 0.015
    assert 1e-4 < apart(got[1:], want[1:]) < 0.06
    assert got[0].dtype == (torch.bfloat16 if form is nullcontext else torch.float32)


def test_layers_draw_the_same_some_videos_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_layers, "_ROWS", 2 * N)
    call, holder = module("layers", 0.3)
    same(call, [torch.randn(V, N, 32, dtype=F64, requires_grad=True), *holder.double().parameters()])
