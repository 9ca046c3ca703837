"""Files are opened in processes of their own, so that what a file does to whoever reads it happens to nobody else.

A reader is a new interpreter that knows FFmpeg and nothing of models. It runs one function on one file at a time, with
a bound on its memory and on the processor time that may pass without a picture. When it dies, who asked learns which
file it had in hand and how it ended, and the next one is there in a moment. Readers are kept a while between files.

No fork of `core.processes`: what starts those runs the user's own script again, which may stand unguarded at its top
(the five lines of Python), and a job's process may not have any.
"""

from __future__ import annotations

import atexit
import mmap
import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from types import GeneratorType
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from prvr.core.errors import PrvrError, VideoError
from prvr.core.system import bound_memory, bounded_time, was_too_slow
from prvr.video.bounds import most_bytes, most_pixels, patience_s
from prvr.video.frames import BATCH_BYTES
from prvr.video.source import shown
from prvr.video.wires import joined, start

IDLE_S = 120.0  # that a reader waits for the next file before it goes
START = "import sys; from prvr.video.apart import main; main(*sys.argv[1:])"
ALONE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # it multiplies nothing

Kind = Literal["part", "end", "error", "memory"]
T = TypeVar("T")


class ReaderEnded(VideoError):
    """A file that ended the process that read it, or went beyond its bounds."""

    def __init__(self, line: str, *, certain: bool = False) -> None:  # with the line alone, as pickle makes it
        super().__init__(line)
        self.certain = certain  # it was the file's doing; else it may have been the machine's


class NoReader(PrvrError):
    """The machine has no room for a process more: no file's fault."""


class ReaderFailed(VideoError):
    """A file on which reading failed in a way that nobody foresaw."""


class Shared(NamedTuple):
    """The shape of an array that lies in the memory which a reader shares with who asked, until more is asked for."""

    shape: tuple[int, ...]


class ReaderProcess:
    """One process that reads files. Whoever has it is alone with it."""

    def __init__(self) -> None:
        """Raises NoReader."""
        self.room = _room()
        self._busy = False
        try:
            environment = {**os.environ, **dict.fromkeys(ALONE, "1"), "PYTHONPATH": _path()}
            self._process, (self._to, self._from, self._shared) = start(START, self.room, environment)
        except OSError as error:
            raise NoReader(
                f"no process can be started to read videos in ({error.strerror}); free some memory, then try again"
            ) from error

    @property
    def waits(self) -> bool:
        """Whether it is there for the next file, as far as one can see."""
        return not self._busy and self._process.poll() is None

    def ask(self, function: Callable[..., T], path: Path, *arguments: Any, **options: Any) -> T:
        """What `function(path, ...)` returns there.

        Raises what it raises of ours, ReaderFailed for other exceptions, ReaderEnded where the reader did not live.
        """
        *_, answer = self.each(function, path, *arguments, **options)
        return answer  # type: ignore[no-any-return]

    def each(self, function: Callable[..., Any], path: Path, *arguments: Any, **options: Any) -> Iterator[Any]:
        """What it yields there, each made when it is asked for, and then what it returns. Raises as `ask`."""
        ours = {name: value for name, value in os.environ.items() if name.startswith("PRVR_")}
        self._busy = True
        self._send((function, (path, *arguments), options, ours, _here()), path)
        while True:
            kind, value = self._receive(path)
            self._busy = kind == "part"
            if kind == "error":
                raise value
            if kind == "memory":
                raise ReaderEnded(
                    f"{shown(path)}: takes more than {most_bytes() / 1e9:g} GB of memory to read, and is left alone "
                    "until it changes or is tried again by name; PRVR_READER_GB allows more",
                    certain=True,
                )
            yield value
            if kind == "end":
                return
            self._send("more", path)

    def shared(self, place: Shared) -> NDArray[np.uint8]:
        """An array that it shares."""
        count = int(np.prod(place.shape))
        return np.frombuffer(self._shared, np.uint8, count).reshape(place.shape)

    def end(self) -> None:
        """Whatever it does, it does it no more."""
        self._process.kill()
        self._process.wait()

    def _send(self, message: object, path: Path) -> None:
        try:
            self._to.send(message)
        except (OSError, ValueError):
            raise self._death(path) from None

    def _receive(self, path: Path) -> tuple[Kind, Any]:
        try:
            return self._from.recv()  # type: ignore[no-any-return]
        except (EOFError, OSError):
            raise self._death(path) from None

    def _death(self, path: Path) -> ReaderEnded:
        code = self._process.wait()
        if was_too_slow(code):
            return ReaderEnded(
                f"{shown(path)}: took {patience_s():g} s of processor time without a picture, and is left alone until "
                "it changes or is tried again by name; PRVR_READER_S allows more",
                certain=True,
            )
        how = f"code {code}" if code >= 0 else f"signal {-code}, {_name(-code)}"
        return ReaderEnded(
            f"{shown(path)}: ended the process that read it ({how}), and is left alone until it changes or is tried "
            "again by name; check that it plays, or leave it out",
            certain=False,
        )


