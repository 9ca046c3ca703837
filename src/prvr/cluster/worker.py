"""What runs on a node: the very hands that read files on one machine, with an encoder of their own.

A worker decodes its file itself, or is fed by decoders, each with a file of its own, so that an encoder on a GPU does
not wait for a core. Nothing here knows who asks. What goes wrong is an answer too, as what is thrown in a worker comes
back in Ray's words.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from prvr.cluster.nodes import this_node
from prvr.cluster.opening import last_line
from prvr.core.errors import ClusterError, PrvrError
from prvr.core.files import there
from prvr.core.types import Encoder
from prvr.features.decoding import DecodedFrames, Parts, ReaderDecoding
from prvr.features.failures import Stage
from prvr.features.hands import FileToRead, Hands, ReadFile, Refused
from prvr.features.reading import Rest
from prvr.features.store import Entry, FeatureStore, StoreHeader
from prvr.video.apart import ReaderEnded
from prvr.video.source import shown

WAITING = 2  # batches of a file that are decoded before they are asked for


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """What a worker is told once."""

    load: Callable[[], Encoder]
    header: StoreHeader  # of what it makes
    store: Path | None  # where it is written; None: it is sent back
    threads: int  # that its arithmetic takes


class Said(NamedTuple):
    """What a worker says of a file, or of itself."""

    node: str
    done: ReadFile | None = None
    content: bytes | None = None  # the file of the store, where it is sent back
    error: PrvrError | None = None  # so for every file
    lost: str = ""  # how the decoder of the file ended


class Parcels(FeatureStore):
    """A store without a folder: what is written is kept until it is sent."""

    sent: bytes | None = None

    def put(self, _entry: Entry, content: bytes, /) -> None:
        """Keep it."""
        self.sent = content

    def remove(self, video_id: str) -> None:
        """There is none: who gets the answer does it."""


class Worker:
    """One process with an encoder. It reads one file at a time, or one for each decoder that feeds it."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._encoder: Encoder | None = None

    def ready(self, decoder: Any = None) -> Said:
        """Load the encoder, and say whether it is the one that is wanted; then wait for the decoder to be there."""
        node = this_node()
        try:
            with self._lock:
                self._encoder = self._encoder or self._load(node)
        except PrvrError as error:
            return Said(node, error=error)
        if decoder is not None:
            import ray

            ray.get(decoder.ready.remote())
        return Said(node)

    def read(self, job: FileToRead, decoder: Any = None, *, alone: bool) -> Said:
        """One file, of which the path is the one that the nodes know."""
        node, settings = this_node(), self._settings
        store = (
            Parcels(Path(), settings.header)
            if settings.store is None
            else FeatureStore(settings.store, settings.header)
        )
        fed = Fed(decoder) if decoder is not None else None
        assert self._encoder is not None, "it was ready before"
        try:
            if (line := fed.not_there(job) if fed else not_there(job, node)) is not None:
                return Said(node, ReadFile(None, line))
            hands = Hands(self._encoder, store, decoding=fed, turn=self._lock if fed else None)
            done = hands.read(job, alone=alone)
        except ReaderEnded as error:  # before it had anything of the file
            done = ReadFile(None, Refused("killed", str(error)), unsure=not alone)
        except PrvrError as error:
            return Said(node, error=error)
        return Said(node, done, store.sent if isinstance(store, Parcels) else None, lost=fed.lost if fed else "")

    def _load(self, node: str) -> Encoder:
        """Raises ClusterError where it cannot be opened, or is another one."""
        torch.set_num_threads(self._settings.threads)
        try:
            encoder = self._settings.load()
        except PrvrError as error:
            raise ClusterError(f"{node}: {error}; workers open it there, nothing is sent to them") from error
        wanted = self._settings.header.encoder
        if not encoder.spec.same_as(wanted):
            raise ClusterError(
                f"{node}: has encoder {encoder.spec.fingerprint} (here {wanted.fingerprint}); bring the same there"
            )
        return encoder


class Decoder:
    """One process that decodes one file at a time, a batch whenever it is asked for one."""

    def __init__(self) -> None:
        self._decoding = ReaderDecoding()
        self._parts: Parts | None = None

    def ready(self) -> None:
        """It is there."""

    def begin(self, path: Path, rate: float, max_frames: int | None, *, alone: bool) -> None:
        """The file that is asked for from now on; what is left of the one before is left alone."""
        if self._parts is not None:
            self._parts.close()
        self._parts = self._decoding.parts(path, rate, max_frames, alone=alone)

    def more(self) -> DecodedFrames | Rest | PrvrError | None:
        """The next part of it, what is wrong with it, or that there is no more."""
        assert self._parts is not None, "a file was begun"
        try:
            return next(self._parts, None)
        except PrvrError as error:
            return error

    def not_there(self, job: FileToRead) -> Refused | None:
        """Why it does not see a file."""
        return not_there(job, this_node())


class Fed:
    """Decoding by a decoder somewhere in the cluster, which is at most two batches ahead."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self.lost = ""  # how it ended, where it did

    def parts(self, path: Path, rate: float, max_frames: int | None, *, alone: bool) -> Parts:
        """As `Decoding`."""
        self._decoder.begin.remote(path, rate, max_frames, alone=alone)
        asked = deque(self._decoder.more.remote() for _ in range(WAITING))
        while (part := self._of(asked.popleft(), path)) is not None:
            if isinstance(part, PrvrError):
                raise part
            if isinstance(part, Rest):
                yield part
                return
            asked.append(self._decoder.more.remote())
            # what Ray hands over cannot be changed, of which torch warns
            yield DecodedFrames(*(np.require(array, requirements="W") for array in part))

    def stop(self) -> None:
        """As `Decoding`; nobody asks for this here, where a worker ends with all that it does."""

    def not_there(self, job: FileToRead) -> Refused | None:
        """Why the decoder does not see a file. Raises ReaderEnded."""
        refused: Refused | None = self._of(self._decoder.not_there.remote(job), job.path)
        return refused

    def _of(self, answer: Any, path: Path) -> Any:
        """What it answered. Raises ReaderEnded where it is not there any more."""
        import ray

        try:
            return ray.get(answer)
        except ray.exceptions.RayError as error:
            self.lost = last_line(error)
            raise ReaderEnded(f"{shown(path)}: ended the process that read it ({self.lost})", certain=False) from error


def not_there(job: FileToRead, node: str) -> Refused | None:
    """Why this node does not see the file that was found; a copy may have another time of change, but no other size."""
    stage: Stage = "find"
    try:
        size = job.path.stat().st_size
    except OSError as error:
        return Refused(
            stage, f"{shown(job.path)}: cannot be looked at on {node} ({error.strerror}); check that share there"
        )
    if size != job.size:
        return Refused(
            stage, f"{shown(job.path)}: has {size} bytes on {node}, not {job.size}; bring the same file there"
        )
    return None


def see(places: Sequence[Path], token: Path | None) -> str:
    """What a node does not see of the folders that are read, or of the store, which has a file of a new name in it."""
    for place in places:
        if not there(place):
            return f"{this_node()}: sees no {shown(place)}"
    if token and not there(token):
        return f"{this_node()}: does not see the folder {shown(token.parent.parent)} as it is here"
    return ""
