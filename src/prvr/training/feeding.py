"""Batches on their way to the device, so that the device never waits and nothing waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from prvr.core.types import Batch, QueryBatch, Teacher, VideoBatch

T = TypeVar("T")
Record = TypeVar("Record", VideoBatch, QueryBatch, Teacher)


def ahead(items: Iterable[T], prepare: Callable[[T], T]) -> Iterator[T]:
    """The same items in the same order, each taken and prepared by a thread while the one before is worked on."""
    source = iter(items)

    def fetch() -> tuple[T, ...]:
        return tuple(prepare(item) for item in islice(source, 1))

    with ThreadPoolExecutor(1, thread_name_prefix="prvr-batches") as thread:
        coming = thread.submit(fetch)
        while item := coming.result():
            coming = thread.submit(fetch)
            yield item[0]


def feed(batches: Iterable[Batch], device: str) -> Iterator[Batch]:
    """Batches on the host, ready for `send`: for a GPU made one step ahead, in memory that the GPU reads by itself."""
    if torch.device(device).type != "cuda":
        return iter(batches)
    index = torch.cuda.current_device()

    def pin(batch: Batch) -> Batch:
        with torch.cuda.device(index):  # a new thread would reach for the first GPU
            return on_every_tensor(batch, Tensor.pin_memory)

    return ahead(batches, pin)


def send(tensor: Tensor, device: str) -> Tensor:
    """One tensor on the device, without waiting for it."""
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return (tensor if tensor.is_cuda else tensor.pin_memory()).to(device, non_blocking=True)


def send_batch(batch: Batch, device: str) -> Batch:
    """A batch on the device, without waiting for it; what `feed` prepared is not copied on the host again."""
    return on_every_tensor(batch, lambda tensor: send(tensor, device))


def on_every_tensor(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """The same batch with every tensor changed."""
    return Batch(
        videos=each(batch.videos, change),
        queries=each(batch.queries, change),
        video_of_query=change(batch.video_of_query),
        teacher=None if batch.teacher is None else each(batch.teacher, change),
    )


def each(record: Record, change: Callable[[Tensor], Tensor]) -> Record:
    """The same record with every tensor changed."""
    return replace(record, **{name: change(value) for name, value in vars(record).items()})
