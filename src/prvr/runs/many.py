"""Many runs: tasks, each known by the folder of its run, done in one place or another.

What a task does is the same everywhere: here, one after the other (`here`), or in processes of this machine
(`prvr.runs.apart`). Whoever does one holds the claim to its folder, so that two programs which want the same run make
it once: the second does what is left, and then reads.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from prvr.core.errors import CheckpointError, ConfigError, PrvrError
from prvr.core.files import appending
from prvr.core.system import locked

PAUSE_S = 2.0  # between two looks at runs that others are at


@dataclass(frozen=True, kw_only=True)
class RunTask:
    """A run to be made."""

    name: str  # for people
    folder: Path  # of the run, by which it is known: what is finished there is not done again
    log: Path  # what is said meanwhile, where that is done apart
    do: Callable[[], str]  # -> what came of it, in a line, or nothing where it was there; PrvrError


class RunEnd(NamedTuple):
    """What came of a task."""

    said: str = ""
    error: str = ""  # why there is no run
    busy: bool = False  # somebody else is at it


Place = Callable[[Sequence[RunTask]], Iterable[tuple[RunTask, RunEnd]]]
"""Does tasks, and says of each how it ended, in whatever order."""


def here(tasks: Sequence[RunTask]) -> Iterator[tuple[RunTask, RunEnd]]:
    """One after the other, in this process."""
    for task in tasks:
        yield task, attempt(task)


def run_all(tasks: Iterable[RunTask], place: Place, *, say: Callable[[str], None]) -> dict[Path, str]:
    """Have all tasks done, those last that others are at; -> why runs failed, by their folders."""
    left, failed, told = list(tasks), {}, False
    while left:
        busy = []
        for task, end in place(left):
            if end.busy:
                busy.append(task)
            elif end.error:
                failed[task.folder] = f"{task.name}: {end.error}"
                say(failed[task.folder])
            elif end.said:
                say(end.said)
        if len(busy) == len(left):
            if not told:
                say(f"{', '.join(task.name for task in busy)}: another prvr process is at it; waiting for it")
            told = True
            time.sleep(PAUSE_S)
        left = busy
    return failed


def attempt(task: RunTask) -> RunEnd:
    """Do a task, unless somebody else is at it. What is not the user's to mend is raised."""
    try:
        with claimed(task.folder) as mine:
            return RunEnd(said=task.do()) if mine else RunEnd(busy=True)
    except PrvrError as error:
        return RunEnd(error=str(error))


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether this process alone is at a run, for as long as the block lasts; a killed one lets go.

    Raises CheckpointError where nothing can be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        handle = appending(folder.with_name(f".{folder.name}.claim"))
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error
    with handle:
        yield locked(handle)


def packed(task: RunTask) -> bytes:
    """A task for another process, with the folder that it was asked for in.

    Raises ConfigError where a recipe is made of what another process cannot import.
    """
    try:
        return pickle.dumps((str(Path.cwd()), pickle.dumps(task)))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"cannot be sent to another process ({error}); name every function of the recipe at the top of its module"
        ) from error


def unpacked(sent: bytes) -> RunTask:
    """The task again, in the folder that it was asked for in, where packages are looked for after all other places."""
    asked_in, task = pickle.loads(sent)
    if asked_in not in sys.path:
        sys.path.append(asked_in)
    with contextlib.suppress(OSError):  # a folder of that machine alone: then paths have to be whole
        os.chdir(asked_in)
    found: RunTask = pickle.loads(task)
    return found


def new_log(task: RunTask) -> None:
    """Begin the task's log anew. Raises CheckpointError where nothing can be written."""
    try:
        task.log.parent.mkdir(parents=True, exist_ok=True)
        task.log.write_bytes(b"")
    except OSError as error:
        raise CheckpointError(f"{task.log}: cannot be written ({error.strerror}); choose another folder") from error


def speak_to(log: Path) -> None:
    """What this process says from now on goes to the end of a log that is there. Raises OSError."""
    end = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(end, stream)
    os.close(end)


def broken_off(log: Path, how: str) -> RunEnd:
    """The end of a task whose process did not come to say one: the last line of its log, or how it ended."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return RunEnd(error=f"{how}{f': {last[:200]}' if last else ''}; its log is {log}")


def with_log(end: RunEnd, log: Path) -> RunEnd:
    """The same, saying where the log of what failed is."""
    return end._replace(error=f"{end.error} (log: {log})") if end.error else end
