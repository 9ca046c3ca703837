"""Real servers over the small library, and over films that come to harm."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from prvr.serve.app import create_app
from prvr.serve.runner import Server, bound
from prvr.serve.security import Doorman
from prvr.serve.settings import ServeConfig
from prvr.serve.shelf import Shelf, shelved
from prvr.service import work
from prvr.service.desk import Desk
from prvr.service.sessions import Sessions, digest_of
from prvr.service.work import JobStep
from tests.video.make import steps, write_video

TOKEN = "what every program of the tests sends"
KEY = {"authorization": f"Bearer {TOKEN}"}
HEAD = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"  # of what is written by hand
LIVE: dict[int, Live] = {}  # by port: the servers that run now


class Live(NamedTuple):
    """A server that listens."""

    port: int
    app: FastAPI
    server: Server
    desk: Desk

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sessions(self) -> Sessions:
        found: Sessions = self.app.state.prvr.doorman.sessions
        return found

    def client(self) -> httpx.Client:
        """A program that has the token."""
        return httpx.Client(base_url=self.url, timeout=300, headers=headers_of(self.app.state.prvr.config))


def headers_of(config: ServeConfig) -> dict[str, str]:
    """What programs send that a server lets in; nothing where a test is about that."""
    return KEY if config.token == digest_of(TOKEN) else {}


def config_of(folder: Path, **changes: object) -> ServeConfig:
    given = {"roots": (Path(tempfile.gettempdir()), Path.home()), "token": digest_of(TOKEN), **changes}
    return ServeConfig(folder=folder, port=0, **given)  # type: ignore[arg-type]


@contextmanager
def asking(config: ServeConfig, *, host: str = "127.0.0.1", client: str = "127.0.0.1") -> Iterator[TestClient]:
    """A client in the process of the application."""
    desk = Desk(config.folder, waiting=config.waiting, together=config.together)
    desk.open()
    try:
        doorman = Doorman(config)
        app = create_app(desk, config, doorman=doorman)
        with TestClient(app, f"http://{host}", client=(client, 50_000), headers=headers_of(config)) as found:
            yield found
        doorman.sessions.close()
    finally:
        desk.close()


@contextmanager
def serving(config: ServeConfig, *, beside: Sequence[Path] = ()) -> Iterator[Live]:
    """A real server on a port of its own; with further libraries `beside` the first."""
    shelf = shelved([config.folder, *beside])
    desks = [
        Desk(folder, waiting=config.waiting, together=config.together, encoder=config.encoder)
        for folder in (config.folder, *beside)
    ]
    for one in desks:
        one.open()
    doorman = Doorman(config)
    apps = {
        one.path: create_app(
            held, replace(config, folder=held.folder, root_path=one.path or config.root_path), shelf, doorman
        )
        for one, held in zip(shelf, desks, strict=True)
    }
    desk, app = desks[0], apps[""]
    with bound(config) as listening:
        server = Server(Shelf(apps) if beside else app, config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        until(lambda: server.started)
        live = Live(listening.getsockname()[1], app, server, desk)
        LIVE[live.port] = live
        yield live
        del LIVE[live.port]
        server.should_exit = True
        thread.join(300)
        assert not thread.is_alive(), "the server did not stop"
    doorman.sessions.close()
    for one in desks:
        one.close()


def until(true: Callable[[], object], *, seconds: float = 300.0) -> None:
    """Wait for it; the end of patience is far off, so that only what never comes fails, not a busy machine."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def client(library: Path) -> Iterator[TestClient]:
    with asking(config_of(library)) as found:
        yield found


@pytest.fixture(scope="session")
def live(library: Path) -> Iterator[Live]:
    with serving(config_of(library)) as found:
        yield found


def of(video_id: str, rest: str = "") -> str:
    return f"/v1/videos/{quote(video_id, safe='')}{rest}"


def finished(client: Any, job: dict[str, Any]) -> dict[str, Any]:
    def look() -> bool:
        nonlocal job
        job = client.get(job["url"]).json()
        return job["status"] not in ("queued", "running")

    until(look)
    return job


def events(client: httpx.Client, job: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """All of a job's events, as a browser reads them."""
    with client.stream("GET", job["events_url"], timeout=300) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = "".join(answer.iter_text())
    found = re.findall(r"^event: (\w+)\ndata: (.*)\n\n", text, re.MULTILINE)
    return [(name, json.loads(data)) for name, data in found]


def read(folder: Path, index: Path, *, prune: bool = False) -> dict[str, Any]:
    """As a job does it, but in this process."""
    seen: list[JobStep] = []
    found = work.index_folder(seen.append, [folder], index, None, "cpu", prune, ["films"])
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    return found


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that browsers play, and that they do not play; no test changes them. The page has films of its own."""
    folder = tmp_path_factory.mktemp("films")
    write_video(folder / "plays.mp4", steps(6, 10), sound=True)
    write_video(folder / "old film.avi", steps(6, 10), codec="mpeg4")
    write_video(folder / "new.mkv", steps(6, 10), codec="libx265", options={"x265-params": "log-level=none"})
    write_video(folder / "box.mkv", steps(6, 10), sound="ac3")
    (folder / "plays.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nhello\n")
    for name in ("deleted.mp4", "damaged.mp4"):
        write_video(folder / name, steps(1, 10))
    for name in ("large.mp4", "goes.mp4", "shrinks.mp4"):
        write_video(folder / name, steps(1, 10))
        with (folder / name).open("ab") as file:
            file.write(bytes(20_000_000))
    return folder


@pytest.fixture(scope="session")
def harmed(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same films, those of the server: they will come to harm."""
    return Path(shutil.copytree(films, tmp_path_factory.mktemp("harmed") / "films"))


@pytest.fixture(scope="session")
def served(
    library: Path, harmed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Live, httpx.Client]]:
    """A server whose library has the films."""
    folder = Path(shutil.copytree(library, tmp_path_factory.mktemp("own") / "library"))
    assert read(harmed, folder)["made"] == 9
    with serving(config_of(folder)) as live, live.client() as client:
        yield live, client


@pytest.fixture
def http(served: tuple[Live, httpx.Client]) -> httpx.Client:
    return served[1]
