"""Who may ask, how often and how much: one gate in front of every route."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prvr.serve.errors import ApiError, reply
from prvr.serve.headers import HEADERS
from prvr.serve.settings import ServeConfig, is_loopback
from prvr.service.rate import Rate

COOKIE = "prvr"
IMAGES = "/v1/search/image"
VIDEOS = b"/v1/videos/"
READING = ("GET", "HEAD", "OPTIONS")
OPEN_TO_ALL = ("/", "/healthz", "/v1/session")
WRONG_PER_MINUTE = 10  # tokens of one client
WRONG_S = 0.3  # that a wrong one takes longer


class Doorman:
    """Knows the token, and who has guessed at it."""

    def __init__(self, digest: str | None) -> None:
        self._digest = digest
        self.cookie = f"{COOKIE}-{(digest or '')[:8]}"  # its own: a host's cookies go to every server on it
        self._wrong = Rate(WRONG_PER_MINUTE)

    async def check(self, token: str | None, client: str) -> None:
        """Raises ApiError unless the token is the right one; a wrong one takes its time, and a few are enough.

        Who has the right one is never kept out by others behind the same address.
        """
        if self._digest is None or (token is not None and hmac.compare_digest(digest_of(token), self._digest)):
            return
        if token is None:
            message = "send the token that `prvr serve` printed: `Authorization: Bearer TOKEN`, or open the page"
            raise unauthorised("token_missing", message)
        if wait := self._wrong.wait(client):
            raise ApiError(429, "token_tries", "too many wrong tokens; come back in a while", retry_s=wait)
        await asyncio.sleep(WRONG_S)
        raise unauthorised("token_wrong", "not the token of this server; `prvr serve --new-token` makes a new one")


class Gate:
    """Every request goes through here before the routes see it."""

    def __init__(self, app: ASGIApp, config: ServeConfig, doorman: Doorman) -> None:
        self._app, self._config, self._doorman = app, config, doorman
        self._asked = Rate(config.rate_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        made = named(headers)
        scope.setdefault("state", {})["request_id"] = made

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                for name, value in [*HEADERS, (b"x-request-id", made.encode())]:
                    found.setdefault(name.decode(), value.decode())
                found.setdefault("cache-control", "no-store")
            await send(message)

        try:
            await self._check(scope, headers)
        except ApiError as error:
            await reply(error)(scope, receive, with_headers)
            return
        if (raw := scope.get("raw_path") or b"").startswith(VIDEOS):
            scope["path"] = raw.partition(b"?")[0].decode("ascii", "replace")  # an id is one segment, slashes and all
        await self._app(scope, counted(receive, self._largest(scope)), with_headers)

    async def _check(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host", "")
        if self._config.open and not is_loopback(host_name(host)):
            raise ApiError(421, "host_foreign", "this server answers to localhost, 127.0.0.1 and [::1] only")
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        foreign = site == "cross-site" and headers.get("sec-fetch-mode") != "navigate"
        if scope["method"] not in READING and origin is not None:
            foreign = site != "same-origin" and not same_origin(
                origin, host
            )  # a browser knows it, whatever a proxy says
        if foreign:
            raise ApiError(403, "origin_foreign", "another site's page asked; open this server's own page")
        client = scope["client"][0] if scope.get("client") else ""
        if not is_loopback(client) and (wait := self._asked.wait(client)):
            raise ApiError(429, "rate_exceeded", "too many requests; come back in a moment", retry_s=wait)
        if scope["path"] not in OPEN_TO_ALL and not scope["path"].startswith("/assets/"):
            await self._doorman.check(bearer(headers, self._doorman.cookie), client)
        if int(headers.get("content-length") or 0) > self._largest(scope):
            raise too_large(self._largest(scope))

    def _largest(self, scope: Scope) -> int:
        return self._config.max_image_bytes if scope["path"] == IMAGES else self._config.max_body_bytes


def counted(receive: Receive, most: int) -> Receive:
    """The body as it arrives; what goes on beyond so many bytes is not read. Raises ApiError then."""
    total = 0

    async def count() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > most:
            raise too_large(most)
        return message

    return count


def too_large(most: int) -> ApiError:
    """A body that is not read."""
    return ApiError(413, "body_too_large", f"the body may have at most {most:,} bytes; send less")


def unauthorised(code: str, message: str) -> ApiError:
    """A request without the right token."""
    error = ApiError(401, code, message)
    error.headers = {"WWW-Authenticate": "Bearer"}
    return error


def bearer(headers: Mapping[str, str], cookie: str = COOKIE) -> str | None:
    """The token of a request, from its header or the page's cookie, which was called `prvr` on every server before.

    What other programs keep beside it may be of any form.
    """
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and token.strip():
        return token.strip()
    kept = [part.strip() for part in headers.get("cookie", "").split(";")]
    own = [part for name in (cookie, COOKIE) for part in kept if part.startswith(f"{name}=")]
    found = (morsel.value for part in own for morsel in SimpleCookie(part).values())  # it was quoted where needed
    return next((value for value in found if value), None)


def digest_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def named(headers: Mapping[str, str]) -> str:
    """The request's id: the client's own if it is a plain one."""
    given = headers.get("x-request-id", "")
    return given if re.fullmatch(r"[\w.-]{1,64}", given, re.ASCII) else secrets.token_hex(8)


def same_origin(origin: str, host: str) -> bool:
    """Whether the page that asks is this server's: the same name and port, of which the usual one need not be said."""
    try:
        asks, asked = urlsplit(origin), urlsplit(f"//{host}")
        usual = {"http": 80, "https": 443}.get(asks.scheme)
        same_port = (asks.port or usual) == (asked.port or usual)
    except ValueError:
        return False
    return usual is not None and bool(asks.hostname) and asks.hostname == asked.hostname and same_port


def host_name(host: str) -> str:
    """`[::1]:8765` -> `[::1]`, `localhost:8765` -> `localhost`."""
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