_idle: list[ReaderProcess] = []
_lock = threading.Lock()


@contextmanager
def lent(*, new: bool = False) -> Iterator[ReaderProcess]:
    """A reader that waits already, or a new one; kept for the next file unless it is not done with this one."""
    reader = (None if new else _waiting()) or ReaderProcess()
    try:
        yield reader
    finally:
        if reader.waits:
            with _lock:
                _idle.append(reader)
        else:
            reader.end()


def ask(function: Callable[..., T], path: Path, *arguments: Any, **options: Any) -> T:
    """As `ReaderProcess.ask`, of any; where one died, and it may not be the file's doing, a new one is asked once."""
    try:
        with lent() as reader:
            return reader.ask(function, path, *arguments, **options)
    except ReaderEnded as error:
        if error.certain:
            raise
    with lent(new=True) as reader:
        return reader.ask(function, path, *arguments, **options)


def _waiting() -> ReaderProcess | None:
    with _lock:
        while _idle:
            reader = _idle.pop()
            if reader.waits and reader.room >= _room():
                return reader
            reader.end()
    return None


@atexit.register
def _end_all() -> None:
    with _lock:
        while _idle:
            _idle.pop().end()


def _room() -> int:
    """Bytes that a batch may take: it has one frame at least."""
    return max(BATCH_BYTES, 3 * most_pixels())


def _here() -> str:
    """Where paths begin that are relative; empty where that folder was deleted."""
    try:
        return os.getcwd()  # noqa: PTH109 - as text
    except FileNotFoundError:
        return ""


def _path() -> str:
    """Where modules are found here, for a reader to find them there too."""
    return os.pathsep.join(str(Path(place).absolute()) for place in sys.path)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "of no name"


# What follows runs in the reader.

_memory: mmap.mmap | None = None
_patience_s = 0.0  # 0: no end of it
_timer = cache(bounded_time)  # made in the reader alone


def room(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Memory for an array that who asked sees as well; in any other process memory of our own."""
    if _memory is None:
        return np.empty(shape, np.uint8)
    count = int(np.prod(shape))
    if count > len(_memory):
        raise MemoryError
    return np.frombuffer(_memory, np.uint8, count).reshape(shape)


def alive() -> None:
    """Something came of the file: its time begins again. Counted is processor time, so that no slow disk is blamed."""
    if _patience_s:
        _timer()(_patience_s)


def main(*wires: str) -> None:
    """A reader's life: a function and a file, its answers, the next; until nobody wants anything any more."""
    global _memory
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asked, who then ends this
    with suppress(OSError):  # where memory ends, the system is to end this, not who asked
        Path("/proc/self/oom_score_adj").write_text("500")
    out, asked, _memory = joined(*wires)
    requests = queue.SimpleQueue[bytes]()
    threading.Thread(target=_listen, args=(asked, requests), daemon=True).start()
    while True:
        try:
            request = requests.get(timeout=IDLE_S)
        except queue.Empty:
            os._exit(0)
        for answer in _answers(request):
            out.send(answer)
            if answer[0] == "part":
                requests.get()


def _listen(asked: Connection, requests: queue.SimpleQueue[bytes]) -> None:
    """Nobody is there any more: nobody wants an answer, however long it takes."""
    try:
        while True:
            requests.put(asked.recv_bytes())
    except (EOFError, OSError):
        os._exit(0)


def _answers(request: bytes) -> Iterator[tuple[Kind, Any]]:
    try:
        function, arguments, options, ours, place = pickle.loads(request)
        if place:
            os.chdir(place)  # paths may be relative to it, and whoever asks may have gone elsewhere since the last file
        _settle(ours)
        made = function(*arguments, **options)
        if isinstance(made, GeneratorType):
            made = yield from _parts(made)
        yield "end", made
    except MemoryError:
        yield "memory", None
    except PrvrError as error:
        yield "error", error
    except Exception as error:  # noqa: BLE001 - of one file, whatever it is
        why = str(error).strip().partition("\n")[0]
        yield "error", ReaderFailed(f"{shown(arguments[0])}: cannot be read ({type(error).__name__}: {why})")
    finally:
        _timer()(0)


def _parts(made: Iterator[Any]) -> Generator[tuple[Kind, Any], None, Any]:
    while True:
        try:
            part = next(made)
        except StopIteration as end:
            return end.value
        yield "part", part
        alive()


def _settle(ours: Mapping[str, str]) -> None:
    """The bounds of who asks, from now on."""
    global _patience_s
    for name in [name for name in os.environ if name.startswith("PRVR_")]:
        del os.environ[name]
    os.environ.update(ours)
    with suppress(OSError, ValueError):
        bound_memory(most_bytes())
    _patience_s = patience_s()
    alive()
