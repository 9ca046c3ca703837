"""Runs in processes of this machine: so many at once, each with its share of the processors and a log of its own."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import torch

from prvr.core.errors import PrvrError
from prvr.core.processes import begin, fresh_processes, leave_with_parent
from prvr.runs.many import RunEnd, RunTask, attempt, broken_off, new_log, packed, speak_to, unpacked, with_log

LOADED = [__name__, "prvr.runs.train", "prvr.runs.measure", "prvr.methods.msc.runs"]  # before a run begins


class _Begun(NamedTuple):
    """A task under way."""

    task: RunTask
    process: BaseProcess
    said: Connection  # where it says how it ended


def in_processes(tasks: Sequence[RunTask], *, workers: int) -> Iterator[tuple[RunTask, RunEnd]]:
    """So many at once; what kills one, be it the user or the machine, ends that run and no other."""
    waiting, begun = deque(tasks), list[_Begun]()
    threads = max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // workers))
    try:
        while waiting or begun:
            while waiting and len(begun) < workers:
                task = waiting.popleft()
                try:
                    begun.append(_begin(task, threads))
                except PrvrError as error:
                    yield task, RunEnd(error=str(error))
            ready = wait([one.said for one in begun]) if begun else ()
            for ended in [one for one in begun if one.said in ready]:
                begun.remove(ended)
                yield ended.task, _end(ended)
    finally:
        for one in begun:
            one.process.terminate()
        for one in begun:
            one.process.join()


def _begin(task: RunTask, threads: int) -> _Begun:
    sent, fresh = packed(task), fresh_processes(LOADED)
    new_log(task)
    here, there = fresh.Pipe(duplex=False)
    process = fresh.Process(target=_work, args=(there, sent, task.log.absolute(), threads), daemon=True)
    begin(process)
    there.close()
    return _Begun(task, process, here)


def _work(there: Connection, sent: bytes, log: Path, threads: int) -> None:
    """A run's process. What is raised here, its caller writes into the log."""
    leave_with_parent()
    speak_to(log)
    torch.set_num_threads(threads)
    there.send(attempt(unpacked(sent)))


def _end(ended: _Begun) -> RunEnd:
    log = ended.task.log
    try:
        found: RunEnd = ended.said.recv()
    except EOFError:
        ended.process.join()
        code = ended.process.exitcode or 0
        return broken_off(log, f"was killed by signal {-code}" if code < 0 else "stopped")
    finally:
        ended.said.close()
    ended.process.join()
    return with_log(found, log)
