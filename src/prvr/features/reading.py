"""What becomes of a file in the process that reads it: its frames, whether it is whole, and what is said in it.

No torch here: a process that only opens files is to be there at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from numpy import float64
from numpy.typing import NDArray

from prvr.subtitles.tracks import TextTrack, read_tracks
from prvr.video.apart import Shared, alive, room
from prvr.video.frames import RawFrames
from prvr.video.promise import CutShort, cut_short


class Sampled(NamedTuple):
    """A batch of frames, which lie in shared memory."""

    frames: Shared  # (B, 3, h, w) uint8
    times: NDArray[float64]  # (B,)


class Rest(NamedTuple):
    """What is known of a file once it was read to its end."""

    duration_s: float
    cut: CutShort | None
    tracks: list[TextTrack]
    notes: list[str]  # a line for what subtitles inside it could not be read


def read(path: Path, rate: float, max_frames: int | None) -> Iterator[Sampled | Rest]:
    """The batches of a file, then the rest. Raises VideoError for what is no video."""
    frames = RawFrames(path, rate=rate, max_frames=max_frames, room=room, on_picture=alive)
    duration_s = frames.duration_s
    last = 0.0
    for batch in frames:
        last = float(batch.times[-1])
        yield Sampled(Shared(batch.frames.shape), batch.times)
    duration_s, notes = max(duration_s, last), list[str]()
    cut = cut_short(path, duration_s=duration_s, damaged=frames.damaged_packets)
    tracks = [] if cut and cut.frames <= 1 else read_tracks(path, notes)
    yield Rest(duration_s, cut, tracks, notes)


def hear(path: Path) -> tuple[list[TextTrack], list[str]]:
    """What is said in a file, and a line for what could not be read of that."""
    notes = list[str]()
    return read_tracks(path, notes), notes
