"""Clients that leave in the middle, and those that stay where nothing happens."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from prvr.serve import libraries
from prvr.service.jobs import Job, Jobs
from tests.serve.conftest import HEAD, Live, of, until
from tests.service import tasks


def is_open(name: str) -> bool:
    """Whether this process, and with it the server, holds a file open, where the machine says so."""
    found = []
    for path in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):  # one of those that look
            found.append(path.readlink().name)
    return name in found


@contextlib.contextmanager
def waiting_job(live: Live, marker: Path) -> Iterator[Job]:
    """A job that waits for a file, which comes in the end."""
    jobs: Jobs = live.app.state.prvr.jobs
    job = jobs.start("proxy", tasks.wait_for, marker)
    try:
        yield job
    finally:
        marker.touch()
        until(lambda: jobs.get(job.id).ended)


def hang_up(live: Live, request: str, *, read: int) -> None:
    """A client that sends a request, reads a little and goes without a word (RST)."""
    with socket.create_connection(("127.0.0.1", live.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(f"{request} HTTP/1.1\r\n{HEAD}\r\n".encode())
        assert client.recv(read)


def test_clients_that_go_in_the_middle(
    served: tuple[Live, httpx.Client],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    live, client = served
    jobs: Jobs = live.app.state.prvr.jobs
    assert client.get(of("large.mp4", "/stream"), headers={"Range": "bytes=0-0"}).status_code == 206
    with waiting_job(live, tmp_path / "go") as waiting:
        for _ in range(2):  # once for the threads that come with use
            before = threading.active_count()
            for _ in range(5):
                hang_up(live, f"GET {of('large.mp4', '/stream')}", read=1000)
                hang_up(live, f"GET /v1/jobs/{waiting.id}/events", read=100)
                hang_up(live, f"GET {of('plays.mp4', '/thumb?t=2')}", read=1)
            until(lambda: not jobs._watchers.get(waiting.id))
            until(lambda: not is_open("large.mp4"))
        assert threading.active_count() <= before + 1
    assert client.get(of("plays.mp4", "/stream")).status_code == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert "Traceback" not in capfd.readouterr().err


def test_events_of_a_job_that_nothing_happens_in(
    served: tuple[Live, httpx.Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, client = served
    monkeypatch.setattr(libraries, "HEARTBEAT_S", 0.1)
    with (
        waiting_job(live, tmp_path / "go") as job,
        client.stream("GET", f"/v1/jobs/{job.id}/events") as answer,
    ):
        lines = answer.iter_lines()
        until(lambda: next(lines).startswith(":"))
        (tmp_path / "go").touch()
        assert "event: end" in list(lines)
