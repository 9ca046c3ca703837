"""Batches on their way to the device, so that the device never waits and nothing waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor

from prvr.core.types import Batch

T = TypeVar("T")


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


def feed(batches: Iterable[Batch[Any]], device: str) -> Iterator[Batch[Any]]:
    """Batches on the host, ready for `send`: for a GPU made one step ahead, in memory that the GPU reads by itself."""
    if torch.device(device).type != "cuda":
        return iter(batches)
    index = torch.cuda.current_device()

    def pin(batch: Batch[Any]) -> Batch[Any]:
        with torch.cuda.device(index):  # a new thread would reach for the first GPU
            return batch.each(Tensor.pin_memory)

    return ahead(batches, pin)


def send(tensor: Tensor, device: str) -> Tensor:
    """One tensor on the device, without waiting for it."""
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return (tensor if tensor.is_cuda else tensor.pin_memory()).to(device, non_blocking=True)


def send_batch(batch: Batch[Any], device: str) -> Batch[Any]:
    """A batch on the device, without waiting for it; what `feed` prepared is not copied on the host again."""
    return batch.each(lambda tensor: send(tensor, device))
