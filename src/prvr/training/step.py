"""One step up to its gradients: how precisely, compiled or not, on one process or on several."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from prvr.core.errors import ConfigError
from prvr.core.method import Learn, Precision
from prvr.core.types import Batch, Loss, Made
from prvr.training.distributed import ALONE, Deal, Ranks, deal, share
from prvr.training.feeding import send, send_batch

Side = TypeVar("Side")

Step = Callable[[Batch[Any], int, int], Loss]
"""(batch on the host, epoch, step of the epoch) -> the loss; every weight has its gradient afterwards.

Nothing in it waits for the device.
"""


class Embeds(Protocol):
    """What a step needs of a network: each side of a batch, read apart. Losses read no weight."""

    def embed(self, batch: Batch[Any]) -> Made[Any, Any]:
        """What the network makes of V videos and of Q queries."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """A network that keeps something of every batch for those to come."""

    def remember(self, made: Made[Any, Any]) -> None:
        """Take note of a batch; every process is given the whole of it."""
        ...


def make_step(
    model: nn.Module,
    learn: Learn,
    *,
    device: str = "cpu",
    precision: Precision = "fp32",
    compiled: bool = False,
    seed: int = 0,
    ranks: Ranks = ALONE,
) -> Step:
    """The step of a run. Raises ConfigError for a model without `embed`, and where nothing can be compiled."""
    if not callable(getattr(model, "embed", None)):
        raise ConfigError(
            f"{type(model).__name__}: has no `embed`, so it cannot be trained; write it as "
            "prvr.training.step.Embeds says: a batch in, what the network makes of each side out"
        )
    embed: nn.Module = _Embed(model)
    step = _Step(_compiled(embed, device) if compiled else embed, model, learn, device, precision, seed, ranks)
    return step.whole if precision == "fp32" and ranks.alone else step.cut


class _Step:
    """Either the loss goes backward through everything; or the step is cut where the two sides meet.

    Cut, the network goes forward, losses forward and backward in fp32, the network backward. Losses read differences of
    products, which lose half their digits: they stay exact whatever the network computes in. And what lies at the cut
    is all that several ranks exchange.
    """

    def __init__(
        self,
        embed: nn.Module,
        model: nn.Module,
        learn: Learn,
        device: str,
        precision: Precision,
        seed: int,
        ranks: Ranks,
    ) -> None:
        self.embed, self.model, self.learn, self.device = embed, model, learn, device
        self.precision, self.seed, self.ranks = precision, seed, ranks

    def whole(self, batch: Batch[Any], epoch: int, _: int) -> Loss:
        """In fp32, on one process."""
        here = send_batch(batch, self.device)
        return self._learned(self.embed(here), here, epoch)

    def cut(self, batch: Batch[Any], epoch: int, step: int) -> Loss:
        """In any precision, on any number of processes."""
        videos, queries = (Deal(part.counts, send(part.order, self.device)) for part in deal(batch, self.ranks.size))
        here = send_batch(batch, self.device)
        mine = here if self.ranks.alone else share(here, videos, queries, self.ranks.rank)
        with self._own_draws(epoch, step), _matmuls(self.precision), self._autocast():
            own: Made[Any, Any] = self.embed(mine)
        met: list[tuple[Tensor, Tensor, Deal]] = []  # rows of this rank, those of all, and how they were dealt
        joint = Made(self._join(own.queries, queries, met), self._join(own.videos, videos, met))
        loss = self._learned(joint, here, epoch)
        ends = [
            (x, part.own_gradient(self.ranks.rank, y.grad).to(x.dtype))
            for x, y, part in met
            if y.grad is not None  # None: the loss did not read it
        ]
        with _matmuls(self.precision):
            torch.autograd.backward([x for x, _ in ends], [flow for _, flow in ends])
        self.ranks.add_gradients(self.embed.parameters())
        return loss

    def _learned(self, made: Made[Any, Any], batch: Batch[Any], epoch: int) -> Loss:
        loss = self.learn(made, batch, epoch)
        loss.total.backward()  # type: ignore[no-untyped-call]
        if isinstance(self.model, Remembers):
            self.model.remember(made)
        return loss

    def _join(self, side: Side, part: Deal, met: list[tuple[Tensor, Tensor, Deal]]) -> Side:
        """Rows of all ranks in the order of the batch, cut off from what made them; no coarser than fp32."""

        def join(own: Tensor) -> Tensor:
            joint = own.detach()
            if not self.ranks.alone:
                joint = part.restore(self.ranks.gather(joint, part.counts))
            if not own.requires_grad:  # a mask
                return joint
            joint = joint.to(torch.promote_types(joint.dtype, torch.float32)).requires_grad_()
            met.append((own, joint, part))
            return joint

        return on_every_tensor(side, join)

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16) if self.precision == "bf16" else contextlib.nullcontext()

    @contextlib.contextmanager
    def _own_draws(self, epoch: int, step: int) -> Iterator[None]:
        """Ranks drop out different things; what losses draw afterwards is the same for all."""
        if self.ranks.alone:
            yield
            return
        with torch.random.fork_rng([torch.cuda.current_device()] if self.device.startswith("cuda") else []):
            torch.manual_seed(far_apart(self.seed, epoch, step, self.ranks.rank))
            yield


class _Embed(nn.Module):
    """`embed` in the place of the forward, which is what can be compiled."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch[Any]) -> Made[Any, Any]:
        made: Made[Any, Any] = self.model.embed(batch)  # type: ignore[operator]
        return made


def on_every_tensor(side: Side, change: Callable[[Tensor], Tensor]) -> Side:
    """A tensor, or NamedTuples of tensors as deep as they go, with every tensor changed; None stays."""
    if isinstance(side, Tensor):
        return change(side)  # type: ignore[return-value]
    if side is None:
        return side
    assert isinstance(side, tuple), f"one side of what a network makes is a tensor or a NamedTuple, not {type(side)}"
    return type(side)(*(on_every_tensor(part, change) for part in side))


def far_apart(*numbers: int) -> int:
    """A seed that is far from those of neighbouring numbers."""
    return int.from_bytes(hashlib.sha256(":".join(map(str, numbers)).encode()).digest()[:8], "big") >> 1


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
