from __future__ import annotations

import contextlib
import shutil
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import prvr
from prvr.core.errors import CheckpointError, ConfigError
from prvr.core.method import Precision, TrainConfig
from prvr.core.types import Batch, Loss, Made
from prvr.methods.msc.loss import see
from prvr.methods.msc.network import Aligned
from prvr.methods.msc.prepare import MSCVideos
from prvr.training.feeding import ahead, feed
from prvr.training.step import make_step
from tests.training.make import TwoLines, objective, some_batch
from tests.training.make import run as run_two_lines
from tests.training.ranks import make_batch, make_model, make_optimizer, world_objective

HOME = str(Path(prvr.__file__).parent)
PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16")


def gradients(precision: Precision, *, compiled: bool = False, size: int = 5) -> tuple[float, Tensor]:
    """Loss and all gradients in one row, of one step of a model that always begins alike."""
    model = make_model(0.0).float().train()
    types: list[torch.dtype] = []

    def watched(made: Made[Tensor, Aligned], batch: Batch[MSCVideos], epoch: int) -> Loss:
        seen = see(made, batch, epoch)
        types.extend(x.dtype for x in (seen.query, *seen.dot, *seen.cosine, seen.video.clips))
        return world_objective()(made, batch, epoch)

    step = make_step(model, watched, precision=precision, compiled=compiled)
    torch.manual_seed(0)
    loss = step(make_batch(size, 0), 0, 0).total
    assert set(types) == {torch.float32}
    assert torch.get_float32_matmul_precision() == "highest"
    grads = [parameter.grad for parameter in model.parameters()]
    return loss.item(), torch.cat([grad.flatten() for grad in grads if grad is not None])


def test_the_cut_changes_nothing_and_bf16_little() -> None:
    """On a CPU TF32 is fp32, so it shows the cut alone."""
    loss, whole = gradients("fp32")
    cut_loss, cut = gradients("tf32")
    assert cut_loss == pytest.approx(loss, rel=1e-6)
    torch.testing.assert_close(cut, whole, rtol=1e-4, atol=1e-5)
    coarse_loss, coarse = gradients("bf16")
    assert coarse_loss == pytest.approx(loss, rel=0.03)
    assert coarse_loss != loss
    assert torch.cosine_similarity(coarse, whole, dim=0) > 0.97


class Crossings(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every operation whose tensors lie on more than one device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, Tensor)]
        if len({x.device.type for x in tensors}) > 1:
            place = [frame for frame in traceback.extract_stack() if frame.filename.startswith(HOME)][-1]
            self.found.append(f"{func} in {Path(place.filename).name}")
        return out


@pytest.mark.parametrize(("precision", "copies"), [("fp32", 11), ("tf32", 13)])
def test_a_step_asks_no_device_for_a_value(monkeypatch: pytest.MonkeyPatch, precision: Precision, copies: int) -> None:
    """On `meta`, where code goes the way of a GPU and there is no value to be had: asking for one is an error.

    What crosses is the batch on its way there, and, where the step is cut, how it is dealt.
    """
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _: False)  # there is none for this device
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.delattr(torch, "tensor")  # a copy from pageable memory, for which the host waits
    model = make_model(0.3).float().train().to("meta")
    optimizer = make_optimizer(model)
    step = make_step(model, world_objective(), device="meta", precision=precision)
    for epoch in range(2):  # random negatives, then hard ones
        batch = make_batch(5, 0)
        with Crossings() as seen:
            optimizer.zero_grad(set_to_none=True)
            step(batch, epoch, 0)
            optimizer.step()
        assert seen.found == ["aten._to_copy.default in feeding.py"] * copies
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here, so nothing can wait for one")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_nothing_waits_for_the_gpu(precision: Precision) -> None:
    model = make_model(0.3).float().train().to("cuda")
    optimizer = make_optimizer(model)
    step = make_step(model, world_objective(), device="cuda", precision=precision)
    for number, batch in enumerate(feed((make_batch(5, i) for i in range(3)), "cuda")):
        with waiting_is_an_error() if number else contextlib.nullcontext():  # the first step loads kernels
            optimizer.zero_grad(set_to_none=True)
            loss = step(batch, 1, number).total
            optimizer.step()
    assert loss.isfinite()


@contextlib.contextmanager
def waiting_is_an_error() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_model_that_does_not_embed_and_a_precision_that_is_none_are_refused() -> None:
    for precision in PRECISIONS:
        with pytest.raises(ConfigError, match="Linear: has no `embed`, so it cannot be trained"):
            make_step(nn.Linear(2, 2), objective, precision=precision)
    with pytest.raises(ConfigError, match="train.precision=fp16: choose one of fp32, tf32, bf16"):
        TrainConfig(precision="fp16")  # type: ignore[arg-type]


def test_a_run_keeps_its_precision(tmp_path: Path) -> None:
    run_two_lines(tmp_path, epochs=1)
    with pytest.raises(CheckpointError, match=r"train\.precision is fp32 there and tf32 here"):
        run_two_lines(tmp_path, epochs=2, config=TrainConfig(epochs=2, seed=0, precision="tf32"))


@pytest.mark.slow  # torch.compile starts the C++ compiler, and compiles torch's own headers when it does so first
@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here, and nothing is compiled without")
def test_compiled_towers_say_the_same() -> None:
    batch, found = some_batch(), []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = TwoLines()
        model.dropout.p = 0.0
        for line in (model.query, model.video):  # one kernel to compile, not three: g++ takes seconds for each
            line.bias.requires_grad_(False)
        step = make_step(
            model, lambda made, batch, _: Loss(objective(made, batch, 0).terms["nce"], {}), compiled=compiled
        )
        loss = step(batch, 0, 0).total
        found.append((loss.detach(), model.query.weight.grad, model.video.weight.grad))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


def test_nothing_is_compiled_without_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="train.compile=true: needs a C\\+\\+ compiler on a CPU; install g\\+\\+"):
        gradients("fp32", compiled=True)


def test_batches_are_prepared_one_ahead_and_in_order() -> None:
    log: list[str] = []

    def source() -> Iterator[int]:
        for i in range(4):
            log.append(f"made {i}")
            yield i

    def prepared(i: int) -> int:
        return 10 * i

    assert list(ahead(source(), prepared)) == [0, 10, 20, 30]
    log.clear()
    assert next(iter(ahead(source(), prepared))) == 0
    assert log == ["made 0", "made 1"]


def test_what_goes_wrong_while_batches_are_prepared_comes_through() -> None:
    class Pressed(BaseException):
        pass

    def source() -> Iterator[int]:
        yield 1
        raise Pressed

    stream = ahead(source(), lambda i: i)
    assert next(stream) == 1
    with pytest.raises(Pressed):
        next(stream)


def test_on_a_cpu_batches_are_what_they_were() -> None:
    batches = [make_batch(2, 0), make_batch(3, 1)]
    assert all(one is other for one, other in zip(feed(batches, "cpu"), batches, strict=True))
