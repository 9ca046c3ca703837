"""The end of `search.nearby` that answers: the command line's searches, by the engine that a server holds already."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from socketserver import StreamRequestHandler, TCPServer, ThreadingMixIn
from typing import Any

from prvr import __version__
from prvr.core.config import from_dict
from prvr.core.errors import PrvrError, QueryError
from prvr.core.files import own_folder
from prvr.core.system import MEETING
from prvr.search.call import SearchCall, Told
from prvr.search.engine import SearchEngine
from prvr.search.nearby import address, is_ours, line, read_line
from prvr.search.telling import find, told
from prvr.service.desk import Desk

ASKING_S = 10.0  # that a question may take to come
LONGEST = 2**20  # bytes of a question


class Nearby(ThreadingMixIn, TCPServer):
    """Answers at one socket, each caller in a thread that waits for the desk."""

    address_family = MEETING or socket.AF_UNSPEC
    daemon_threads = True
    block_on_close = False

    def __init__(self, place: Path, desk: Desk) -> None:
        self.desk = desk
        super().__init__(str(place), _Call)  # type: ignore[arg-type]


class _Call(StreamRequestHandler):
    server: Nearby

    def handle(self) -> None:
        """One question; one that is not understood, or that only the asking process can answer, gets nothing."""
        self.request.settimeout(ASKING_S)
        with contextlib.suppress(OSError, ValueError, TypeError):
            self.request.sendall(line(self._answer(read_line(self.request, LONGEST))))

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked.get("version") != __version__:
            return {}
        try:
            wanted = from_dict(SearchCall, asked["wanted"])
            return asyncio.run(self.server.desk.ask(lambda engine: _told(engine, wanted)))._asdict()
        except QueryError as error:
            return {"cannot": str(error)}
        except (PrvrError, KeyError):
            return {}


@contextlib.contextmanager
def listening(desks: Sequence[Desk]) -> Iterator[None]:
    """Answer for these desks as long as it lasts. Where no socket can be had, or another server has it, nobody asks."""
    with contextlib.ExitStack() as open_:
        for desk in desks if MEETING else ():
            place = address(desk.folder)
            try:
                own_folder(place.parent)
                if not is_ours(place.parent) or _alive(place):
                    continue
                place.unlink(missing_ok=True)
                server = Nearby(place, desk)
            except OSError:
                continue
            open_.callback(place.unlink, missing_ok=True)
            open_.enter_context(server)
            open_.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, name="prvr-nearby", daemon=True).start()
        yield


def _told(engine: SearchEngine, wanted: SearchCall) -> Told:
    return told(engine, wanted, find(engine, wanted))


def _alive(place: Path) -> bool:
    with socket.socket(MEETING or socket.AF_UNSPEC, socket.SOCK_STREAM) as calling:
        try:
            calling.connect(str(place))
        except OSError:
            return False
    return True
