"""Code in a process of its own, to be killed or to be given limits.

It is what `python -c` would run, but in a fork of a process that has loaded torch: loading it again costs more than
most tests. Only what is about loading itself starts a new interpreter.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

from prvr.core.processes import fresh_processes
from prvr.service.jobs import LOADED

ROOT = Path(__file__).parents[1]


class Fresh:
    """A process that runs `code`, with `sys.argv[1:]`; what it says fits into a pipe.

    It is killed at the end of the context.
    """

    def __init__(self, code: str, *arguments: object, environment: Mapping[str, str] | None = None) -> None:
        fresh, told = fresh_processes(LOADED), [str(argument) for argument in arguments]
        self._here, there = fresh.Pipe(duplex=False)
        os.set_blocking(self._here.fileno(), False)
        self._said = b""
        self._process = fresh.Process(target=_run, args=(code, told, there, {**os.environ, **(environment or {})}))
        self._process.start()
        there.close()
        assert self._process.pid
        self.pid = self._process.pid

    def __enter__(self) -> Fresh:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
        self._here.close()

    def said(self) -> str:
        """Everything so far, of both streams."""
        with suppress(BlockingIOError):
            while more := os.read(self._here.fileno(), 1 << 16):
                self._said += more
        return self._said.decode()

    def wait(self, timeout: float | None = 600) -> int:
        """Its exit status; that of a signal is negative."""
        self._process.join(timeout)
        code = self._process.exitcode
        assert code is not None, f"it still runs; it said {self.said()!r}"
        return code

    def kill(self) -> int:
        self._process.kill()
        return self.wait()


def _run(code: str, arguments: list[str], there: Connection, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    os.dup2(there.fileno(), 1)
    os.dup2(there.fileno(), 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    sys.argv = ["-c", *arguments]
    exec(compile(code, "<code>", "exec"), {"__name__": "__main__"})
