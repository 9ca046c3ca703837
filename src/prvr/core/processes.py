"""Processes that share nothing with the one that starts them, and are there at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess

PAUSES_S = (0.0, 0.05, 0.2, 1.0, 4.0)  # between asking for a process and asking again


def fresh_processes(loaded: Sequence[str]) -> ForkServerContext | SpawnContext:
    """Where such processes come from: forks of one that has loaded these modules and has computed nothing yet.

    A fork of this process would share its threads' locks, and a new interpreter loads torch for seconds each time. What
    the first call names is loaded for all. Elsewhere than on Linux libraries may not survive a fork: there they begin
    from nothing.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(list(loaded))
    return forking


def begin(process: BaseProcess) -> None:
    """Start a process; where the one that was to fork it is killed in that moment, another takes its place.

    What was killed shuts its sockets some time before it counts as dead, and until then no other takes its place:
    hence the pauses. Raises OSError and EOFError where no process can be started.
    """
    for pause_s in PAUSES_S:
        try:
            process.start()
            return
        except (EOFError, ConnectionError):
            time.sleep(pause_s)
    process.start()


def leave_with_parent() -> None:
    """End this process with the one that started it: on its word after Ctrl-C, by itself when it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
