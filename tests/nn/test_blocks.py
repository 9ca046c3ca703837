from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import prvr.nn.attention
import prvr.nn.blocks
from prvr.core.errors import ConfigError
from prvr.nn.attention import attend, attention_probabilities
from prvr.nn.blocks import add_norm, feed_forward
from prvr.nn.dropout import Dropout, drop, keep_mask, keep_scale
from prvr.nn.gaussian import gaussian_table, gaussian_tables
from prvr.nn.masked import masked_logsumexp
from prvr.nn.mixture import mix

F64 = torch.float64


def seeded(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same random numbers at each call, so that finite differences make sense."""

    def call(*inputs: Tensor) -> Tensor:
        torch.manual_seed(1)
        return function(*inputs)

    return call


def inputs(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [torch.randn(shape, dtype=F64, requires_grad=True) for shape in shapes]


def slow_attend(qkv: Tensor, num_heads: int, table: Tensor, bias: Tensor) -> Tensor:
    query, key, value = torch.unflatten(qkv, -1, (num_heads, -1)).permute(2, 3, 0, 4, 1, 5)  # (K, V, H, N, d)
    logits = query @ key.mT / query.shape[-1] ** 0.5 * table[:, None, None] + bias[:, None, None]
    out: Tensor = (logits.softmax(-1) @ value).transpose(2, 3).flatten(-2)
    return out


@pytest.mark.parametrize("chunk_bytes", [1, 1 << 30])
def test_attention_equals_the_plain_form(chunk_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prvr.nn.attention, "_CHUNK_BYTES", chunk_bytes)
    (qkv,) = inputs((3, 5, 3, 2, 8))
    table, bias = torch.rand(2, 5, 5, dtype=F64), torch.randn(3, 5, dtype=F64)
    bias[1, 3:] = -torch.inf
    got, want = attend(qkv, 4, table=table, bias=bias), slow_attend(qkv, 4, table, bias)
    torch.testing.assert_close(got, want)
    weight = torch.randn_like(want)
    torch.testing.assert_close(*(torch.autograd.grad((out * weight).sum(), qkv)[0] for out in (got, want)))
    torch.testing.assert_close(
        attention_probabilities(qkv, 4, table=table, bias=bias).sum(-1)[0, 0, 0], torch.ones(5, dtype=F64)
    )


def test_attention_without_table_or_bias() -> None:
    (qkv,) = inputs((2, 5, 3, 2, 8))
    want = slow_attend(qkv, 2, torch.ones(2, 5, 5, dtype=F64), torch.zeros(2, 5, dtype=F64))
    torch.testing.assert_close(attend(qkv, 2), want)


def test_gradients_are_right_under_dropout() -> None:
    table = torch.rand(2, 4, 4, dtype=F64)
    assert torch.autograd.gradcheck(seeded(lambda x: attend(x, 2, table=table, dropout=0.3)), inputs((2, 4, 3, 2, 4)))
    shapes = [(2, 6, 3), (2, 5, 3), (2, 5), (2, 3, 5), (2, 3)]
    assert torch.autograd.gradcheck(seeded(lambda *x: feed_forward(*x, dropout=0.3)), inputs(*shapes))
    shapes = [(2, 3, 2, 4), (2, 3, 2, 4), (2, 4), (2, 4)]
    assert torch.autograd.gradcheck(seeded(lambda *x: add_norm(*x, dropout=0.3)), inputs(*shapes))
    assert torch.autograd.gradcheck(mix, inputs((3, 2, 4, 5), (3, 2, 4)))
    assert torch.autograd.gradcheck(seeded(lambda x: drop(x, 0.4)), inputs((3, 5)))


@pytest.mark.parametrize("chunk_bytes", [1, 1 << 30])
def test_feed_forward_equals_the_plain_form(chunk_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prvr.nn.blocks, "_CHUNK_BYTES", chunk_bytes)
    leaves = inputs((2, 50, 3), (2, 12, 3), (2, 12), (2, 3, 12), (2, 3))
    x, up, up_bias, down, down_bias = leaves
    want = torch.relu(x @ up.mT + up_bias[:, None]) @ down.mT + down_bias[:, None]
    got = feed_forward(*leaves, dropout=0.0)
    torch.testing.assert_close(got, want)
    weight = torch.randn_like(want)
    for one, other in zip(*(torch.autograd.grad((out * weight).sum(), leaves) for out in (got, want)), strict=True):
        torch.testing.assert_close(one, other)


def test_add_norm_equals_the_plain_form() -> None:
    x, y, weight, bias = inputs((2, 3, 5, 4), (2, 3, 5, 4), (2, 4), (2, 4))
    got = add_norm(x, y, weight, bias, dropout=0.0)
    for k in range(2):
        torch.testing.assert_close(got[k], F.layer_norm((x + y)[k], (4,), weight[k], bias[k]))


def test_mix_by_hand() -> None:
    outputs = torch.tensor([1.0, 10.0]).view(2, 1, 1, 1).expand(2, 1, 2, 3)
    weights = torch.tensor([[[1.0, 0.5]], [[0.0, 0.5]]])
    assert mix(outputs, weights).tolist() == [[[1.0] * 3, [5.5] * 3]]


@pytest.mark.parametrize("rate", [0.1, 0.31, 0.5])
def test_dropout_keeps_its_rate_and_its_mean(rate: float) -> None:
    keep = keep_mask((1000, 1003), rate, torch.device("cpu"))
    kept = float(keep.float().mean())
    assert kept == pytest.approx(1 - rate, abs=0.004)
    assert kept * keep_scale(rate) == pytest.approx(1, abs=0.003)
    for axis in (0, 1):  # no place is favoured
        assert keep.float().mean(axis).sub(kept).abs().max() < 0.08
    columns = keep[:, :1000].float().view(1000, -1, 8).mean((0, 1))  # the eight bytes of a word
    assert columns.sub(kept).abs().max() < 0.006


def test_dropout_follows_the_seed_and_the_mode() -> None:
    layer, x = Dropout(0.4), torch.randn(50)
    torch.manual_seed(3)
    first = layer(x)
    torch.manual_seed(3)
    assert torch.equal(layer(x), first)
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(drop(x, 0.0), x)
    with pytest.raises(ConfigError, match="dropout=1"):
        Dropout(1.0)


def test_gaussian_table_by_hand() -> None:
    table = gaussian_table(4, 3.0)  # σ = 1/3, rows at 0, 1/4, 1/2, 3/4, columns at 0, 1/3, 2/3, 1
    assert table.amax(1).tolist() == [1, 1, 1, 1]
    assert table[0].tolist() == pytest.approx([1, 0.6065, 0.1353, 0.0111], abs=1e-4)  # exp(-1/2), exp(-2), exp(-9/2)
    assert gaussian_table(32, 0.01).isfinite().all()  # where the plain form is 0/0
    assert torch.equal(gaussian_tables(4, (None, 3.0))[0], torch.ones(4, 4))


def test_log_sum_over_the_kept() -> None:
    x = torch.tensor([[0.0, 1.0, 2.0], [5.0, 6.0, 7.0]], requires_grad=True)
    keep = torch.tensor([[True, False, True], [False, False, False]])
    got = masked_logsumexp(x, keep, 1)
    assert got.tolist() == [pytest.approx(torch.tensor([0.0, 2.0]).logsumexp(0).item()), -torch.inf]
    (grad,) = torch.autograd.grad(got[0] + got[1].exp(), x)
    assert grad[0].tolist() == pytest.approx([0.1192, 0, 0.8808], abs=1e-4)
    assert grad[1].tolist() == [0, 0, 0]
