"""Files read by the workers of a cluster: who decides, counts and keeps what failed stays here, as for threads.

A worker has one file at a time, or one for each decoder that feeds it. One that is lost with its node gives its file
back; one that dies with a file in hand makes that file unsure, and it is read once more when all others are done, as
extraction does with readers that die.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from prvr.cluster.nodes import check_nodes, everywhere, fits, node_name
from prvr.cluster.opening import in_time, last_line, open_cluster
from prvr.cluster.worker import WAITING, Decoder, Said, Worker, WorkerSettings, see
from prvr.core.errors import ClusterError, ConfigError, FeatureError
from prvr.core.types import Encoder
from prvr.features.hands import FileToRead, ReadFile, Refused, Work
from prvr.features.store import FeatureStore
from prvr.features.suspects import Suspects
from prvr.video.frames import BATCH_BYTES
from prvr.video.source import shown

START_S = 120.0  # until a cluster that has no worker for us is given up
GATHER_S = 30.0  # that the first worker waits for the others to say what they have
MOST_DECODERS = 16  # of a worker, unless they are asked for
NODE_DIED = "node has died"  # in what Ray says of what was lost with its node
MOST_STARTS = 3  # workers that die in a row before one of them is ready
DECODER = {"CPU": 1.0}  # what it takes of its node


class PathMap:
    """Where folders of this machine are on the workers."""

    def __init__(self, pairs: Sequence[str] = ()) -> None:
        """Each `/mnt/a=/data/a`, here first. Raises ConfigError for what is not that."""
        self._pairs = []
        for pair in pairs:
            here, equals, there = pair.partition("=")
            if not (equals and Path(here).is_absolute() and Path(there).is_absolute()):
                raise ConfigError(f"--map {pair}: expected HERE=THERE, two whole paths such as /mnt/a=/data/a")
            self._pairs.append((Path(here), Path(there)))

    def there(self, path: Path) -> Path:
        """The path that workers know; the first pair that fits decides."""
        whole = path.absolute()
        for here, there in self._pairs:
            if whole.is_relative_to(here):
                return there / whole.relative_to(here)
        return whole


@dataclass(frozen=True, kw_only=True)
class RayWorkers:
    """Workers of a cluster as a place where files are read."""

    on: str  # `ray`, or ray://HOST:PORT
    load: Callable[[], Encoder]  # makes the encoder on a worker
    workers: int | None = None  # None: as many as there is room for
    cpus: int = 1  # a worker
    gpus: float = 0.0  # a worker
    decoders: int | None = None  # of each, a core each; 0: it decodes itself; None: with a GPU those there is room for
    fetch: bool = False  # features are sent back, instead of written where they belong
    mapped: PathMap = field(default_factory=PathMap)

    @property
    def needs(self) -> dict[str, float]:
        """What a worker takes of its node."""
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {})}

    @property
    def least(self) -> dict[str, float]:
        """What a node has that may read files."""
        return DECODER if self.fed else self.needs

    @property
    def fed(self) -> bool:
        """Whether workers are fed by decoders."""
        return bool(self.gpus) if self.decoders is None else self.decoders > 0

    @contextmanager
    def begin(self, _encoder: Encoder, store: FeatureStore, _suspects: Suspects, /) -> Iterator[Work]:
        """As `Workplace`. Raises ClusterError where there is no cluster, or none whose nodes can do this.

        Workers load the encoder themselves. No marks are kept of what is being read: this process sees who dies.
        """
        with open_cluster(self.on, cpus=self._cores(), store_bytes=self._waiting_bytes()) as ray:
            check_nodes(ray, needs=self.needs)  # that there is one
            check_nodes(ray, needs=self.least)
            work = _Spread(ray, self, store)
            try:
                yield work
            finally:
                work.end()

    def _cores(self) -> int | None:
        """Those that a cluster of this machine's own is given; None: all."""
        if self.workers is None or (self.fed and self.decoders is None):
            return None
        return self.workers * (self.cpus + (self.decoders or 0))

    def _waiting_bytes(self) -> int:
        """What travels of frames in a cluster of this machine's own: what waits, and what is being taken, of each."""
        decoders = min(os.cpu_count() or 1, (self.workers or 1) * (self.decoders or MOST_DECODERS)) if self.fed else 0
        return decoders * (WAITING + 1) * BATCH_BYTES


class _Hand:
    """A worker, the decoder that feeds it, and what they have in hand. A worker with several decoders is as many."""

    def __init__(self, actor: Any, decoder: Any) -> None:
        self.actor, self.decoder = actor, decoder
        self.node = ""  # known once it is ready
        self.job: tuple[FileToRead, bool] | None = None  # and whether alone


