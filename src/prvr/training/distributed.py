"""Several processes train one model: each reads its share of every batch, all compare everything with everything.

A rank embeds its share of the videos with their queries. What the towers made is gathered, so that every rank has the
loss of the joint batch and its gradient for every embedding; the part that belongs to its share goes on into the
weights, and the weights' gradients are added up over the ranks. So loss and gradients are those of one process.

Gradients are added by one call over one buffer and not by DistributedDataParallel, because each rank's gradient is a
part of the joint one and not one of many to be averaged, because a step goes through `embed` and not through `forward`,
and because the optimiser, the checkpoints and the validation then see the bare model. Nothing is clipped before.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from prvr.core.errors import CheckpointError, ConfigError, PrvrError
from prvr.core.types import Batch

T = TypeVar("T")

_TIMEOUT = timedelta(minutes=30)  # longer than the first rank may take to validate


@dataclass(frozen=True)
class Ranks:
    """The processes of one run and which of them this is. One process alone is rank 0 of 1 and talks to nobody."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes, prints and validates for all."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is only one."""
        return self.size == 1

    def from_first(self, make: Callable[[], T]) -> T:
        """What the first rank makes, on every rank; its mistakes too, as the same PrvrError everywhere."""
        if self.alone:
            return make()
        box: list[T | PrvrError | None] = [None]
        if self.is_first:
            try:
                box = [make()]
            except PrvrError as error:
                self._talk(partial(dist.broadcast_object_list, [error]))
                raise
        self._talk(partial(dist.broadcast_object_list, box))
        if isinstance(box[0], PrvrError):
            raise type(box[0])(f"rank {self.rank} stops because rank 0 did: {box[0]}")
        return cast(T, box[0])

    def gather(self, own: Tensor, counts: list[int]) -> Tensor:
        """Rows of all ranks, rank after rank: own (counts[rank] or more, ...) -> (Σ counts, ...), without gradient."""
        most, mine = max(counts), counts[self.rank]
        rows = own.detach().view(torch.uint8) if own.dtype == torch.bool else own.detach()
        padded = rows.new_zeros(most, *rows.shape[1:])
        padded[:mine] = rows[:mine]
        everyone = [torch.empty_like(padded) for _ in counts]
        self._talk(partial(dist.all_gather, everyone, padded))
        joint = torch.cat([part[:count] for part, count in zip(everyone, counts, strict=True)])
        return joint.view(own.dtype) if own.dtype == torch.bool else joint

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the sum over all ranks into every gradient; the same parameters must have one on every rank."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.alone or not gradients:
            return
        total = torch.cat([gradient.flatten() for gradient in gradients])
        self._talk(lambda: dist.all_reduce(total))
        parts = torch.split(total, [gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [p.view_as(g) for p, g in zip(parts, gradients, strict=True)])

    def copy_first(self, model: nn.Module) -> None:
        """Give every rank the weights of the first."""
        if self.alone:
            return
        for tensor in (*model.parameters(), *model.buffers()):
            self._talk(partial(dist.broadcast, tensor.detach(), 0))

    def _talk(self, exchange: Callable[[], object]) -> None:
        try:
            exchange()
        except RuntimeError as error:
            raise CheckpointError(
                f"rank {self.rank} of {self.size}: the other ranks no longer answer ({_reason(error)}); one of them "
                "stopped, and its own message says why. Finished epochs are on disk: run the same command again"
            ) from error


ALONE = Ranks()


def is_first() -> bool:
    """Whether this process is the one that prints, judged from torchrun's environment alone."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """The ranks that torchrun started, for as long as the block lasts; outside torchrun one process alone.

    `device` is the kind, cpu or cuda; each rank of a machine takes the GPU of its number. Leaving the block, by an
    error too, ends the connection, and the other ranks end with a message. Raises ConfigError for an environment that
    makes no sense, for more ranks than GPUs and when the ranks do not find each other.
    """
    size = _number("WORLD_SIZE", 1)
    if size == 1:
        yield ALONE
        return
    rank, local = _number("RANK"), _number("LOCAL_RANK")
    _take_device(device, local)
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    # Its functions take the group of the moment of their import as a default and so hold it for good. The first
    # optimiser imports it; a group that outlives the block ends with the interpreter, whose lock gloo's threads want.
    importlib.import_module("torch.distributed.nn.functional")
    try:
        dist.init_process_group(backend, rank=rank, world_size=size, timeout=_TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"rank {rank} of {size}: the ranks do not find each other ({_reason(error)}); "
            "start all of them with one `torchrun --nproc-per-node N -m prvr train ...`"
        ) from error
    try:
        yield Ranks(rank, size)
    finally:
        dist.destroy_process_group()


def _reason(error: BaseException) -> str:
    """`[/place/in/source.cc:1] What happened. And a page of advice.` -> What happened."""
    return str(error).partition("\n")[0].rpartition("] ")[2].partition(". ")[0]


def _number(name: str, otherwise: int | None = None) -> int:
    text = os.environ.get(name, "" if otherwise is None else str(otherwise))
    if not text.isdecimal():
        raise ConfigError(
            f"{name}={text or 'nothing'}: expected a number beside WORLD_SIZE={os.environ.get('WORLD_SIZE')}; "
            "start with `torchrun --nproc-per-node N -m prvr train ...`, or unset WORLD_SIZE for one process"
        )
    return int(text)


def _take_device(device: str, local: int) -> None:
    if device == "cuda":
        there = torch.cuda.device_count()
        if local >= there:
            raise ConfigError(f"rank {local} of this machine has no GPU of its own; start `--nproc-per-node {there}`")
        torch.cuda.set_device(local)
    elif device != "cpu":
        raise ConfigError(f"--device {device}: only one process can train there; start without torchrun")


@dataclass(frozen=True)
class Deal:
    """Rows of a joint batch as they are dealt to ranks."""

    counts: list[int]  # of each rank
    order: Tensor  # (rows,) int64, those of rank 0 first

    def own(self, rank: int, joint: Tensor) -> Tensor:
        """The rows of one rank, in the order of the batch; where it has none, one that belongs to another."""
        start = sum(self.counts[:rank])
        return joint[self.order[start : start + self.counts[rank]] if self.counts[rank] else self.order[:1]]

    def own_gradient(self, rank: int, joint: Tensor) -> Tensor:
        """The same of a gradient: zero for a row that belongs to another."""
        return self.own(rank, joint) * min(self.counts[rank], 1)

    def restore(self, dealt: Tensor) -> Tensor:
        """Rows, rank after rank -> in the order of the batch."""
        return torch.empty_like(dealt).index_copy_(0, self.order, dealt)


def deal(batch: Batch[Any], size: int) -> tuple[Deal, Deal]:
    """Videos in consecutive parts that differ by one at most, and queries with their videos -> videos, queries.

    For a batch on the host no device is asked how much each rank has.
    """
    num_videos = len(batch.videos)
    ends = torch.arange(1, size + 1) * num_videos // size  # where each rank's part ends
    owner = torch.bucketize(torch.arange(num_videos), ends, right=True)  # (V,)
    owner_of_query = owner[batch.video_of_query.cpu()]  # (Q,)
    videos, queries = (
        Deal(torch.bincount(x, minlength=size).tolist(), x.argsort(stable=True)) for x in (owner, owner_of_query)
    )
    return videos, queries


def share(batch: Batch[Any], videos: Deal, queries: Deal, rank: int) -> Batch[Any]:
    """What one rank embeds; never empty, so that every rank takes part in every weight's gradient."""
    first = sum(videos.counts[:rank])
    last = max(videos.counts[rank], 1) - 1
    return Batch(
        videos=batch.videos.each(lambda x: videos.own(rank, x)),
        queries=batch.queries.each(lambda x: queries.own(rank, x)),
        video_of_query=(queries.own(rank, batch.video_of_query) - first).clamp(0, last),
    )
