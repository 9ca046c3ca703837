"""Work that takes longer than an answer may: each job in a process of its own, with progress, that can be stopped.

A job is a function of `service.work` and its arguments. It runs in a fresh process that shares nothing of the server,
says how far it is over a pipe, and ends with a result or one line of error. What kills the process,
be it the user, the machine or a hostile file, ends the job and nothing else. One index job runs at a time, and a few
of the others; the rest wait in line. Everything here may be called from any thread and returns at once.

What was asked for is kept until the job has ended, so that after a restart it is known what the end of the server
broke off; it goes on when somebody asks for it.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from prvr.core.errors import PrvrError
from prvr.core.processes import begin, fresh_processes
from prvr.service.unfinished import Asked, Kind, Unfinished, keep_jobs, kept_jobs
from prvr.service.work import JobCrash, JobFailure, JobStep, child

Status = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
Task = Callable[..., dict[str, Any]]  # (report, *arguments) -> the result
Result = Mapping[str, Any]

LANES: dict[Kind, str] = {"index": "index", "proxy": "media", "export": "media", "model": "model"}
ENDED = ("done", "failed", "cancelled", "interrupted")
PATIENCE_S = 5.0  # between asking a process to stop and killing it
LOOK_S = 1.0  # between two looks whether a process was given up
LONGEST_LINE = 100  # jobs that wait
HEARTBEAT_S = 15.0
LOADED = ["prvr.service.work", "prvr.search.keeping", "prvr.video.reel", "prvr.video.proxy"]  # before a job begins

log = logging.getLogger(__name__)


class JobUnknown(PrvrError):
    """There is no job of this id, or it ended long ago."""


class JobsFull(PrvrError):
    """Too many jobs wait."""


class JobRepeated(PrvrError):
    """An Idempotency-Key came again with another request."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as it was at one moment."""

    id: str
    kind: Kind
    subject: str  # what it is about; a second job about the same thing is the first one
    about: str = ""  # the same for people: the name of a folder, a file, a model
    asked: Asked | None = None  # by which it can be asked for again
    created_at: float  # unix seconds
    status: Status = "queued"
    progress: JobStep = field(default_factory=JobStep)
    started_at: float | None = None
    error: JobFailure | None = None
    result: Result | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing about it will change any more."""
        return self.status in ENDED

    @property
    def eta_s(self) -> float | None:
        """Seconds that the rest takes at the pace so far; None where that cannot be said yet."""
        step = self.progress
        if self.status != "running" or self.started_at is None or not step.total or step.done <= 0:
            return None
        return max(0.0, (time.time() - self.started_at) * (step.total - step.done) / step.done)


class Jobs:
    """All jobs of a server: those that wait, those that run and the last ones that ended."""

    def __init__(self, *, at_once: int = 2, kept: int = 200, place: Path | None = None) -> None:
        """`place` is the file that keeps what was asked for and has not ended; what it says now was interrupted."""
        self._kept, self._place = kept, place
        self._lock = threading.Lock()
        self._jobs = {one.id: _interrupted(one) for one in kept_jobs(place)}  # in order of their creation
        self._calls: dict[str, tuple[Task, tuple[Any, ...]]] = {}  # of those that wait
        self._processes: dict[str, BaseProcess] = {}
        self._stopped: set[str] = set()  # by the user, and not ended yet
        self._given_up: set[str] = set()  # of them those that were killed, and are there all the same
        self._reminders: dict[str, threading.Timer] = {}  # to kill what does not stop
        self._repeats: dict[str, tuple[str, str]] = {}  # Idempotency-Key -> what was asked, and the job
        self._watchers: dict[str, set[Callable[[], None]]] = {}
        self._closed = False
        self._lines = {lane: queue.SimpleQueue[str | None]() for lane in LANES.values()}
        self._threads = [
            threading.Thread(target=self._serve, args=(lane,), name=f"prvr-jobs-{lane}", daemon=True)
            for lane, number in (("index", 1), ("media", at_once), ("model", 1))
            for _ in range(number)
        ]
        for thread in self._threads:
            thread.start()

    def start(
        self,
        kind: Kind,
        task: Task,
        *arguments: Any,
        subject: str = "",
        about: str = "",
        asked: Asked | None = None,
        repeat: tuple[str, str] | None = None,
    ) -> Job:
        """Put a job in line; where one about the same `subject` waits or runs, that one.

        One with what was `asked` is known after a restart, too. `repeat` is an Idempotency-Key and what was asked with
        it: the same again is the same job. Raises JobRepeated when the key was used for something else, JobsFull when
        too many wait.
        """
        with self._lock:
            if known := self._repeated(repeat):
                return known
            same = [job for job in self._jobs.values() if subject and job.subject == subject and not job.ended]
            job = same[0] if same else self._enter(kind, subject, about, asked)
            if not same:
                self._keep()
                self._calls[job.id] = (task, arguments)
                self._lines[LANES[kind]].put(job.id)
            if repeat:
                self._repeats[repeat[0]] = (repeat[1], job.id)
            return job

    def finished(self, kind: Kind, result: Result, *, repeat: tuple[str, str] | None = None) -> Job:
        """A job that was so short that it is done already. Raises JobRepeated as `start`."""
        with self._lock:
            if known := self._repeated(repeat):
                return known
            job = replace(self._enter(kind, ""), status="done", progress=JobStep(done=1, total=1), result=result)
            self._jobs[job.id] = job
            if repeat:
                self._repeats[repeat[0]] = (repeat[1], job.id)
            return job

    def repeated(self, repeat: tuple[str, str] | None) -> Job | None:
        """The job that was started with the same key for the same. Raises JobRepeated as `start`."""
        with self._lock:
            return self._repeated(repeat)

    def get(self, job_id: str) -> Job:
        """A job as it is now. Raises JobUnknown."""
        try:
            return self._jobs[job_id]
        except KeyError:
            raise JobUnknown(f"{job_id}: no such job; it may have ended long ago, then start it again") from None

    def all(self) -> list[Job]:
        """Every job that is kept, newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def active(self, kind: Kind) -> Job | None:
        """The job of a kind that runs, else the next one in line."""
        found = [job for job in reversed(self.all()) if job.kind == kind and not job.ended]
        return next((job for job in found if job.status == "running"), found[0] if found else None)

    def interrupted(self, kind: Kind) -> Job | None:
        """The last job of a kind that the end of a server broke off, if nobody asked for it again."""
        return next((job for job in self.all() if job.kind == kind and job.status == "interrupted"), None)

    def cancel(self, job_id: str) -> Job:
        """Stop a job, wherever it is; what it has finished stays. Raises JobUnknown.

        One that does not let itself be stopped is killed after a while, and given up where that does not help either.
        """
        with self._lock:
            job = self.get(job_id)
            if job.status in ("queued", "interrupted"):
                self._calls.pop(job_id, None)
                return self._put(job, status="cancelled")
            if job.status == "running":
                self._stopped.add(job_id)
                self._stop(job_id)
            return job

    async def follow(
        self, job_id: str, *, stopping: asyncio.Event | None = None, heartbeat_s: float = HEARTBEAT_S
    ) -> AsyncIterator[Job | None]:
        """The job now and after every change, to its end or until the server is `stopping`; None now and then.

        Raises JobUnknown.
        """
        loop, changed, stopping = asyncio.get_running_loop(), asyncio.Event(), stopping or asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop is gone, and with it whoever listened
                loop.call_soon_threadsafe(changed.set)

        with self._lock:
            job = self.get(job_id)
            self._watchers.setdefault(job_id, set()).add(wake)
        stops = asyncio.ensure_future(stopping.wait())
        stops.add_done_callback(lambda _: changed.set())
        try:
            yield job
            while not (job.ended or stopping.is_set()):
                try:
                    await asyncio.wait_for(changed.wait(), heartbeat_s)
                except TimeoutError:
                    yield None
                    continue
                changed.clear()
                if not stopping.is_set():
                    job = self._jobs.get(job_id, job)
                    yield job
        finally:
            stops.cancel()
            with self._lock:
                self._watchers.get(job_id, set()).discard(wake)

    def close(self, *, patience_s: float = 2 * PATIENCE_S) -> None:
        """Stop everything and wait until it has stopped; jobs that run or wait are `cancelled`. May be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for job in self.all():
            if not job.ended:
                self.cancel(job.id)
        for lane, line in self._lines.items():
            for _ in range(sum(thread.name.endswith(lane) for thread in self._threads)):
                line.put(None)
        end = time.monotonic() + patience_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _repeated(self, repeat: tuple[str, str] | None) -> Job | None:
        if repeat is None:
            return None
        key, asked = repeat
        before, job_id = self._repeats.get(key, ("", ""))
        if job_id not in self._jobs:
            return None
        if before != asked:
            raise JobRepeated(f"Idempotency-Key {key[:60]!r} was used for another request; send a new key")
        return self._jobs[job_id]

    def _enter(self, kind: Kind, subject: str, about: str = "", asked: Asked | None = None) -> Job:
        """A new job among the others; the oldest that ended make room."""
        if self._closed:
            raise JobsFull("the server is stopping; start it again, then ask again")
        if sum(job.status == "queued" for job in self._jobs.values()) >= LONGEST_LINE:
            raise JobsFull(f"{LONGEST_LINE} jobs wait already; wait for some of them, or cancel them")
        ended = [job.id for job in self._jobs.values() if job.ended]
        for old in ended[: max(0, len(self._jobs) + 1 - self._kept)]:
            del self._jobs[old]
            self._repeats = {key: value for key, value in self._repeats.items() if value[1] != old}
        job = Job(id=uuid4().hex, kind=kind, subject=subject, about=about, asked=asked, created_at=time.time())
        self._jobs[job.id] = job
        return job

    def _put(self, job: Job, **changes: Any) -> Job:
        """The job, changed; called with the lock held."""
        job = replace(job, **changes)
        self._jobs[job.id] = job
        for wake in self._watchers.get(job.id, ()):
            wake()
        if job.ended:
            self._watchers.pop(job.id, None)
            if job.asked is not None:
                self._keep()
        return job

    def _keep(self) -> None:
        """Write down what has not ended; what ends because the server does stays written."""
        if self._place is not None and not self._closed:
            left = [job for job in self._jobs.values() if job.status == "interrupted" or not job.ended]
            keep_jobs(self._place, [Unfinished(j.id, j.kind, j.about, j.created_at, j.asked) for j in left if j.asked])

    def _change(self, job_id: str, **changes: Any) -> None:
        with self._lock:
            self._put(self._jobs[job_id], **changes)

    def _serve(self, lane: str) -> None:
        while (job_id := self._lines[lane].get()) is not None:
            with self._lock:
                call = self._calls.pop(job_id, None)
                if call:
                    self._put(self._jobs[job_id], status="running", started_at=time.time())
            if call:
                self._run(job_id, *call)

    def _run(self, job_id: str, task: Task, arguments: tuple[Any, ...]) -> None:
        """One job from its process's first moment to its last."""
        fresh = fresh_processes(LOADED)
        here, there = fresh.Pipe(duplex=False)
        process = fresh.Process(target=child, args=(there, task, arguments), daemon=True, name=f"prvr-{job_id}")
        outcome: dict[str, Any] = {}
        try:
            begin(process)
            there.close()
            with self._lock:
                self._processes[job_id] = process
                if job_id in self._stopped:  # before there was a process to stop
                    self._stop(job_id)
            for message in _messages(here, process, lambda: job_id in self._given_up):
                if isinstance(message, JobStep):
                    self._change(job_id, progress=message)
                elif isinstance(message, JobCrash):
                    log.error("a job failed by a fault of prvr:\n%s", message.traceback)
                else:
                    outcome = {"error": message} if isinstance(message, JobFailure) else {"result": message}
            process.join(0 if job_id in self._given_up else None)
        except (OSError, RuntimeError, EOFError) as error:
            why = getattr(error, "strerror", None) or str(error).strip().partition("\n")[0]
            outcome = {"error": JobFailure(f"the job could not be started ({why}); free some memory, then retry")}
        except Exception:  # whose lane has other jobs to run
            log.exception("a job could not be run, by a fault of prvr")
            outcome = {"error": JobFailure("the job could not be run; the server's log says why: report it")}
        finally:
            here.close()
        with self._lock:
            self._processes.pop(job_id, None)
            if reminder := self._reminders.pop(job_id, None):
                reminder.cancel()
            stopped = job_id in self._stopped
            self._stopped.discard(job_id)
            self._given_up.discard(job_id)
            self._put(self._jobs[job_id], **_ending(outcome, process, stopped=stopped))

    def _stop(self, job_id: str) -> None:
        """Ask a process to stop, if it has started, and see to it that it does."""
        process = self._processes.get(job_id)
        if process is None or job_id in self._reminders:
            return
        process.terminate()
        self._remind(job_id, process.kill, lambda: self._remind(job_id, lambda: self._given_up.add(job_id)))

    def _remind(self, job_id: str, *then: Callable[[], object]) -> None:
        """In a while, unless the process of a job is gone by then."""

        def late() -> None:
            for one in then:
                one()

        reminder = self._reminders[job_id] = threading.Timer(PATIENCE_S, late)
        reminder.daemon = True
        reminder.start()


def _messages(here: Connection, process: BaseProcess, given_up: Callable[[], bool]) -> Iterator[Any]:
    """What a process says until it is gone, or given up: one that hangs in the machine itself outlives being killed."""
    with suppress(EOFError, OSError):
        while not given_up():
            if not wait([here, process.sentinel], timeout=LOOK_S):
                continue
            if not here.poll():
                return
            yield here.recv()


def _interrupted(one: Unfinished) -> Job:
    """A job that the end of a server broke off."""
    return Job(subject="", status="interrupted", **one._asdict())


def _ending(outcome: Mapping[str, Any], process: BaseProcess, *, stopped: bool) -> dict[str, Any]:
    """How a job ended, by what its process said and how it went."""
    if "result" in outcome:
        return {"status": "done", "result": outcome["result"]}
    if stopped:
        return {"status": "cancelled"}
    if "error" in outcome:
        return {"status": "failed", "error": outcome["error"]}
    code = process.exitcode
    how = f"killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
    log.error("a job's process was %s", how)
    return {
        "status": "failed",
        "error": JobFailure(
            f"the worker process was {how}, perhaps for lack of memory; start it again: what was finished stays",
            code="worker_killed",
        ),
    }
