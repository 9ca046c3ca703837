from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from prvr.core.errors import ConfigError
from prvr.kernels.dropout import drawn, keep_mask, keep_scale
from prvr.kernels.switch import without_kernels
from prvr.methods.msc.mixture import mix
from prvr.parts.attention import attend, attention_probabilities
from prvr.parts.blocks import AfterWeights, AttentionBlocks, BlockWeights
from prvr.parts.dropout import Dropout, drop
from prvr.parts.gaussian import gaussian_table, gaussian_tables
from prvr.parts.masked import masked_logsumexp
from tests.parts.slow import LoopBlock

F64 = torch.float64


def inputs(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [torch.randn(shape, dtype=F64, requires_grad=True) for shape in shapes]


def same_gradients(got: Tensor, want: Tensor, leaves: list[Tensor]) -> None:
    torch.testing.assert_close(got, want)
    weight = torch.randn_like(want)
    for one, other in zip(*(torch.autograd.grad((out * weight).sum(), leaves) for out in (got, want)), strict=True):
        torch.testing.assert_close(one, other)


def loop_block(blocks: AttentionBlocks, k: int, x: Tensor, table: Tensor | None, bias: Tensor) -> Tensor:
    """One of the blocks, by the loop form with the same weights."""
    parts = {"norm1": "norm1", "up": "output.layer1", "down": "output.layer2", "norm2": "norm2"}
    weights = {
        f"{theirs}.{kind}": getattr(blocks, f"{ours}_{kind}")[k]
        for ours, theirs in parts.items()
        for kind in ("weight", "bias")
    }
    for i, name in enumerate(("query", "key", "value")):
        weights |= {f"self.{name}.{kind}": getattr(blocks, f"qkv_{kind}")[i, k] for kind in ("weight", "bias")}
    out: Tensor = functional_call(LoopBlock(8, blocks.num_heads, 32).double(), weights, (x, x, table, bias))
    return out


@pytest.mark.parametrize("form", [nullcontext, without_kernels])
@pytest.mark.parametrize("together", [True, False])
def test_blocks_equal_the_loop(together: bool, form: Callable[..., nullcontext[None]]) -> None:
    blocks, (x,) = AttentionBlocks(2, 8, 4, 0.0).double(), inputs((3, 5, 8))
    for parameter in blocks.parameters():
        nn.init.normal_(parameter, std=0.5)
    table, bias = torch.rand(2, 5, 5, dtype=F64), torch.randn(3, 5, dtype=F64)
    bias[1, 3:] = -torch.inf
    qkv, qkv_bias, *after = blocks.parameters()
    groups = [BlockWeights(qkv, qkv_bias, AfterWeights(*after))] if together else None  # as on a GPU
    leaves = [x, *blocks.parameters()]
    with form():
        want = torch.stack([loop_block(blocks, k, x, table[k], bias) for k in range(2)])
        same_gradients(blocks(x, table=table, bias=bias, groups=groups), want, leaves)
        want = torch.stack([loop_block(blocks, k, x, None, torch.zeros_like(bias)) for k in range(2)])
        same_gradients(blocks(x, groups=groups), want, leaves)


@pytest.mark.parametrize("form", [nullcontext, without_kernels])
def test_attention_without_a_table_equals_the_fused_kernel(form: Callable[..., nullcontext[None]]) -> None:
    x, weight, offset = inputs((3, 5, 8), (3, 1, 8, 8), (3, 1, 8))
    qkv = x @ weight[:, 0].mT[:, None] + offset[:, 0, None, None]
    query, key, value = torch.unflatten(qkv, -1, (2, 4)).transpose(2, 3)
    want = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    with form():
        same_gradients(attend(x, weight, offset, 2)[0], want, [x, weight, offset])


def test_attention_can_be_looked_at() -> None:
    bias = torch.zeros(2, 5).masked_fill(torch.arange(5) > 3, -torch.inf)
    seen = attention_probabilities(torch.randn(2, 5, 3, 2, 8), 4, bias=bias)
    assert seen.shape == (2, 2, 4, 5, 5)
    torch.testing.assert_close(seen.sum(-1), torch.ones(2, 2, 4, 5))
    assert not seen[..., 4].any()


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


@pytest.mark.parametrize(("rate", "applied"), [(0.31, 79), (0.25, 64), (0.999, 255)])
def test_a_rate_is_applied_in_steps_of_a_byte_and_says_so(rate: float, applied: int) -> None:
    assert repr(Dropout(rate)) == f"Dropout(rate={rate}, applied as {applied / 256:.6g})"
    assert keep_scale(rate) == 256 / (256 - applied)


@pytest.mark.parametrize("rate", [0.1, 0.31, 0.999])
@pytest.mark.parametrize("kernels", [True, False])
def test_torchs_own_dropout_is_drawn_to_the_bit(rate: float, kernels: bool) -> None:
    x = torch.randn(100, 103, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(3)
    (gradient,) = torch.autograd.grad(wanted := torch.nn.functional.dropout(x, rate), x, torch.ones_like(x))
    with drawn("torch"), nullcontext() if kernels else without_kernels():
        assert repr(Dropout(rate)) == f"Dropout(rate={rate}, applied as {rate:.6g})"
        torch.manual_seed(3)
        (ours,) = torch.autograd.grad(dropped := drop(x, rate), x, torch.ones_like(x))
    torch.testing.assert_close(dropped, wanted, rtol=1e-12, atol=0)
    torch.testing.assert_close(ours, gradient, rtol=1e-12, atol=0)
    assert torch.equal(dropped == 0, wanted == 0)
    assert keep_scale(0.31) == 256 / (256 - 79)  # afterwards as before


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
