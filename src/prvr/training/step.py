"""One step up to its gradients: how precisely, compiled or not, on one process or on several."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.core.types import Batch, Embedded, Outputs, VideoTokens
from prvr.training.distributed import ALONE, Deal, Ranks, deal, share
from prvr.training.feeding import send, send_batch

Objective = Callable[[Outputs, Batch, int], tuple[Tensor, dict[str, Tensor]]]
"""(outputs, batch, epoch) -> the loss and its parts by name, the same names in every step."""

Step = Callable[[Batch, int, int], tuple[Tensor, dict[str, Tensor]]]
"""(batch on the host, epoch, step of the epoch) -> the loss and its parts; every weight has its gradient afterwards.

Nothing in it waits for the device.
"""

Precision = Literal["fp32", "tf32", "bf16"]


@runtime_checkable
class TwoTower(Protocol):
    """A model that reads queries and videos apart, and that reads no weight to compare them."""

    def embed(self, batch: Batch) -> Embedded:
        """What each tower makes of its side."""
        ...

    def compare(self, embedded: Embedded) -> Outputs:
        """Every query against every video."""
        ...


def make_step(
    model: nn.Module,
    objective: Objective,
    *,
    device: str = "cpu",
    precision: Precision = "fp32",
    compiled: bool = False,
    seed: int = 0,
    ranks: Ranks = ALONE,
) -> Step:
    """The step of a run.

    In fp32 on one process the model's forward runs and the loss goes backward: any model will do. Everything else needs
    two towers. Raises ConfigError for a model that has not, and where nothing can be compiled.
    """
    if precision == "fp32" and ranks.alone:
        forward = _compiled(model, device) if compiled else model

        def step(batch: Batch, epoch: int, _: int) -> tuple[Tensor, dict[str, Tensor]]:
            here = send_batch(batch, device)
            loss, parts = objective(forward(here), here, epoch)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss, parts

        return step
    if not isinstance(model, TwoTower):
        why = f"training on {ranks.size} processes" if precision == "fp32" else f"train.precision={precision}"
        raise ConfigError(
            f"{why} needs a model with `embed` and `compare`, as prvr.training.step.TwoTower says, and "
            f"{type(model).__name__} has not both; write them, or train in fp32 on one process"
        )
    embed = _compiled(_Embed(model), device) if compiled else _Embed(model)
    return _CutStep(embed, model.compare, objective, device, precision, seed, ranks)


class _CutStep:
    """Cut where the towers meet: towers forward, losses forward and backward in fp32, towers backward.

    Losses read differences of products, which lose half their digits: they stay exact whatever the towers compute in.
    And what lies at the cut is all that several ranks exchange.
    """

    def __init__(
        self,
        embed: nn.Module,
        compare: Callable[[Embedded], Outputs],
        objective: Objective,
        device: str,
        precision: Precision,
        seed: int,
        ranks: Ranks,
    ) -> None:
        self.embed, self.compare, self.objective, self.device = embed, compare, objective, device
        self.precision, self.seed, self.ranks = precision, seed, ranks

    def __call__(self, batch: Batch, epoch: int, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        videos, queries = (Deal(part.counts, send(part.order, self.device)) for part in deal(batch, self.ranks.size))
        deals = (queries, *[videos] * 6)  # of what `_flat` yields
        here = send_batch(batch, self.device)
        mine = here if self.ranks.alone else share(here, videos, queries, self.ranks.rank)
        with self._own_draws(epoch, step), _matmuls(self.precision), self._autocast():
            own = _flat(self.embed(mine))
        joint = [self._join(x, part) for x, part in zip(own, deals, strict=True)]
        loss, parts = self.objective(self.compare(_folded(joint)), here, epoch)
        loss.backward()  # type: ignore[no-untyped-call]
        ends = [
            (x, part.own_gradient(self.ranks.rank, y.grad).to(x.dtype))
            for x, y, part in zip(own, joint, deals, strict=True)
            if y.grad is not None  # None: the objective did not read it
        ]
        with _matmuls(self.precision):
            torch.autograd.backward([x for x, _ in ends], [flow for _, flow in ends])
        self.ranks.add_gradients(self.embed.parameters())
        return loss, parts

    def _join(self, own: Tensor, part: Deal) -> Tensor:
        """Rows of all ranks in the order of the batch, cut off from what made them; no coarser than fp32."""
        joint = own.detach()
        if not self.ranks.alone:
            joint = part.restore(self.ranks.gather(joint, part.counts))
        if not own.requires_grad:  # a mask
            return joint
        return joint.to(torch.promote_types(joint.dtype, torch.float32)).requires_grad_()

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16) if self.precision == "bf16" else contextlib.nullcontext()

    @contextlib.contextmanager
    def _own_draws(self, epoch: int, step: int) -> Iterator[None]:
        """Ranks drop out different things; what the objective draws afterwards is the same for all."""
        if self.ranks.alone:
            yield
            return
        with torch.random.fork_rng([torch.cuda.current_device()] if self.device.startswith("cuda") else []):
            torch.manual_seed(far_apart(self.seed, epoch, step, self.ranks.rank))
            yield


class _Embed(nn.Module):
    """`embed` in the place of the forward, which is what can be compiled."""

    def __init__(self, model: TwoTower) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Embedded:
        return self.model.embed(batch)


def far_apart(*numbers: int) -> int:
    """A seed that is far from those of neighbouring numbers."""
    return int.from_bytes(hashlib.sha256(":".join(map(str, numbers)).encode()).digest()[:8], "big") >> 1


def _flat(embedded: Embedded) -> tuple[Tensor, ...]:
    return embedded.query, *embedded.video, embedded.aligned_frames, embedded.aligned_clips


def _folded(tensors: Sequence[Tensor]) -> Embedded:
    query, *video, aligned_frames, aligned_clips = tensors
    return Embedded(query, VideoTokens(*video), aligned_frames, aligned_clips)


@contextlib.contextmanager
def _matmuls(precision: Precision) -> Iterator[None]:
    """TF32 lets a GPU multiply fp32 matrices with 10 bits of mantissa; no other device knows it."""
    before = torch.get_float32_matmul_precision()
    if precision == "tf32":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _compiled(module: nn.Module, device: str) -> nn.Module:
    if device == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "g++", "clang++"))):
        raise ConfigError(
            "train.compile=true: needs a C++ compiler on a CPU; install g++, or leave train.compile=false"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what torch imports for it
        compiled: nn.Module = torch.compile(module)  # type: ignore[assignment]
    return compiled
