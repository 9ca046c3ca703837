from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import prvr.methods.msc.mixture
from prvr.core.types import Made
from prvr.kernels.switch import without_kernels
from prvr.methods.msc.mixture import GaussianMixture
from prvr.methods.msc.network import MSC, Aligned
from prvr.methods.msc.official import OFFICIAL
from tests.methods.make import SMALL, batch, network, seen
from tests.parts.slow import LoopNetwork


def loop_twin(model: MSC) -> LoopNetwork:
    twin = LoopNetwork(model.config)
    twin.load_state_dict(OFFICIAL.write(model.state_dict()))
    return twin


@pytest.mark.parametrize("form", [nullcontext, without_kernels])
def test_the_network_equals_the_released_form(form: Callable[..., nullcontext[None]]) -> None:
    model, given = network(), batch()
    twin = loop_twin(model)
    with form():
        (ours, gradients), (theirs, wanted) = (outputs_and_gradients(one, one.embed(given)) for one in (model, twin))
    for got, want in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, want, atol=2e-5, rtol=1e-4)
    for name, grad in OFFICIAL.write(gradients).items():
        torch.testing.assert_close(grad, wanted[name], atol=2e-4, rtol=1e-3)


def outputs_and_gradients(network: nn.Module, made: Made[Tensor, Aligned]) -> tuple[list[Tensor], dict[str, Tensor]]:
    query, video = made
    outputs = [query, video.tokens.frames, video.tokens.clips, video.frames, video.clips]
    names, parameters = zip(*network.named_parameters(), strict=True)
    gradients = torch.autograd.grad(torch.stack([x.sin().sum() for x in outputs]).sum(), parameters)
    return outputs, dict(zip(names, gradients, strict=True))


def mixture(*, checkpoint: bool, dropout: float) -> GaussianMixture:
    made = GaussianMixture(16, 2, 12, widths=SMALL.widths, sft_factor=0.6, dropout=dropout, checkpoint=checkpoint)
    generator = torch.Generator().manual_seed(3)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return made


def values_and_gradients(made: GaussianMixture, x: Tensor, token: Tensor, size: Tensor) -> list[Tensor]:
    torch.manual_seed(7)
    out = made(x, token, size > 0, size)
    out.sin().sum().backward()
    gradients = [x.grad, token.grad, *(parameter.grad for parameter in made.parameters())]
    x.grad = token.grad = None
    return [out.detach(), torch.rand(3), *(g for g in gradients if g is not None)]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_checkpoints_change_no_value_no_gradient_and_no_draw(dropout: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prvr.methods.msc.mixture, "_ROWS", 24)  # two videos at a time
    x, token = torch.randn(5, 12, 16, requires_grad=True), torch.randn(16, requires_grad=True)
    size = torch.randint(0, 3, (5, 12)).float()
    size[:, 0] = 1
    plain, saving = (
        values_and_gradients(mixture(checkpoint=on, dropout=dropout), x, token, size) for on in (False, True)
    )
    assert len(plain) > 10
    for one, other in zip(plain, saving, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_kernels_change_no_value_no_gradient_and_no_draw(checkpoint: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prvr.methods.msc.mixture, "_ROWS", 24)  # two videos at a time
    made = mixture(checkpoint=checkpoint, dropout=0.3).double()
    x, token = torch.randn(5, 12, 16).double().requires_grad_(), torch.randn(16).double().requires_grad_()
    size = torch.randint(0, 3, (5, 12)).double()
    size[:, 0] = 1
    fast = values_and_gradients(made, x, token, size)
    made.zero_grad()
    with without_kernels():
        readable = values_and_gradients(made, x, token, size)
    for one, other in zip(fast, readable, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_how_many_videos_go_together_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = mixture(checkpoint=False, dropout=0.0).double()
    x, token = torch.randn(5, 12, 16).double().requires_grad_(), torch.randn(16).double().requires_grad_()
    found = []
    for rows in (1, 30, 2048):
        monkeypatch.setattr(prvr.methods.msc.mixture, "_ROWS", rows)
        made.zero_grad()
        found.append(values_and_gradients(made, x, token, torch.ones(5, 12)))
    for one, other, third in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
        torch.testing.assert_close(one, third)


def test_checkpoints_keep_a_fraction() -> None:
    kept = []
    for checkpoint in (False, True):
        made = mixture(checkpoint=checkpoint, dropout=0.2)
        sizes: list[int] = []

        def pack(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        x, token = torch.randn(4, 12, 16, requires_grad=True), torch.randn(16)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            made(x, token, torch.ones(4, 12, dtype=torch.bool))
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_step_never_waits_for_the_gpu(checkpoint: bool) -> None:
    model = MSC(replace(SMALL, dropout=0.2, input_dropout=0.2)).cuda().train()
    model.frame_mixture.checkpoint = model.clip_mixture.checkpoint = checkpoint
    given = batch().to("cuda")
    for mode in ("default", "error"):  # the first call may set libraries up
        torch.cuda.set_sync_debug_mode(mode)
        try:
            outputs = seen(model, given)
            torch.autograd.backward(outputs.cosine.fused(0.4).sum() + outputs.video.clips.sum())
        finally:
            torch.cuda.set_sync_debug_mode("default")
