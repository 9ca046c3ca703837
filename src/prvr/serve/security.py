"""Who may ask, how often and how much: one gate in front of every route."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prvr.core.places import is_loopback
from prvr.serve.below import below
from prvr.serve.errors import UNSURE, ApiError, locked, reply
from prvr.serve.headers import HEADERS
from prvr.serve.settings import ServeConfig
from prvr.service.keyring import SESSIONS
from prvr.service.rate import Rate
from prvr.service.sessions import Sessions, SessionsUnusable, digest_of

log = logging.getLogger(__name__)

COOKIE, COOKIE_DAYS = "prvr", 400  # as long as browsers keep any; a session that is not used ends sooner
MOST_COOKIES = 20  # of our name that are looked at
EVENTS = "/events"
IMAGES, CLIPS = "/v1/search/image", "/v1/locate"
VIDEOS = b"/v1/videos/"
READING = ("GET", "HEAD", "OPTIONS")
OPEN_TO_ALL = ("/", "/healthz", "/v1/session")  # the first and the last let in, or not, by themselves
WRONG_PER_MINUTE, WRONG_OF_ALL = 10, 60  # tokens of one client, and of all
WRONG_S = 0.3  # that a wrong one takes longer
LONGEST_LINE = 32  # tokens that wait to be looked at once there were too many wrong ones


Opener = Literal["token", "link"]


class Guest(NamedTuple):
    """Who was let in."""

    name: str  # the same for all that a browser, or else an address, asks
    session: str | None = None  # its digest


class Doorman:
    """Knows who is let in, and who has guessed; one for all libraries of a server."""

    def __init__(self, config: ServeConfig, *, root: str | None = None) -> None:
        """`root` is the path below which all of the server lies. Raises SessionsUnusable where they cannot be kept."""
        self._digest = config.token
        self.asks = config.token is not None
        digest = config.token or ""
        self.sessions = Sessions(config.keyring / SESSIONS if config.keyring and digest else None, token=digest)
        which = digest_of(f"{config.folder.absolute()} {digest}")
        self.cookie = f"{COOKIE}-{which[:12]}"  # its own: a host's cookies go to every server on it, whatever its port
        self._path = f"{config.root_path if root is None else root}/"
        self._streams, self._most = config.streams, max(1, config.connections // 2)
        self._wrong, self._wrong_of_all = Rate(WRONG_PER_MINUTE), Rate(WRONG_OF_ALL)
        self._turn, self._line = asyncio.Lock(), 0
        self._inside: Counter[str] = Counter()  # answers that are being given, by guest
        self._following: Counter[str] = Counter()  # of them the streams of events

    async def admit(self, headers: Headers, client: str) -> Guest:
        """Raises ApiError unless a request has the cookie of a session, or the token."""
        if not self.asks:
            return Guest(client)
        if session := self.session_of(headers, client):
            return Guest(session, session)
        if (token := bearer(headers)) is None:
            raise unauthorised(
                "token_missing",
                "open the address that `prvr serve --link` prints, or send the token that "
                "`prvr serve --show-token` prints: `Authorization: Bearer TOKEN`",
            )
        await self.check(token, client)
        return Guest(f"token {client}")

    def session_of(self, headers: Headers, client: str) -> str | None:
        """The session whose cookie a request has; whatever else is beside it."""
        found = cookies(headers, self.cookie)[:MOST_COOKIES] if self.asks else []
        return next(filter(None, (self.sessions.holds(value, client) for value in found)), None)

    async def check(self, token: str, client: str, *, opens: Sequence[Opener] = ("token",)) -> None:
        """Raises ApiError unless this is what `opens`: the token, or what a link says that was not opened yet.

        A wrong one takes its time, and a few of one client, or some of all together, are enough. From then on they are
        looked at one after the other: who has the right one is let in a little later, and nobody guesses faster.
        """
        if self._wrong_of_all.spent(""):
            await self._wait()
        if "token" in opens and (self._digest is None or hmac.compare_digest(digest_of(token), self._digest)):
            return
        if "link" in opens and self.spend(token):
            return
        if wait := max(self._wrong_of_all.wait(""), self._wrong.wait(client)):
            raise ApiError(429, "token_tries", "too many wrong tokens; come back in a while", retry_s=wait)
        await asyncio.sleep(WRONG_S)
        message = "not the token of this server, or a link that was opened before; `prvr serve --link` prints another"
        raise unauthorised("token_wrong", message)

    def spend(self, link: str) -> bool:
        """Whether a link opens; it never does again."""
        return self.asks and self.sessions.spend(link)

    def begin(self, response: Response, headers: Headers, client: str, *, secure: bool) -> None:
        """A session for whoever showed what opens: a cookie that scripts cannot read and other sites do not send."""
        if not self.asks:
            return
        response.set_cookie(
            self.cookie,
            self.sessions.begin(address=client, agent=headers.get("user-agent", "")),
            max_age=COOKIE_DAYS * 86_400,
            path=self._path,
            httponly=True,
            samesite="strict",
            secure=secure,
        )

    def still(self, guest: Guest) -> bool:
        """Whether a guest was not sent away meanwhile."""
        return guest.session is None or self.sessions.lasts(guest.session)

    def enter(self, guest: Guest, path: str) -> None:
        """An answer to a guest begins. Raises ApiError where one client would leave too little for the others."""
        follows = path.endswith(EVENTS)
        if follows and (self._following[guest.name] >= self._streams or self._following.total() >= self._most):
            message = f"{self._following[guest.name]} streams of events are open; close one, or ask for the job itself"
            raise ApiError(429, "streams_full", message, retry_s=5)
        if self._inside[guest.name] >= self._most:
            raise ApiError(429, "answers_full", "too many answers at once; wait for one of them", retry_s=1)
        self._inside[guest.name] += 1
        self._following[guest.name] += follows

    def leave(self, guest: Guest, path: str) -> None:
        """It has come to its end."""
        for count, less in ((self._inside, 1), (self._following, path.endswith(EVENTS))):
            count[guest.name] -= less
            if not count[guest.name]:
                del count[guest.name]

    async def _wait(self) -> None:
        """One after the other. Raises ApiError where too many wait already."""
        if self._line >= LONGEST_LINE:
            raise ApiError(429, "token_tries", "too many wrong tokens; come back in a while", retry_s=WRONG_S)
        self._line += 1
        try:
            async with self._turn:
                await asyncio.sleep(WRONG_S)
        finally:
            self._line -= 1


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
            guest = await self._check(scope, headers)
            self._doorman.enter(guest, asked := scope["path"])
        except SessionsUnusable as reason:
            log.error("%s", reason)
            await reply(ApiError(503, "sessions_unusable", UNSURE, retry_s=5))(scope, receive, with_headers)
            return
        except ApiError as error:
            seen = error.status_code == 401 and "text/html" in headers.get("accept", "")
            await (locked(below("/")) if seen else reply(error))(scope, receive, with_headers)
            return
        try:
            scope["state"]["guest"] = guest
            if (raw := scope.get("raw_path") or b"").startswith(VIDEOS):
                scope["path"] = raw.partition(b"?")[0].decode("ascii", "replace")  # an id is one segment, slashes too
            await self._app(scope, counted(receive, self._largest(scope)), with_headers)
        finally:
            self._doorman.leave(guest, asked)

    async def _check(self, scope: Scope, headers: Headers) -> Guest:
        host = headers.get("host", "")
        if self._config.local and not is_loopback(host_name(host)):
            message = (
                "this server answers to localhost, 127.0.0.1 and [::1] only; behind a proxy start it with PRVR_TOKEN"
            )
            raise ApiError(421, "host_foreign", message)
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        foreign = site == "cross-site" and headers.get("sec-fetch-mode") != "navigate"
        if scope["method"] not in READING and origin is not None:
            own = any(same_origin(origin, one) for one in hosts(headers))
            foreign = site != "same-origin" and not own  # a browser knows it, whatever a proxy says
        if foreign:
            raise ApiError(403, "origin_foreign", "another site's page asked; open this server's own page")
        client = scope["client"][0] if scope.get("client") else ""
        if not is_loopback(client) and (wait := self._asked.wait(client)):
            raise ApiError(429, "rate_exceeded", "too many requests; come back in a moment", retry_s=wait)
        free = scope["path"] in OPEN_TO_ALL or scope["path"].startswith("/assets/")
        guest = Guest(client) if free else await self._doorman.admit(headers, client)
        if int(headers.get("content-length") or 0) > self._largest(scope):
            raise too_large(self._largest(scope))
        return guest

    def _largest(self, scope: Scope) -> int:
        larger = {IMAGES: self._config.max_image_bytes, CLIPS: self._config.max_clip_bytes}
        return larger.get(scope["path"], self._config.max_body_bytes)


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


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token of a request."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    return (token.strip() or None) if kind.lower() == "bearer" else None


def cookies(headers: Mapping[str, str], name: str) -> list[str]:
    """The values of the cookies of one name. What other programs keep beside them may be of any form and length."""
    parts = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    return [value.strip('"') for found, _, value in parts if found == name and value]


def named(headers: Mapping[str, str]) -> str:
    """The request's id: the client's own if it is a plain one."""
    given = headers.get("x-request-id", "")
    return given if re.fullmatch(r"[\w.-]{1,64}", given, re.ASCII) else secrets.token_hex(8)


def hosts(headers: Mapping[str, str]) -> list[str]:
    """The names that this server may have for a browser: as it was asked, and as a proxy says that it was asked.

    A page of another site cannot send such headers: a browser would ask first, and nobody answers that.
    """
    host, port = headers.get("host", ""), headers.get("x-forwarded-port", "").strip()
    named = [host, headers.get("x-forwarded-host", "").partition(",")[0].strip()]
    return [*filter(None, named), *(f"{host_name(one)}:{port}" for one in named if one and port.isdecimal())]


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
