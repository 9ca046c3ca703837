"""Jobs in real processes: they end, fail, are killed and stopped, and nobody else notices."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from prvr.service import jobs as module
from prvr.service.jobs import Job, JobRepeated, Jobs, JobsFull, JobUnknown
from tests.serve.conftest import until
from tests.service import tasks


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs(at_once=1)
    yield made
    made.close()


def ended(jobs: Jobs, job: Job) -> Job:
    until(lambda: jobs.get(job.id).ended)
    return jobs.get(job.id)


def pid_of(jobs: Jobs, job: Job) -> int:
    until(lambda: jobs.get(job.id).progress.current)
    return int(jobs.get(job.id).progress.current)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:  # one that was not waited for is dead all the same
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return Path(f"/proc/{pid}").exists()


def test_a_job_runs_in_a_process_of_its_own(jobs: Jobs) -> None:
    job = jobs.start("proxy", tasks.count, 3, 0.0)
    assert job.status in ("queued", "running")  # it does not wait for the process
    done = ended(jobs, job)
    assert done.status == "done"
    assert done.result is not None
    assert done.result["counted"] == 3
    assert done.result["pid"] != os.getpid()
    assert done.result["niceness"] >= min(19, os.nice(0) + 5)
    assert (done.progress.done, done.progress.total, done.progress.current) == (3, 3, "step 3")
    assert done.eta_s is None
    assert not alive(done.result["pid"])
    assert done.progress.unit == "steps"


def test_progress_and_what_is_left(jobs: Jobs) -> None:
    began = time.time()
    job = jobs.start("proxy", tasks.count, 400, 0.25)
    until(lambda: jobs.get(job.id).progress.done >= 2)
    now = jobs.get(job.id)
    assert now.status == "running"
    done, left_s = now.progress.done, now.eta_s
    assert left_s is not None
    assert 0.25 * (400 - done) < left_s < (time.time() - began) * (400 - done) / done  # the process's start counts too
    jobs.cancel(job.id)
    assert ended(jobs, job).status == "cancelled"


def test_how_they_fail(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    made = [
        jobs.start("proxy", task) for task in (tasks.refuse, tasks.crash, tasks.fall_dead, tasks.return_the_unsendable)
    ]
    refused, crashed, killed, unsendable = (ended(jobs, job) for job in made)
    assert {job.status for job in (refused, crashed, killed, unsendable)} == {"failed"}
    assert refused.error is not None
    assert refused.error.message == "a.mp4: is not a video; leave it out"
    assert crashed.error is not None
    assert (crashed.error.type, crashed.error.code) == ("internal", "worker_killed")
    assert "ended with code 1" in crashed.error.message
    assert killed.error is not None
    assert "killed by signal 9" in killed.error.message
    assert "start it again: what was finished stays" in killed.error.message
    assert unsendable.error is not None
    assert "ZeroDivisionError" in caplog.text  # what was our mistake is in the log
    assert ended(jobs, jobs.start("proxy", tasks.count, 1, 0.0)).status == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="jobs are forked on Linux only")
def test_what_forks_the_workers_is_killed_while_a_job_begins(jobs: Jobs) -> None:
    assert ended(jobs, jobs.start("proxy", tasks.count, 1, 0.0)).status == "done"
    forking = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    os.kill(forking, signal.SIGSTOP)
    job = jobs.start("proxy", tasks.count, 1, 0.0)
    until(lambda: jobs.get(job.id).status == "running")
    time.sleep(0.2)  # by now it waits for an answer, or else asks a process that is gone: both must end well
    os.kill(forking, signal.SIGKILL)
    assert ended(jobs, job).status == "done"
    assert ended(jobs, jobs.start("proxy", tasks.count, 1, 0.0)).status == "done"


def test_a_fault_at_the_start_of_a_job_is_that_jobs(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lane goes on: a thread that dies would leave every later job waiting for ever."""

    def fails(_: BaseProcess) -> None:
        raise ValueError("of a kind that nobody foresaw")

    with monkeypatch.context() as patch:
        patch.setattr(module, "begin", fails)
        failed = ended(jobs, jobs.start("proxy", tasks.count, 1, 0.0))
        assert failed.status == "failed"
        assert failed.error
        assert "could not be run; the server's log says why" in failed.error.message
    assert ended(jobs, jobs.start("proxy", tasks.count, 1, 0.0)).status == "done"


