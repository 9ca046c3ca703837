"""What reads files into a store, several at a time, each file in a process of its own; and where that is done."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple, Protocol

import torch

from prvr.core.errors import FeatureError, VideoError
from prvr.core.types import Encoder, VideoFeatures
from prvr.features.decoding import Decoding, ReaderDecoding
from prvr.features.failures import Stage
from prvr.features.reading import Rest
from prvr.features.store import Entry, FeatureStore
from prvr.features.suspects import Suspects
from prvr.features.threads import one_thread_each
from prvr.features.windows import reading_of, sampling_rate
from prvr.video.apart import NoReader, ReaderEnded, ReaderFailed
from prvr.video.probe import READING
from prvr.video.source import NoFrame, shown


class FileToRead(NamedTuple):
    """One file that has to be read."""

    video_id: str
    path: Path
    size: int  # bytes
    mtime_ns: int
    root: Path  # that the id is counted from
    source: Path  # the file itself, past all links


class Refused(NamedTuple):
    """A file that could not be read, or only in part."""

    stage: Stage
    line: str


class ReadFile(NamedTuple):
    """What became of one file: features, a reason why there are none, or both, of a part."""

    entry: Entry | None
    refused: Refused | None = None
    unsure: bool = False  # its reader died, perhaps not by its doing
    notes: tuple[str, ...] = ()  # a line for what subtitles inside it could not be read


class Work(Protocol):
    """Files being read somewhere."""

    def submit(self, job: FileToRead, *, alone: bool = False) -> None:
        """Read it when its turn comes; `alone`: nothing else is submitted until it is done."""
        ...

    def finished(self) -> Iterable[tuple[FileToRead, ReadFile]]:
        """What was done since the last call; waits half a second at most for something. Raises as `Hands.read`."""
        ...


class Workplace(Protocol):
    """Where files are read: threads of this process, or the workers of a cluster."""

    def begin(self, encoder: Encoder, store: FeatureStore, suspects: Suspects, /) -> AbstractContextManager[Work]:
        """Inside, files are read into the store; what is not done when that is left by an exception, is not done."""
        ...


class ReadingThreads:
    """Threads of this process, each with a file in hand."""

    def __init__(self, workers: int) -> None:
        self._workers = workers

    @contextmanager
    def begin(self, encoder: Encoder, store: FeatureStore, suspects: Suspects, /) -> Iterator[Work]:
        """As `Workplace`."""
        hands = Hands(encoder, store, suspects)
        with one_thread_each(), ThreadPoolExecutor(self._workers) as pool:
            try:
                yield _Threaded(pool, hands)
            except BaseException:
                hands.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


class _Threaded:
    """Files being read on threads."""

    def __init__(self, pool: ThreadPoolExecutor, hands: Hands) -> None:
        self._pool, self._hands = pool, hands
        self._waiting: dict[Future[ReadFile], FileToRead] = {}

    def submit(self, job: FileToRead, *, alone: bool = False) -> None:
        self._waiting[self._pool.submit(self._hands.read, job, alone=alone)] = job

    def finished(self) -> Iterator[tuple[FileToRead, ReadFile]]:
        done, _ = wait(self._waiting, timeout=0.5, return_when=FIRST_COMPLETED)
        for future in done:
            yield self._waiting.pop(future), future.result()


class Hands:
    """What reads files, several at a time; decoding happens apart, and encoders leave Python's lock while they work."""

    def __init__(
        self,
        encoder: Encoder,
        store: FeatureStore,
        suspects: Suspects | None = None,
        *,
        decoding: Decoding | None = None,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        """`suspects` marks what is being read, for who comes after this process; None: somebody watches it.

        `turn` is held while the encoder works, where it has room for one batch only.
        """
        self._encoder, self._store, self._suspects = encoder, store, suspects
        self._decoding, self._turn = decoding or ReaderDecoding(), turn or nullcontext()
        self._stop = threading.Event()

    def read(self, job: FileToRead, *, alone: bool = False) -> ReadFile:
        """One file into the store, as far as it can be read, and why that is not far.

        Raises FeatureError as `FeatureStore.write`, NoReader, KeyboardInterrupt once all is to stop.
        """
        if self._stop.is_set():
            raise KeyboardInterrupt
        try:
            with (
                self._suspects.held(job.path, job.size, job.mtime_ns, alone=alone) if self._suspects else nullcontext()
            ):
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
        self._decoding.stop()

    def _read(self, job: FileToRead, *, alone: bool) -> ReadFile:
        store = self._store
        video, rest = self._encoded(job.path, alone=alone)
        cut, refused, notes = rest.cut, None, tuple(rest.notes)
        if cut:
            part = "what could be read can be searched" if cut.frames > 1 else "it was left out"
            refused = Refused("cut", f"{cut.told(job.path)}; {part}")
        if cut and cut.frames <= 1:  # one picture has no moments
            store.remove(job.video_id)
            return ReadFile(None, refused, notes=notes)
        if not all(made.isfinite().all() for made in (video.features, *(video.clips or ()))):
            line = f"{shown(job.path)}: the encoder made NaN or infinity of it; read it with another encoder"
            return ReadFile(None, Refused("decode", line), notes=notes)
        entry = store.write(
            job.video_id,
            video,
            source=job.source,
            size=job.size,
            mtime_ns=job.mtime_ns,
            tracks=rest.tracks,
            reading=READING,
        )
        return ReadFile(entry, refused, notes=notes)

    def _encoded(self, path: Path, *, alone: bool) -> tuple[VideoFeatures, Rest]:
        """One file, streamed: decoded there, resized and encoded here."""
        header, encoder, rest = self._store.header, self._encoder, None
        reading, rate = reading_of(encoder, header.rate), sampling_rate(encoder.spec, header.rate)
        with closing(self._decoding.parts(path, rate, header.max_frames, alone=alone)) as parts:
            for part in parts:
                if self._stop.is_set():
                    raise KeyboardInterrupt
                if isinstance(part, Rest):
                    rest = part
                else:
                    with self._turn:
                        reading.add(torch.from_numpy(part.frames), torch.from_numpy(part.times))
        assert rest is not None, "the rest comes last"
        with self._turn:
            return reading.finish(rest.duration_s), rest