class _Spread:
    """Files being read by workers."""

    def __init__(self, ray: Any, place: RayWorkers, store: FeatureStore) -> None:
        self._ray, self._place, self._store = ray, place, store
        settings = WorkerSettings(
            load=place.load,
            header=store.header,
            store=None if place.fetch else place.mapped.there(store.folder),
            threads=place.cpus,
        )
        workers = place.workers or self._room_for(place.needs)
        self._decoders = self._decoders_each(workers)
        many = max(1, self._decoders)
        worker = ray.remote(Worker).options(
            num_cpus=place.cpus, num_gpus=place.gpus, max_restarts=0, max_task_retries=0, max_concurrency=many
        )
        decoder = ray.remote(Decoder).options(num_cpus=1, max_restarts=0, max_task_retries=0)
        self._hire: Callable[[], Any] = lambda: worker.remote(settings)
        self._hire_decoder: Callable[[], Any] = lambda: decoder.remote() if self._decoders else None
        self._queue: deque[tuple[FileToRead, bool]] = deque()
        self._awaited: dict[Any, _Hand] = {}  # what each is to answer
        self._idle: list[_Hand] = []
        self._seen: set[Path] = set()  # folders that all nodes were asked about
        self._room = workers * many  # files at a time
        self._began = time.monotonic()  # since when there is no worker
        self._gathering: float | None = None  # until when the first wait for the others
        self._died_starting = 0

    def submit(self, job: FileToRead, *, alone: bool = False) -> None:
        self._queue.append((job, alone))

    def finished(self) -> Iterator[tuple[FileToRead, ReadFile]]:
        self._look()
        self._give()
        done, _ = self._ray.wait(list(self._awaited), timeout=0.5) if self._awaited else ([], [])
        for answer in done:
            yield from self._taken(self._awaited.pop(answer), answer)
        self._check_alive()

    def end(self) -> None:
        """Whatever they do, they do it no more."""
        self._dismiss(self._everybody())

    def _dismiss(self, hands: Sequence[_Hand]) -> None:
        actors = {id(actor): actor for hand in hands for actor in (hand.actor, hand.decoder) if actor is not None}

        def kill() -> None:
            for actor in actors.values():
                with suppress(Exception):  # it is gone already
                    self._ray.kill(actor)

        in_time(kill)

    def _room_for(self, needs: Mapping[str, float]) -> int:
        """How often the nodes have room for this."""
        nodes = [node["Resources"] for node in self._ray.nodes() if fits(node, needs)]
        return max(1, sum(int(min(has[name] // count for name, count in needs.items())) for has in nodes))

    def _decoders_each(self, workers: int) -> int:
        """Decoders of a worker: those that were asked for, else as many as the cores that workers leave allow."""
        if not self._place.fed or self._place.decoders is not None:
            return self._place.decoders or 0
        left = self._room_for(DECODER) - workers * self._place.cpus
        return max(1, min(MOST_DECODERS, left // workers))

    def _look(self) -> None:
        """Ask every node whether it sees the folders that are new in what waits, and the store. Raises ClusterError."""
        new = {job.root for job, _ in self._queue} - self._seen
        if not new:
            return
        self._seen |= new
        mapped = self._place.mapped
        token = None if self._place.fetch else self._store.folder / "videos" / f".seen.{uuid4().hex}.tmp"
        try:
            if token:
                token.touch()
            places = sorted(map(mapped.there, new))
            blind = everywhere(self._ray, see, places, token and mapped.there(token), needs=self._place.least)
        except OSError as error:
            raise FeatureError(
                f"{self._store.folder}: cannot be written ({error.strerror}); free some space, then try again"
            ) from error
        finally:
            if token:
                token.unlink(missing_ok=True)
        if lines := [line for line in blind.values() if line]:
            step = "mount it there, or say where it is with --map HERE=THERE"
            step += "" if self._place.fetch else "; --fetch sends features back where no folder is shared"
            raise ClusterError(f"{'; '.join(lines)}; {step}")

    def _give(self) -> None:
        """A file to each that waits; more workers where files wait and there is room."""
        while self._queue and self._idle and not self._gathers():
            hand = self._idle.pop()
            hand.job = job, alone = self._queue.popleft()
            there = job._replace(path=self._place.mapped.there(job.path), root=self._place.mapped.there(job.root))
            self._awaited[hand.actor.read.remote(there, hand.decoder, alone=alone)] = hand
        wanted = min(self._room, len(self._queue) + sum(hand.job is not None for hand in self._awaited.values()))
        while len(self._idle) + len(self._awaited) < wanted:
            worker = self._hire()
            for _ in range(max(1, self._decoders)):
                self._await_ready(_Hand(worker, self._hire_decoder()))

    def _await_ready(self, hand: _Hand) -> None:
        self._awaited[hand.actor.ready.remote(hand.decoder)] = hand

    def _gathers(self) -> bool:
        """Whether the first workers are still to say what they have: what differs is told before any of them works."""
        if self._gathering is None:
            return False
        if all(hand.job for hand in self._awaited.values()) or time.monotonic() > self._gathering:
            self._gathering = None
        return self._gathering is not None

    def _taken(self, hand: _Hand, answer: Any) -> Iterator[tuple[FileToRead, ReadFile]]:
        """An answer, or the death of who was to give it. Raises what is so for every file."""
        in_hand, hand.job = hand.job, None
        try:
            said: Said = self._ray.get(answer)
        except self._ray.exceptions.RayTaskError as error:
            raise ClusterError(
                f"{hand.node or 'a worker'}: {last_line(error)}; the logs of that node say more"
            ) from error
        except self._ray.exceptions.RayError as error:
            yield from self._lost(hand, in_hand, error)
            return
        if said.error:
            raise said.error
        if not any(one.node for one in (hand, *self._everybody())):
            self._gathering = time.monotonic() + GATHER_S
        hand.node, self._died_starting = said.node, 0
        if said.lost:
            hand.decoder = self._hire_decoder()
            self._await_ready(hand)
        else:
            self._idle.append(hand)
        if in_hand and NODE_DIED in said.lost:
            self._queue.appendleft(in_hand)
        elif in_hand and said.done:
            yield in_hand[0], self._kept(in_hand[0], said.done, said.content)

    def _kept(self, job: FileToRead, done: ReadFile, content: bytes | None) -> ReadFile:
        """What was sent back is put in place; lines name the file as it was named here."""
        if done.entry and content is not None:
            self._store.put(done.entry, content)
        if self._place.fetch and not done.entry and done.refused and done.refused.stage == "cut":
            self._store.remove(job.video_id)
        theirs, ours = shown(self._place.mapped.there(job.path)), shown(job.path)
        refused = done.refused and done.refused._replace(line=done.refused.line.replace(theirs, ours))
        return done._replace(refused=refused, notes=tuple(note.replace(theirs, ours) for note in done.notes))

    def _lost(
        self, hand: _Hand, in_hand: tuple[FileToRead, bool] | None, error: Exception
    ) -> Iterator[tuple[FileToRead, ReadFile]]:
        """A worker died: with its node, which is nobody's fault, while it started, or with a file in hand."""
        self._dismiss([hand, *(one for one in self._idle if one.actor is hand.actor)])
        self._idle = [one for one in self._idle if one.actor is not hand.actor]
        if NODE_DIED in str(error) or self._gone(hand):
            if in_hand:
                self._queue.appendleft(in_hand)
        elif in_hand is None:
            self._died_starting += 1
            if self._died_starting >= MOST_STARTS:
                raise ClusterError(
                    f"{MOST_STARTS} workers died while they loaded the encoder ({last_line(error)}); give each more "
                    "memory with a smaller --workers, then run the same command again: what is finished stays"
                ) from error
        else:
            yield _unsure(*in_hand, error)

    def _gone(self, hand: _Hand) -> bool:
        """Whether the node of a worker is not there any more."""
        return bool(hand.node) and hand.node not in {node_name(node) for node in self._ray.nodes() if node["Alive"]}

    def _everybody(self) -> list[_Hand]:
        return [*self._idle, *self._awaited.values()]

    def _check_alive(self) -> None:
        """Raises ClusterError where no worker is there for too long: nodes are gone, or others have them."""
        if any(hand.node for hand in self._everybody()) or not self._queue:
            self._began = time.monotonic()
        elif time.monotonic() - self._began > START_S:
            needs = " and ".join(f"{count:g} {name}" for name, count in self._place.needs.items())
            raise ClusterError(
                f"--on {self._place.on}: no worker could be started in {START_S:g} s, each needs {needs}; look at the "
                "cluster with `ray status`, then run the same command again: what is finished stays"
            )


def _unsure(job: FileToRead, alone: bool, error: Exception) -> tuple[FileToRead, ReadFile]:
    """What is said of a file whose worker died; of one that was alone in the cluster, that it was at fault."""
    line = (
        f"{shown(job.path)}: ended the worker that read it ({last_line(error)}), and is left alone until it changes or "
        "is tried again by name; check that it plays, or give workers more memory with a smaller --workers"
    )
    return job, ReadFile(None, Refused("killed", line), unsure=not alone)