def test_a_worker_is_killed_from_outside(jobs: Jobs, tmp_path: Path) -> None:
    job = jobs.start("proxy", tasks.wait_for, tmp_path / "never")
    os.kill(pid_of(jobs, job), signal.SIGKILL)
    error = ended(jobs, job).error
    assert error is not None
    assert error.code == "worker_killed"


def test_stopping_one_that_runs_one_that_waits_and_one_that_ended(jobs: Jobs, tmp_path: Path) -> None:
    first = jobs.start("proxy", tasks.tidy_up, tmp_path / "half")
    second = jobs.start("export", tasks.count, 1, 0.0)
    pid = pid_of(jobs, first)
    assert jobs.get(second.id).status == "queued"
    assert jobs.cancel(second.id).status == "cancelled"
    assert (tmp_path / "half").exists()
    jobs.cancel(first.id)
    assert ended(jobs, first).status == "cancelled"
    assert not alive(pid)
    assert not (tmp_path / "half").exists()
    assert jobs.cancel(first.id).status == "cancelled"
    assert jobs.get(second.id).result is None


def test_one_that_does_not_let_itself_be_stopped(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.2)
    job = jobs.start("proxy", tasks.stubborn)
    pid = pid_of(jobs, job)
    jobs.cancel(job.id)
    assert ended(jobs, job).status == "cancelled"
    assert not alive(pid)


