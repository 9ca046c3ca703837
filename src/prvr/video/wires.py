"""How a process that reads files is joined to who asks it: a pipe each way, and memory that both see."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection, Pipe
from typing import NamedTuple
from uuid import uuid4


class Wires(NamedTuple):
    """One end of it."""

    to: Connection
    coming: Connection
    memory: mmap.mmap


def start(code: str, size: int, environment: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], Wires]:
    """A new interpreter that runs `code` with what `joined` takes as its arguments. Raises OSError."""
    asked, to = Pipe(duplex=False)
    coming, told = Pipe(duplex=False)
    with asked, told, _memory(size) as (memory, name):
        ends = (asked.fileno(), told.fileno())
        words = [sys.executable, "-P", "-c", code, *map(str, ends), name, str(size)]
        none = subprocess.DEVNULL
        if sys.platform == "win32":
            for end in ends:
                os.set_handle_inheritable(end, True)
            handed = subprocess.STARTUPINFO(lpAttributeList={"handle_list": list(ends)})
            process = subprocess.Popen(
                words, stdin=none, stdout=none, stderr=none, env=environment, startupinfo=handed, close_fds=True
            )
        else:
            process = subprocess.Popen(
                words, stdin=none, stdout=none, stderr=none, env=environment, pass_fds=(*ends, int(name))
            )
    return process, Wires(to, coming, memory)


def joined(asked: str, told: str, name: str, size: str) -> Wires:
    """The other end, in the process that was started."""
    if sys.platform == "win32":
        from multiprocessing.connection import PipeConnection

        memory = mmap.mmap(-1, int(size), tagname=name)
        return Wires(PipeConnection(int(told), readable=False), PipeConnection(int(asked), writable=False), memory)
    memory = mmap.mmap(int(name), int(size))
    os.close(int(name))
    return Wires(Connection(int(told), readable=False), Connection(int(asked), writable=False), memory)


@contextmanager
def _memory(size: int) -> Iterator[tuple[mmap.mmap, str]]:
    """Memory as long as somebody has it mapped, and by what name: what nobody writes into takes no room."""
    if sys.platform == "win32":
        name = f"prvr-{uuid4().hex}"
        yield mmap.mmap(-1, size, tagname=name), name
        return
    if sys.platform == "linux":
        file = os.memfd_create("prvr")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    try:
        os.ftruncate(file, size)
        yield mmap.mmap(file, size), str(file)
    finally:
        os.close(file)
