"""HTTP as it comes in, with the patience that uvicorn's own protocol lacks.

A client that sends its request a byte at a time would keep a connection for ever. Here the head has to arrive within
some seconds, and the body within some more; and when all connections are taken, the one that has been waiting for its
head longest makes room. What is no HTTP at all gets our form of an error. A head may be long, for a browser sends the
cookies of every program on the host along; all that have not arrived yet may take so much memory together.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from prvr.serve.errors import body
from prvr.serve.headers import HEADERS
from prvr.serve.settings import ServeConfig

USUAL_HEAD, LONGEST_HEAD, ALL_HEADS = 64_000, 1_000_000, 32_000_000  # bytes; 180 cookies of 4 kB are 740,000


class Patient(H11Protocol):
    """A connection."""

    limits: ServeConfig

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.waits_since = 0.0  # for the head of a request, monotonic seconds; 0: it does not
        self.head_bytes = 0  # of a head that has not arrived yet
        self._awaited: object = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Another one; the clock runs."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            ours = [one for one in self.connections if isinstance(one, Patient) and one.waits_since]
            oldest = min(ours, key=lambda one: one.waits_since, default=self)
            oldest.refuse(503, "connections_full", "too many connections; come back in a moment")
        if not transport.is_closing():
            self._expect()

    def data_received(self, data: bytes) -> None:
        """Some more of a request."""
        self.head_bytes += len(data)
        super().data_received(data)
        self._expect()
        if self.head_bytes > USUAL_HEAD:
            heads = [one for one in self.connections if isinstance(one, Patient)]
            if sum(one.head_bytes for one in heads) > ALL_HEADS:
                largest = max(heads, key=lambda one: one.head_bytes)
                largest.refuse(503, "connections_full", "too many connections; come back in a moment")

    def on_response_complete(self) -> None:
        """The next request may come."""
        super().on_response_complete()
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, _: str) -> None:
        """What came is not HTTP."""
        self.refuse(400, "http_invalid", "this is no HTTP request that can be read")

    def refuse(self, status: int, code: str, message: str) -> None:
        """Say why, where that is still possible, and hang up."""
        self.head_bytes = 0
        self._stop_waiting()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing():
            content = body(status, code, message)
            length = (b"content-length", str(len(content)).encode())
            headers = [*HEADERS, (b"content-type", b"application/json"), length, (b"connection", b"close")]
            events = (h11.Response(status_code=status, headers=headers), h11.Data(data=content), h11.EndOfMessage())
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()

    def _expect(self) -> None:
        """Set the clock for what has to arrive next, if that is something else than before."""
        state = self.conn.their_state
        if state is not h11.IDLE:
            self.head_bytes = 0
        if state is self._awaited or self.transport.is_closing():
            return
        self._stop_waiting()
        self._awaited = state
        if state is h11.IDLE:
            self.waits_since = time.monotonic()
            self._deadline = self.loop.call_later(self.limits.head_s, self._too_slow)
        elif state is h11.SEND_BODY:
            self._deadline = self.loop.call_later(self.limits.body_s, self._too_slow)

    def _too_slow(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()  # the application learns that the client has gone
        else:
            self.refuse(408, "too_slow", "the request did not arrive in time; send it again")

    def _stop_waiting(self) -> None:
        self.waits_since, self._awaited = 0.0, None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def patient(config: ServeConfig) -> type[Patient]:
    """The protocol of a server, with the limits of its settings."""

    class Limited(Patient):
        limits = config

    return Limited
