from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.parts import attention_layers
from prvr.parts.attention_layers import AttentionLayers, SequenceEncoder, attend_gained, reset_parameters
from prvr.parts.masked import key_bias
from tests.parts.slow import LoopAttention

V, N, D, H, K = 5, 7, 12, 3, 2


def layers(dropout: float = 0.0) -> AttentionLayers:
    made = AttentionLayers(K, D, H, dropout).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    return made


def loop(made: AttentionLayers, x: Tensor, k: int, table: Tensor | None, bias: Tensor) -> Tensor:
    attention = LoopAttention(D, H).double()
    for i, part in enumerate((attention.query, attention.key, attention.value)):
        part.weight, part.bias = nn.Parameter(made.qkv_weight[i, k]), nn.Parameter(made.qkv_bias[i, k])
    moved = F.linear(attention(x, x, table, bias), made.out_weight[k], made.out_bias[k])
    return F.layer_norm(x + moved, (D,), made.norm_weight[k], made.norm_bias[k])


@pytest.mark.parametrize("rows", [1, 1024])
def test_layers_equal_the_loop(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_layers, "_ROWS", rows)
    made = layers()
    x = torch.randn(V, N, D, dtype=torch.float64, requires_grad=True)
    valid = torch.arange(N) < torch.tensor([7, 6, 5, 1, 7])[:, None]
    bias, table = key_bias(valid).double(), torch.rand(K, N, N, dtype=torch.float64)
    for tables in (None, table):
        got = made(x, table=tables, bias=bias)
        want = torch.stack([loop(made, x, k, None if tables is None else table[k], bias) for k in range(K)])
        torch.testing.assert_close(got[:, valid], want[:, valid])
        weight = torch.randn_like(got) * valid[..., None]
        ours, theirs = (torch.autograd.grad((y * weight).sum(), x)[0] for y in (got, want))
        torch.testing.assert_close(ours, theirs)


def test_a_gain_for_every_key_of_every_head() -> None:
    made = layers()
    x = torch.randn(V, N, D, dtype=torch.float64)
    bias = key_bias(torch.arange(N) < torch.tensor([7, 6, 5, 1, 7])[:, None]).double()
    torch.testing.assert_close(made(x, bias=bias, gain=torch.ones(V, H, N).double()), made(x, bias=bias))
    gain = torch.rand(V, H, N, dtype=torch.float64, requires_grad=True)
    out = attend_gained(x, made.qkv_weight, made.qkv_bias, gain, bias=bias)
    for k in range(K):
        query, key, value = (
            (x @ w[k].T + b[k]).unflatten(2, (H, -1)).transpose(1, 2)
            for w, b in zip(made.qkv_weight, made.qkv_bias, strict=True)
        )
        logits = query @ key.mT / (D // H) ** 0.5 * gain[:, :, None] + bias[:, None, None]
        torch.testing.assert_close(out[k], (logits.softmax(-1) @ value).transpose(1, 2).flatten(2))
    assert torch.autograd.grad(out.sum(), gain)[0].abs().sum() > 0


def test_dropout_is_for_training() -> None:
    made, x = layers(0.5), torch.randn(V, N, D).double()
    assert not torch.equal(made(x), made(x))
    assert torch.equal(made.eval()(x), made(x))
    with pytest.raises(ConfigError, match="dropout=1.0"):
        AttentionLayers(1, D, H, 1.0)


def test_an_encoder_sees_no_padding() -> None:
    made = SequenceEncoder(D, H, N + 2, input_dropout=0.0, dropout=0.0)
    reset_parameters(made)
    x, valid = torch.randn(V, N, D), torch.arange(N) < torch.tensor([7, 6, 5, 1, 7])[:, None]
    longer = torch.cat([x.where(valid[..., None], 7.0), torch.full((V, 2, D), 9.0)], 1)
    torch.testing.assert_close(made(longer, F.pad(valid, (0, 2)))[:, :N][valid], made(x, valid)[valid])


def test_how_all_of_the_family_begins() -> None:
    made = SequenceEncoder(64, 4, 50, input_dropout=0.0, dropout=0.0)
    reset_parameters(made)
    for name, parameter in made.state_dict().items():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:
            assert 0.018 < float(parameter.std()) < 0.022, name
