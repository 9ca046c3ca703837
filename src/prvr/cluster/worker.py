"""What runs on a node: the very hands that read files on one machine, one file at a time, with an encoder of their own.

Nothing here knows who asks. What goes wrong is an answer too, as what is thrown in a worker comes back in Ray's words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from prvr.cluster.nodes import this_node
from prvr.core.errors import ClusterError, PrvrError
from prvr.core.files import there
from prvr.core.types import Encoder
from prvr.features.failures import Stage
from prvr.features.hands import FileToRead, Hands, ReadFile, Refused
from prvr.features.store import Entry, FeatureStore, StoreHeader
from prvr.video.source import shown


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


class Parcels(FeatureStore):
    """A store without a folder: what is written is kept until it is sent."""

    sent: bytes | None = None

    def put(self, _entry: Entry, content: bytes, /) -> None:
        """Keep it."""
        self.sent = content

    def remove(self, video_id: str) -> None:
        """There is none: who gets the answer does it."""


class Worker:
    """One process that reads one file at a time."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings

    def ready(self) -> Said:
        """Load the encoder, and say whether it is the one that is wanted."""
        settings, node = self._settings, this_node()
        torch.set_num_threads(settings.threads)
        try:
            encoder = settings.load()
        except PrvrError as error:
            return Said(node, error=ClusterError(f"{node}: {error}; workers open it there, nothing is sent to them"))
        wanted = settings.header.encoder
        if not encoder.spec.same_as(wanted):
            other = ClusterError(
                f"{node}: has encoder {encoder.spec.fingerprint} (here {wanted.fingerprint}); bring the same there"
            )
            return Said(node, error=other)
        self._store = (
            Parcels(Path(), settings.header)
            if settings.store is None
            else FeatureStore(settings.store, settings.header)
        )
        self._hands = Hands(encoder, self._store)
        return Said(node)

    def read(self, job: FileToRead, *, alone: bool) -> Said:
        """One file, of which the path is the one that this node knows."""
        node = this_node()
        try:
            if (line := _not_there(job, node)) is not None:
                return Said(node, ReadFile(None, line))
            done = self._hands.read(job, alone=alone)
        except PrvrError as error:
            return Said(node, error=error)
        if not isinstance(self._store, Parcels):
            return Said(node, done)
        content, self._store.sent = self._store.sent, None
        return Said(node, done, content)


def _not_there(job: FileToRead, node: str) -> Refused | None:
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
