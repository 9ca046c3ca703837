from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

import prvr.parts.blocks
from prvr.core.errors import ConfigError
from prvr.methods.msc.mixture import mix, read
from prvr.parts.attention import attend, attention_probabilities
from prvr.parts.blocks import BlockWeights, InputProjection, add_norm, after_attention
from prvr.parts.dropout import Dropout, drop, keep_mask, keep_scale
from prvr.parts.gaussian import gaussian_table, gaussian_tables
from prvr.parts.masked import masked_logsumexp

F64 = torch.float64


def seeded(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same random numbers at each call, so that finite differences make sense."""

    def call(*inputs: Tensor) -> Tensor:
        torch.manual_seed(1)
        return function(*inputs)

    return call


def inputs(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [torch.randn(shape, dtype=F64, requires_grad=True) for shape in shapes]


def slow_attend(x: Tensor, weight: Tensor, offset: Tensor, num_heads: int, table: Tensor, bias: Tensor) -> Tensor:
    qkv = torch.einsum("vne,pkde->pkvnd", x, weight) + offset[:, :, None, None]
    query, key, value = torch.unflatten(qkv, -1, (num_heads, -1)).transpose(3, 4)  # (K, V, H, N, d)
    logits = query @ key.mT / query.shape[-1] ** 0.5 * table[:, None, None] + bias[:, None, None]
    out: Tensor = (logits.softmax(-1) @ value).transpose(2, 3).flatten(-2)
    return out


def same_gradients(got: Tensor, want: Tensor, leaves: list[Tensor]) -> None:
    torch.testing.assert_close(got, want)
    weight = torch.randn_like(want)
    for one, other in zip(*(torch.autograd.grad((out * weight).sum(), leaves) for out in (got, want)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("num_blocks", [1, 2])
def test_attention_equals_the_plain_form(num_blocks: int) -> None:
    leaves = inputs((3, 5, 8), (3, num_blocks, 8, 8), (3, num_blocks, 8))
    x, weight, offset = leaves
    table, bias = torch.rand(num_blocks, 5, 5, dtype=F64), torch.randn(3, 5, dtype=F64)
    bias[1, 3:] = -torch.inf
    want = slow_attend(x, weight, offset, 4, table, bias)
    same_gradients(attend(x, weight, offset, 4, table=table, bias=bias), want, leaves)
    want = slow_attend(x, weight, offset, 2, torch.ones_like(table), torch.zeros_like(bias))
    same_gradients(attend(x, weight, offset, 2), want, leaves)


def test_attention_without_a_table_equals_the_fused_kernel() -> None:
    x, weight, offset = inputs((3, 5, 8), (3, 1, 8, 8), (3, 1, 8))
    qkv = x @ weight[:, 0].mT[:, None] + offset[:, 0, None, None]
    query, key, value = torch.unflatten(qkv, -1, (2, 4)).transpose(2, 3)
    want = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    same_gradients(attend(x, weight, offset, 2)[0], want, [x, weight, offset])


def test_attention_can_be_looked_at() -> None:
    bias = torch.zeros(2, 5).masked_fill(torch.arange(5) > 3, -torch.inf)
    seen = attention_probabilities(torch.randn(2, 5, 3, 2, 8), 4, bias=bias)
    assert seen.shape == (2, 2, 4, 5, 5)
    torch.testing.assert_close(seen.sum(-1), torch.ones(2, 2, 4, 5))
    assert not seen[..., 4].any()


def test_gradients_are_right_under_dropout() -> None:
    table = torch.rand(2, 4, 4, dtype=F64)
    shapes = [(2, 4, 4), (3, 2, 4, 4), (3, 2, 4)]
    assert torch.autograd.gradcheck(
        seeded(lambda x, w, b: attend(x, w, b, 2, table=table, dropout=0.3)), inputs(*shapes)
    )
    rest = seeded(lambda x, y, *w: after_attention(x, y, BlockWeights(x, x, *w), dropout=0.3))
    assert torch.autograd.gradcheck(rest, inputs((2, 6, 3), (2, 6, 3)) + weights_of_two_blocks())
    shapes = [(2, 6, 4), (2, 6, 4), (2, 4), (2, 4)]
    assert torch.autograd.gradcheck(seeded(lambda *x: add_norm(*x, dropout=0.3)), inputs(*shapes))
    assert torch.autograd.gradcheck(mix, inputs((3, 2, 4, 5), (3, 2, 4)))
    assert torch.autograd.gradcheck(seeded(lambda x: drop(x, 0.4)), inputs((3, 5)))
    project = InputProjection(4, 3, 0.3).double()
    names = list(dict(project.named_parameters()))
    leaves = inputs((2, 5, 4), *(tuple(weight.shape) for weight in project.parameters()))
    call = seeded(lambda x, *ws: functional_call(project, dict(zip(names, ws, strict=True)), x))
    assert torch.autograd.gradcheck(call, leaves)
    bias = torch.zeros(2, 5, dtype=F64).masked_fill(torch.arange(5) > 3, -torch.inf)
    shapes = [(2, 2, 5, 4), (3, 4), (3,)]
    assert torch.autograd.gradcheck(seeded(lambda x, q, o: read(x, q, o, bias, dropout=0.3)), inputs(*shapes))


def weights_of_two_blocks() -> list[Tensor]:
    """All but the first two of `BlockWeights`."""
    return inputs((2, 3), (2, 3), (2, 12, 3), (2, 12), (2, 3, 12), (2, 3), (2, 3), (2, 3))


def test_the_rest_of_a_block_equals_the_plain_form() -> None:
    x, y = inputs((2, 50, 3), (2, 50, 3))
    weights = weights_of_two_blocks()
    norm1, bias1, up, up_bias, down, down_bias, norm2, bias2 = weights
    want = []
    for k in range(2):
        u = F.layer_norm((x + y)[k], (3,), norm1[k], bias1[k])
        fed = F.linear(F.relu(F.linear(u, up[k], up_bias[k])), down[k], down_bias[k])
        want.append(F.layer_norm(u + fed, (3,), norm2[k], bias2[k]))
    got = after_attention(x, y, BlockWeights(x, x, *weights), dropout=0.0)
    same_gradients(got, torch.stack(want), [x, y, *weights])


def test_projection_equals_the_plain_form_however_many_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    project, (x,) = InputProjection(6, 4, 0.0).double(), inputs((3, 5, 6))
    for rows in (4, 100):
        monkeypatch.setattr(prvr.parts.blocks, "_ROWS", rows)
        want = F.relu(project.linear(project.norm(x)))
        same_gradients(project(x), want, [x, *project.parameters()])


def test_add_norm_equals_the_plain_form() -> None:
    leaves = inputs((2, 15, 4), (2, 15, 4), (2, 4), (2, 4))
    x, y, weight, bias = leaves
    want = torch.stack([F.layer_norm((x + y)[k], (4,), weight[k], bias[k]) for k in range(2)])
    same_gradients(add_norm(*leaves, dropout=0.0), want, leaves)


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
