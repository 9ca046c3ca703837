"""Runs on a Ray cluster: each a task with its processors, in a process of its own, and again elsewhere if that is lost.

Nodes share the folders of data and runs, at the same paths; `prvr.cluster` opens the cluster and compares what its
nodes have installed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from prvr.cluster.nodes import everywhere
from prvr.core.errors import ClusterError, PrvrError
from prvr.runs.many import RunEnd, RunTask, attempt, broken_off, new_log, packed, speak_to, unpacked, with_log

TRIES = 3  # of a run whose worker or node was lost


@dataclass(frozen=True)
class _Placed:
    """A task that the cluster has."""

    task: RunTask
    sent: bytes
    tries: int = 1


def on_ray(
    tasks: Sequence[RunTask], *, ray: Any, cpus: int = 1, gpus: float = 0.0, at_once: int | None = None
) -> Iterator[tuple[RunTask, RunEnd]]:
    """As many at once as the nodes have room for, or `at_once`; each is given so many processors and GPUs.

    Whoever leaves early cancels the rest. Raises ClusterError where a node does not see the folder of the runs.
    """
    waiting, begun = deque[_Placed](), dict[Any, _Placed]()
    for task in tasks:
        try:
            waiting.append(_Placed(task, packed(task)))
            new_log(task)
        except PrvrError as error:
            yield task, RunEnd(error=str(error))
    if not waiting:
        return
    _check_seen(ray, waiting[0].task.log.absolute(), {"CPU": cpus, "GPU": gpus})
    remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0, max_calls=1)(_work)
    try:
        while waiting or begun:
            while waiting and (at_once is None or len(begun) < at_once):
                one = waiting.popleft()
                begun[remote.remote(one.sent, one.task.log.absolute(), cpus)] = one
            (ready,), _ = ray.wait(list(begun), num_returns=1)
            one = begun.pop(ready)
            end = _end(ray, ready, one)
            if end is None:
                waiting.append(replace(one, tries=one.tries + 1))
            else:
                yield one.task, end
    finally:
        for ref in begun:
            ray.cancel(ref, force=True)


def _work(sent: bytes, log: Path, cpus: int) -> RunEnd:
    """A run's process, on some node."""
    speak_to(log)
    torch.set_num_threads(cpus)
    return attempt(unpacked(sent))


def _end(ray: Any, ready: Any, one: _Placed) -> RunEnd | None:
    """How a task ended, or None if it is worth another try: what it ran on was lost."""
    log = one.task.log
    try:
        return with_log(ray.get(ready), log)
    except ray.exceptions.RayTaskError as error:
        with log.open("a", encoding="utf-8") as opened:
            opened.write(f"{error}\n")
        return broken_off(log, "stopped")
    except ray.exceptions.RayError as error:
        if one.tries < TRIES:
            return None
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        return broken_off(log, f"lost its worker {TRIES} times ({why})")


def _check_seen(ray: Any, log: Path, needs: Mapping[str, float]) -> None:
    """Raises ClusterError that names the nodes on which a file of ours is not there."""
    blind = [node for node, seen in everywhere(ray, _is_file, log, needs=needs).items() if not seen]
    if blind:
        raise ClusterError(
            f"{', '.join(blind)}: does not see {log.parent}; put --out into a folder that all nodes have at that place"
        )


def _is_file(path: Path) -> bool:
    return path.is_file()