def test_one_that_cannot_even_be_killed_is_given_up(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process that waits for a drive which never answers: the line goes on without it."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.2)
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    with monkeypatch.context() as patched:
        patched.setattr(BaseProcess, "kill", lambda _: None)
        job = jobs.start("proxy", tasks.stubborn)
        pid = pid_of(jobs, job)
        jobs.cancel(job.id)
        assert ended(jobs, job).status == "cancelled"
        assert alive(pid)
    assert ended(jobs, jobs.start("proxy", tasks.count, 1, 0.0)).status == "done"
    os.kill(pid, signal.SIGKILL)


def test_what_was_asked_for_is_kept_until_it_has_ended(tmp_path: Path) -> None:
    place, asked = tmp_path / "mine" / "jobs.json", {"route": "x"}
    jobs = Jobs(place=place)
    done = jobs.start("proxy", tasks.count, 1, 0.0, asked=asked)
    jobs.start("proxy", tasks.wait_for, tmp_path / "never")  # nobody's: a watched folder's
    stays = jobs.start("export", tasks.wait_for, tmp_path / "never", about="a film", asked=asked)
    gone = jobs.start("export", tasks.wait_for, tmp_path / "never", asked=asked)
    jobs.cancel(gone.id)
    ended(jobs, done), ended(jobs, gone), jobs.all()  # which waits until that is written
    killed = Jobs(place=place)  # the server was killed: nothing was said at its end
    jobs.close()
    for after in (killed, Jobs(place=place)):
        (left,) = after.all()
        assert (left.id, left.about, left.asked, left.status) == (stays.id, "a film", asked, "interrupted")
        assert after.interrupted("export") == left
        assert after.active("export") is None
        after.close()


def test_only_so_many_at_a_time_and_one_index_beside_them(jobs: Jobs, tmp_path: Path) -> None:
    waiting = [jobs.start("proxy", tasks.wait_for, tmp_path / "go") for _ in range(2)]
    indexing = [jobs.start("index", tasks.wait_for, tmp_path / "go") for _ in range(2)]
    pid_of(jobs, waiting[0]), pid_of(jobs, indexing[0])
    assert [jobs.get(job.id).status for job in (*waiting, *indexing)] == ["running", "queued", "running", "queued"]
    assert jobs.active("index") == jobs.get(indexing[0].id)
    assert jobs.active("export") is None
    (tmp_path / "go").touch()
    assert {ended(jobs, job).status for job in (*waiting, *indexing)} == {"done"}
    assert [job.id for job in jobs.all()] == [job.id for job in reversed([*waiting, *indexing])]


def test_the_same_is_done_once(jobs: Jobs, tmp_path: Path) -> None:
    one = jobs.start("proxy", tasks.wait_for, tmp_path / "go", subject="a.mp4")
    assert jobs.start("proxy", tasks.wait_for, tmp_path / "go", subject="a.mp4").id == one.id
    assert jobs.start("proxy", tasks.wait_for, tmp_path / "go", subject="b.mp4").id != one.id
    keyed = jobs.start("index", tasks.count, 1, 0.0, repeat=("key", "asked"))
    (tmp_path / "go").touch()
    ended(jobs, one)
    assert jobs.start("proxy", tasks.wait_for, tmp_path / "go", subject="a.mp4").id != one.id
    ended(jobs, keyed)
    assert jobs.start("index", tasks.count, 1, 0.0, repeat=("key", "asked")).id == keyed.id
    with pytest.raises(JobRepeated, match="'key' was used for another request"):
        jobs.start("index", tasks.count, 2, 0.0, repeat=("key", "asked otherwise"))


def test_too_many(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_LINE", 2)
    pid_of(jobs, jobs.start("proxy", tasks.wait_for, tmp_path / "never"))
    for _ in range(2):
        jobs.start("proxy", tasks.count, 1, 0.0)
    with pytest.raises(JobsFull, match="2 jobs wait already"):
        jobs.start("proxy", tasks.count, 1, 0.0)


def test_old_ones_are_forgotten() -> None:
    jobs = Jobs(at_once=1, kept=3)
    made = [jobs.finished("export", {"n": n}, repeat=(str(n), "")) for n in range(5)]
    assert [job.id for job in jobs.all()] == [job.id for job in made[:1:-1]]
    with pytest.raises(JobUnknown, match="no such job"):
        jobs.get(made[0].id)
    assert jobs.finished("export", {}, repeat=("0", "other")).result == {}
    jobs.close()


def test_followers_see_every_end(jobs: Jobs, tmp_path: Path) -> None:
    async def follow(job_id: str) -> list[Job | None]:
        return [job async for job in jobs.follow(job_id, heartbeat_s=0.05)]

    async def both() -> tuple[list[Job | None], list[Job | None], int]:
        job = jobs.start("proxy", tasks.count, 4, 0.25)
        following = asyncio.gather(follow(job.id), follow(job.id))
        turns = 0
        while not following.done():  # the loop goes on meanwhile
            await asyncio.sleep(0)
            turns += 1
        first, second = await following
        return first, second, turns

    first, second, turns = asyncio.run(both())
    for seen in (first, second):
        known = [job for job in seen if job is not None]
        assert known[-1].status == "done"
        assert len(known) >= 4
        assert None in seen  # while the process started, nothing was to be said
        assert [job.progress.done for job in known] == sorted(job.progress.done for job in known)
    assert turns > 100
    assert jobs._watchers == {}


def test_a_follower_leaves(jobs: Jobs, tmp_path: Path) -> None:
    job = jobs.start("proxy", tasks.wait_for, tmp_path / "go")

    async def leave() -> None:
        stopping = asyncio.Event()

        async def follow() -> None:
            async for _ in jobs.follow(job.id):
                pass

        task = asyncio.create_task(follow())
        while not jobs._watchers.get(job.id):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert jobs._watchers[job.id] == set()
        seen = []
        async for one in jobs.follow(job.id, stopping=stopping, heartbeat_s=600):
            seen.append(one)
            if one and one.progress.current:  # nothing more will happen to the job, but the server stops
                asyncio.get_running_loop().call_soon(stopping.set)
        assert not any(one is None or one.ended for one in seen)

    asyncio.run(leave())
    (tmp_path / "go").touch()
    assert ended(jobs, job).status == "done"


def test_closing_ends_everything(tmp_path: Path) -> None:
    before = threading.active_count()
    jobs = Jobs(at_once=2)
    running = [jobs.start("proxy", tasks.wait_for, tmp_path / "never") for _ in range(2)]
    waiting = jobs.start("proxy", tasks.count, 1, 0.0)
    pids = [pid_of(jobs, job) for job in running]
    jobs.close()
    assert {jobs.get(job.id).status for job in (*running, waiting)} == {"cancelled"}
    assert not any(map(alive, pids))
    with pytest.raises(JobsFull, match="the server is stopping"):
        jobs.start("proxy", tasks.count, 1, 0.0)
    until(lambda: threading.active_count() == before)
    jobs.close()


def test_without_the_server_nobody_works(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from prvr.service.jobs import Jobs
from tests.service import tasks
if __name__ == "__main__":
    jobs = Jobs()
    job = jobs.start("proxy", tasks.tidy_up, Path({str(tmp_path / "half")!r}))
    while not jobs.get(job.id).progress.current:
        time.sleep(0.01)
    print(jobs.get(job.id).progress.current, flush=True)
    time.sleep(60)
"""
    script = tmp_path / "server.py"
    script.write_text(code)
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        worker = int(server.stdout.readline())
        assert alive(worker)
        server.kill()
    until(lambda: not alive(worker))
    assert not (tmp_path / "half").exists()
