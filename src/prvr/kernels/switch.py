"""The one switch between the kernels and their readable twins: same values, same gradients, same random draws.

Kernels are on. `PRVR_KERNELS=0` in the environment turns them off for a process, `without_kernels` for a block.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from prvr.core.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")

_wanted = os.environ.get("PRVR_KERNELS", "1")
if _wanted not in ("0", "1"):
    raise ConfigError(f"PRVR_KERNELS={_wanted}: is 1 (kernels, as without it) or 0 (their readable twins); set one")
_blocks_without = 0 if _wanted == "1" else 1
_lock = threading.Lock()


def enabled() -> bool:
    """Whether kernels run."""
    return not _blocks_without


@contextlib.contextmanager
def without_kernels() -> Iterator[None]:
    """The readable twins alone, in the whole process: the backward pass of a GPU runs in a thread of its own.

    Where activations are made again for the backward pass, that belongs inside the block too.
    """
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def twin_of(kernel: Callable[..., R]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates the readable form of a kernel, which is called in its place while kernels are on."""

    def decorate(readable: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(readable)
        def either(*args: P.args, **kwargs: P.kwargs) -> R:
            return kernel(*args, **kwargs) if enabled() else readable(*args, **kwargs)

        return either

    return decorate


def _count(blocks: int) -> None:
    global _blocks_without
    with _lock:
        _blocks_without += blocks
