"""What reads files into a store, several at a time, each file in a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from prvr.core.errors import FeatureError, VideoError
from prvr.core.types import Encoder, VideoFeatures
from prvr.features.failures import Stage
from prvr.features.reading import Rest, Sampled, read
from prvr.features.store import Entry, FeatureStore
from prvr.features.suspects import Suspects
from prvr.features.windows import reading_of, sampling_rate
from prvr.video.apart import NoReader, ReaderEnded, ReaderFailed, ReaderProcess, lent
from prvr.video.probe import READING
from prvr.video.source import NoFrame, shown

READ: Callable[..., Iterator[Sampled | Rest]] = read  # what is run there


class FileToRead(NamedTuple):
    """One file that has to be read."""

    video_id: str
    path: Path
    size: int  # bytes
    mtime_ns: int
    root: Path  # that the id is counted from


class Refused(NamedTuple):
    """A file that could not be read, or only in part."""

    stage: Stage
    line: str


class ReadFile(NamedTuple):
    """What became of one file: features, a reason why there are none, or both, of a part."""

    entry: Entry | None
    refused: Refused | None = None
    unsure: bool = False  # its reader died, perhaps not by its doing


class Hands:
    """What reads files, several at a time; decoding happens apart, and encoders leave Python's lock while they work."""

    def __init__(self, encoder: Encoder, store: FeatureStore, suspects: Suspects, notes: list[str]) -> None:
        self._encoder, self._store, self._suspects, self._notes = encoder, store, suspects, notes
        self._stop = threading.Event()
        self._lent: set[ReaderProcess] = set()

    def read(self, job: FileToRead, *, alone: bool = False) -> ReadFile:
        """One file into the store, as far as it can be read, and why that is not far.

        Raises FeatureError as `FeatureStore.write`, NoReader, KeyboardInterrupt once all is to stop.
        """
        if self._stop.is_set():
            raise KeyboardInterrupt
        try:
            with self._suspects.held(job.path, job.size, job.mtime_ns, alone=alone):
                return self._read(job, alone=alone)
        except ReaderEnded as error:
            if self._stop.is_set():
                raise KeyboardInterrupt from None
            return ReadFile(None, Refused("killed", str(error)), unsure=not (alone or error.certain))
        except (NoFrame, ReaderFailed) as error:
            return ReadFile(None, Refused("decode", str(error)))
        except VideoError as error:
            return ReadFile(None, Refused("open", str(error)))
        except (FeatureError, NoReader):  # the disk or the memory is full: so for every file
            raise
        except Exception as error:  # noqa: BLE001 - of one file, whatever it is, and the others go on
            why = str(error).strip().partition("\n")[0]
            line = f"{shown(job.path)}: cannot be encoded ({type(error).__name__}: {why}); leave it out"
            return ReadFile(None, Refused("decode", line))

    def stop(self) -> None:
        """End what is being read, since nobody waits for it any more."""
        self._stop.set()
        for reader in list(self._lent):
            reader.end()

    def _read(self, job: FileToRead, *, alone: bool) -> ReadFile:
        store = self._store
        with lent(new=alone) as reader:
            self._lent.add(reader)
            try:
                video, rest = self._encoded(reader, job.path)
            finally:
                self._lent.discard(reader)
        self._notes += rest.notes
        cut, refused = rest.cut, None
        if cut:
            part = "what could be read can be searched" if cut.frames > 1 else "it was left out"
            refused = Refused("cut", f"{cut.told(job.path)}; {part}")
        if cut and cut.frames <= 1:  # one picture has no moments
            store.remove(job.video_id)
            return ReadFile(None, refused)
        if not all(made.isfinite().all() for made in (video.features, *(video.clips or ()))):
            line = f"{shown(job.path)}: the encoder made NaN or infinity of it; read it with another encoder"
            return ReadFile(None, Refused("decode", line))
        source, size, mtime_ns = job.path.resolve(), job.size, job.mtime_ns
        entry = store.write(
            job.video_id, video, source=source, size=size, mtime_ns=mtime_ns, tracks=rest.tracks, reading=READING
        )
        return ReadFile(entry, refused)

    def _encoded(self, reader: ReaderProcess, path: Path) -> tuple[VideoFeatures, Rest]:
        """One file, streamed: decoded there, resized and encoded here."""
        header, encoder, rest = self._store.header, self._encoder, None
        reading = reading_of(encoder, header.rate)
        for part in reader.each(READ, path, sampling_rate(encoder.spec, header.rate), header.max_frames):
            if self._stop.is_set():
                raise KeyboardInterrupt
            if isinstance(part, Sampled):
                reading.add(torch.from_numpy(reader.shared(part.frames)), torch.from_numpy(part.times))
            elif isinstance(part, Rest):
                rest = part
        assert rest is not None, "the rest comes last"
        return reading.finish(rest.duration_s), rest
