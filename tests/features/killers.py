"""Stand-ins for files that end, exhaust or deceive who reads them: what they do is said by their names.

Readers import this, so there is no torch in it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from prvr.core.facts import VideoInfo
from prvr.features import reading
from prvr.features.reading import Rest, Sampled
from prvr.video.probe import probe
from prvr.video.thumbnail import thumbnail


def kind(path: Path) -> str:
    """What a file does, by its name."""
    return path.stem.rpartition("-")[2]


def read(path: Path, rate: float, max_frames: int | None) -> Iterator[Sampled | Rest]:
    """As it is read, but for files of certain names, which begin like any other."""
    sound = reading.read(path, rate, max_frames)
    yield next(sound)
    match kind(path):
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "memory":
            np.ones(8 << 30, np.uint8)
        case "loop":
            while True:
                pass
        case "error":
            raise RuntimeError("nobody foresaw this\nnor that")
        case "once":  # the machine's doing, not the file's
            marker = path.with_suffix(".seen")
            if not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
    yield from sound


def thumbnail_of(path: Path, time_s: float, **how: int) -> bytes:
    """A picture of a file, unless that one's name says that it kills."""
    if kind(path) == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return thumbnail(path, time_s, **how)


def probe_of(path: Path) -> VideoInfo:
    """What a file holds, unless its name says that it kills."""
    if kind(path) == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return probe(path)
