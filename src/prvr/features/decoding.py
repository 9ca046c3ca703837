"""Files decoded, batch by batch, in processes that do nothing else; no torch here.

Somebody else may do it: an encoder on a GPU is fed by decoders of other machines (`prvr.cluster.worker`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from numpy import float64, uint8
from numpy.typing import NDArray

from prvr.features.reading import Rest, Sampled, read
from prvr.video.apart import ReaderProcess, lent

READ: Callable[..., Iterator[Sampled | Rest]] = read  # what is run there


class DecodedFrames(NamedTuple):
    """A batch of frames, which are there until the next part is asked for."""

    frames: NDArray[uint8]  # (B, 3, h, w)
    times: NDArray[float64]  # (B,) seconds


Parts = Generator[DecodedFrames | Rest, None, None]


class Decoding(Protocol):
    """What decodes files."""

    def parts(self, path: Path, rate: float, max_frames: int | None, *, alone: bool) -> Parts:
        """The frames of a file, `rate` a second, then the rest of it; `alone`: in a process that has read nothing.

        Raises VideoError for what is no video, ReaderEnded where the file ended what read it, NoReader.
        """
        ...

    def stop(self) -> None:
        """End what is being decoded, since nobody waits for it any more."""
        ...


class ReaderDecoding:
    """In processes of this machine, several files at a time."""

    def __init__(self) -> None:
        self._lent: set[ReaderProcess] = set()
        self._lock = threading.Lock()

    def parts(self, path: Path, rate: float, max_frames: int | None, *, alone: bool) -> Parts:
        """As `Decoding`."""
        with lent(new=alone) as reader:
            with self._lock:
                self._lent.add(reader)
            try:
                for part in reader.each(READ, path, rate, max_frames):
                    if isinstance(part, Sampled):
                        yield DecodedFrames(reader.shared(part.frames), part.times)
                    elif isinstance(part, Rest):
                        yield part
            finally:
                with self._lock:
                    self._lent.discard(reader)

    def stop(self) -> None:
        """As `Decoding`."""
        with self._lock:
            for reader in self._lent:
                reader.end()
