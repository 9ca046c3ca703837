"""A server on a port, from its first line to Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI

from prvr.core.errors import ConfigError
from prvr.core.files import own_folder, write_whole
from prvr.serve.app import create_app
from prvr.serve.protocol import patient
from prvr.serve.security import digest_of
from prvr.serve.settings import ServeConfig, is_loopback
from prvr.serve.shelf import Shelf, shelved
from prvr.service.desk import Desk
from prvr.service.machine import spare_memory
from prvr.service.nearby import listening

TRIES = 50  # ports that are tried from the one that was asked for
GRACE_S = 3.0  # that answers which are being sent have when the server stops
TOKEN = "token"  # a file in INDEX/serve that holds the digest


class Started(NamedTuple):
    """What is said when a server answers."""

    url: str
    config: ServeConfig
    desks: tuple[Desk, ...]  # of the libraries; the first one's page opens
    first: str  # a sentence that the library answers well; empty where none is known

    @property
    def page(self) -> str:
        """The page, with that sentence asked already."""
        return f"{self.url}/?{urlencode({'q': self.first})}" if self.first else f"{self.url}/"


class Server(uvicorn.Server):
    """Stops at the first signal, and tells the application so that answers without an end come to one."""

    def __init__(self, app: FastAPI | Shelf, config: ServeConfig) -> None:
        super().__init__(settings(app, config))
        self._apps = list(app.apps.values()) if isinstance(app, Shelf) else [app]

    def handle_exit(self, *_: object) -> None:
        """A signal; the second one does not wait for anybody."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what has no end, then the rest; who has not read all of an answer by then is cut off."""
        for app in self._apps:
            app.state.prvr.stopping.set()
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # in which the sockets are closed


def run(
    config: ServeConfig,
    *,
    beside: Sequence[Path] = (),
    on_start: Callable[[Started], None],
    open_page: bool = False,
) -> None:
    """Serve until a signal comes; `beside` are the index folders of further libraries.

    Raises ConfigError when no port is free, PrvrError when an index cannot be used.
    """
    spare_memory()
    usual = config.encoder is None and config.device == "auto"  # as a search on the command line has it
    folders = [config.folder, *beside]
    desks = tuple(
        Desk(
            folder,
            encoder=config.encoder,
            device=config.device,
            waiting=config.waiting,
            together=config.together,
        )
        for folder in folders
    )
    try:
        with bound(config) as port:
            config = replace(config, port=port.getsockname()[1])
            for desk in desks:
                desk.open()
            shelf = shelved(folders, config.root_path)
            apps = {
                one.path: create_app(desk, replace(config, folder=desk.folder, root_path=one.path), shelf)
                for one, desk in zip(shelf, desks, strict=True)
            }
            app = Shelf(apps, config.root_path) if beside else apps[config.root_path]
            server = Server(app, config)
            url = f"http://{shown(config.host)}:{config.port}{config.root_path}"
            started = Started(url, config, desks, desks[0].opening())
            threading.Thread(target=_when_ready, args=(server, started.page, open_page), daemon=True).start()
            on_start(started)
            with listening(desks) if usual else contextlib.nullcontext():
                server.run(sockets=[port])
    finally:
        for desk in desks:
            desk.close()


def settings(app: FastAPI | Shelf, config: ServeConfig) -> uvicorn.Config:
    """How uvicorn is to serve an application."""
    return uvicorn.Config(
        app,
        http=patient(config),
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(GRACE_S),
        h11_max_incomplete_event_size=64_000,
    )


def bound(config: ServeConfig) -> socket.socket:
    """A socket that listens on the port asked for, or on the next free one. Raises ConfigError when there is none."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    for port in range(config.port, min(config.port + TRIES, 65536)):
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named: else asyncio sends late
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((config.host.strip("[]"), port))
            listening.listen(2048)  # who comes early waits
            return listening
        except (OSError, UnicodeError) as error:
            listening.close()
            if getattr(error, "errno", None) not in (errno.EADDRINUSE, errno.EACCES):
                raise ConfigError(
                    f"--host {config.host}: cannot listen there ({error}); 127.0.0.1 is this machine alone, 0.0.0.0 all"
                ) from error
    raise ConfigError(f"--port {config.port}: this and the next {TRIES} ports are taken; choose another")


def token_for(folder: Path, host: str, *, new: bool) -> tuple[str | None, str | None]:
    """-> what is kept of the token that clients need (None: none), and the token itself where it was made now.

    PRVR_TOKEN names one, on loopback too. Raises ConfigError for one that is too short, or that cannot be kept.
    """
    given = os.environ.get("PRVR_TOKEN")
    if given is not None:
        if len(given) < 16:
            raise ConfigError("PRVR_TOKEN: is shorter than 16 characters; make one with `openssl rand -hex 16`")
        return digest_of(given), None
    if is_loopback(host):
        return None, None
    place = folder / "serve" / TOKEN
    try:
        if not new and place.exists():
            return place.read_text(encoding="ascii").strip(), None
        token = secrets.token_urlsafe(24)
        own_folder(place.parent)
        write_whole(place, digest_of(token).encode())
        place.chmod(0o600)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{place}: cannot be kept or read ({error}); check the folder, or set PRVR_TOKEN") from error
    return digest_of(token), token


def shown(host: str) -> str:
    """A host as it stands in an address that this machine can open."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.strip("[]"), host.strip("[]"))
    return f"[{name}]" if ":" in name else name


def reachable(host: str) -> str:
    """A host as other machines can open it: of all addresses of this one, that which leads out. Nothing is sent."""
    family, anywhere = (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "192.0.2.1")
    if host.strip("[]") not in ("0.0.0.0", "::"):
        return shown(host)
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((anywhere, 9))
            return shown(asking.getsockname()[0])
        except OSError:
            return socket.gethostname()


def _when_ready(server: Server, url: str, open_page: bool) -> None:
    """Open the page as soon as there is one to open."""
    pause = threading.Event()
    while not server.started and not server.should_exit:
        pause.wait(0.05)
    if open_page and server.started:
        webbrowser.open(url)
