"""What systems do in ways of their own, and the only place that asks which one this is for it: locks, owners, links.

On Windows no module of POSIX is there. A file is locked by `msvcrt`, at a byte far behind its content, since whoever
holds a lock there keeps others from reading what is locked. Folders of a user are closed to others by the profile
that they are in, and have no owner in numbers.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl
    import resource

LOOK_S = 0.2  # between two looks at the time that a process took
FAR = 2**40  # where Windows locks
TOO_SLOW = 75  # a process ends so on Windows when its time is over, which POSIX does by a signal
MEETING = getattr(socket, "AF_UNIX", None)  # the family of sockets at which programs of one user meet


def locked(file: IO[Any], *, shared: bool = False) -> bool:
    """Take the lock of an open file at once; False where another process has it. It ends with the file.

    A `shared` one can be had by many at a time; Windows has none such.
    """
    try:
        if sys.platform == "win32":
            place = os.lseek(file.fileno(), 0, os.SEEK_CUR)
            os.lseek(file.fileno(), FAR, os.SEEK_SET)
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            finally:
                os.lseek(file.fileno(), place, os.SEEK_SET)
        else:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def account() -> int:
    """The number of who runs this; 0 on Windows, which has no such numbers."""
    return 0 if sys.platform == "win32" else os.getuid()


def is_own(found: os.stat_result) -> bool:
    """Whether something belongs to who runs this, as far as the system says."""
    return found.st_uid == account()


def is_open_to_others(found: os.stat_result) -> bool:
    """Whether other accounts may look into something, as far as its mode says."""
    return sys.platform != "win32" and bool(found.st_mode & 0o077)


def open_no_link(path: str, flags: int, mode: int = 0o666) -> int:
    """`os.open` of what is no link. Raises OSError, also for a link."""
    if sys.platform == "win32" and Path(path).is_symlink():
        raise OSError(f"{path}: is a link")
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), mode)


def keep_names(folder: Path) -> None:
    """See to it that a power cut does not lose the names in a folder; Windows keeps them itself. Raises OSError."""
    if sys.platform == "win32":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def give_way(steps: int) -> None:
    """Let other processes go first."""
    if sys.platform != "win32":
        os.nice(steps)


def peak_memory() -> int:
    """Bytes that this process took at most until now; 0 where nobody knows."""
    if sys.platform == "win32":
        return 0
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found if sys.platform == "darwin" else found * 1024


def bound_memory(wanted: int) -> None:
    """Let this process have so many bytes and no more; Windows has no such bound. Raises OSError, ValueError."""
    if sys.platform == "win32":
        return
    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    most = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def bounded_time() -> Callable[[float], None]:
    """What sets how many seconds of processor time this process has left, 0 for no end of it; a new count each time."""
    if sys.platform == "win32":
        return Patience().set

    def set_timer(left_s: float) -> None:
        signal.setitimer(signal.ITIMER_PROF, left_s)

    return set_timer


class Patience:
    """What ends this process with `TOO_SLOW` when its processor time is over, where there is no signal for that."""

    def __init__(self) -> None:
        self._until = 0.0  # of this process's time; 0: no end of it
        threading.Thread(target=self._watch, daemon=True).start()

    def set(self, left_s: float) -> None:
        """From now on it has so many seconds; 0: no end of it."""
        self._until = time.process_time() + left_s if left_s else 0.0

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK_S)
            if 0 < self._until < time.process_time():
                os._exit(TOO_SLOW)


def was_too_slow(code: int) -> bool:
    """Whether a process with this exit status was ended because its time was over."""
    return code == (TOO_SLOW if sys.platform == "win32" else -signal.SIGPROF)
