"""A server on a port, from its first line to Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import threading
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI

from prvr.core.errors import ConfigError, PrvrError
from prvr.serve.app import create_app
from prvr.serve.protocol import LONGEST_HEAD, patient
from prvr.serve.security import Doorman
from prvr.serve.settings import ServeConfig
from prvr.serve.shelf import Shelf, shelved
from prvr.service.desk import Desk
from prvr.service.keyring import SHORTEST, Keyring
from prvr.service.machine import spare_memory
from prvr.service.nearby import listening
from prvr.service.sessions import digest_of

TRIES = 50  # ports that are tried from the one that was asked for
log = logging.getLogger(__name__)
GRACE_S = 3.0  # that answers which are being sent have when the server stops


class Started(NamedTuple):
    """What is said when a server answers."""

    url: str
    config: ServeConfig
    desks: tuple[Desk, ...]  # of the libraries; the first one's page opens
    first: str  # a sentence that the library answers well; empty where none is known
    link: str = ""  # what opens the page, once

    @property
    def page(self) -> str:
        """The page, with that sentence asked already; where a token is needed, for the first who opens it."""
        return invitation(self.url, self.link, self.first)


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
    desks = tuple(_desk(folder, config) for folder in folders)
    try:
        with bound(config) as port:
            config = replace(config, port=port.getsockname()[1])
            for desk in desks:
                desk.open()
            shelf, doorman = shelved(folders, config.root_path), Doorman(config)
            apps = {
                one.path: create_app(desk, _of(desk.folder, one.path, config), shelf, doorman)
                for one, desk in zip(shelf, desks, strict=True)
            }
            app = Shelf(apps, config.root_path) if beside else apps[config.root_path]
            server = Server(app, config)
            base = f"http://{shown(config.host)}:{config.port}"
            link = doorman.sessions.invite() if doorman.asks else ""
            started = Started(f"{base}{config.root_path}", config, desks, desks[0].opening(), link)
            with contextlib.ExitStack() as held:
                held.callback(doorman.sessions.close)
                for one, folder in zip(shelf, folders, strict=True):
                    if config.keyring:
                        held.enter_context(Keyring(folder).announced(f"{base}{one.path}", config.keyring))
                if usual:
                    held.enter_context(listening(desks))
                threading.Thread(target=_when_ready, args=(server, started, open_page), daemon=True).start()
                on_start(started)
                server.run(sockets=[port])
    finally:
        for desk in desks:
            desk.close()


def _of(folder: Path, root_path: str, config: ServeConfig) -> ServeConfig:
    """What the server of one library is told; what is to be watched is read into the first."""
    watch = config.watch if folder == config.folder else ()
    return replace(config, folder=folder, root_path=root_path, watch=watch)


def _desk(folder: Path, config: ServeConfig) -> Desk:
    return Desk(folder, encoder=config.encoder, device=config.device, waiting=config.waiting, together=config.together)


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
        h11_max_incomplete_event_size=LONGEST_HEAD,
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


class Lock(NamedTuple):
    """What a server over an index asks its clients for."""

    digest: str | None = None  # of the token; None: nothing is asked
    token: str | None = None  # itself, where it is kept
    shared: bool = False  # a proxy lets others in
    keyring: Path | None = None  # where links and sessions are kept; None: they end with the server


def lock_for(folder: Path, *, new: bool = False, free: bool = False) -> Lock:
    """What is asked for: the token of PRVR_TOKEN, else the one that is kept of the user, made where there is none.

    `free` asks for nothing. Raises ConfigError for a token that is too short, or that cannot be kept.
    """
    keyring, given = Keyring(folder), os.environ.get("PRVR_TOKEN")
    if given is None and not free:
        token = keyring.token(new=new)
        return Lock(digest_of(token), token, keyring=keyring.place)
    if given is not None and len(given) < SHORTEST:
        raise ConfigError(f"PRVR_TOKEN: is shorter than {SHORTEST} characters; make one with `openssl rand -hex 16`")
    lock = Lock() if free or given is None else Lock(digest_of(given), shared=True)
    try:
        keyring.sessions().close()
    except PrvrError as error:  # a machine without a place for it
        log.warning("%s; sessions and unfinished jobs are forgotten when the server stops", error)
        return lock
    return lock._replace(keyring=keyring.place)


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


def invitation(url: str, link: str, first: str = "") -> str:
    """The address that lets one browser in, with a sentence asked already."""
    asked = {**({"token": link} if link else {}), **({"q": first} if first else {})}
    return f"{url}/?{urlencode(asked)}" if asked else f"{url}/"


def _when_ready(server: Server, started: Started, open_page: bool) -> None:
    """Open the page as soon as there is one to open."""
    pause = threading.Event()
    while not server.started and not server.should_exit:
        pause.wait(0.05)
    if open_page and server.started:
        webbrowser.open(_unseen(started.page, started.config.keyring) if started.link else started.page)


def _unseen(page: str, keyring: Path | None) -> str:
    """An address to open: a file that leads to the page, since every account can read a browser's command line."""
    if keyring is None:
        return page
    file = keyring / "open.html"
    file.touch(0o600)
    file.write_text(f'<!doctype html><meta http-equiv="refresh" content="0;url={escape(page)}">', encoding="utf-8")
    return file.as_uri()
