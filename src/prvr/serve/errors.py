"""What is answered when something is wrong: always the same body, one sentence, a code that stays, no trace."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.routing import Match

from prvr.core.errors import ConfigError, EncoderError, IndexFolderError, PrvrError, QueryError, VideoError
from prvr.serve.headers import HEADERS
from prvr.serve.schema import Error
from prvr.service.desk import LineFull, NothingIndexed
from prvr.service.folders import FolderOutside, FolderUnknown
from prvr.service.jobs import JobRepeated, JobsFull, JobUnknown
from prvr.service.sessions import SessionsUnusable

log = logging.getLogger(__name__)

NO_PAGE = (
    "<!doctype html><html lang=en><meta name=viewport content='width=device-width'><title>prvr</title>"
    "<h1>There is no page at this address</h1><p><a href='{}/'>Go to the start page</a></p>"
)
LOCKED = (
    "<!doctype html><html lang=en><meta name=viewport content='width=device-width'><title>prvr: locked</title>"
    "<h1>This library is locked</h1><p>Open the address that <code>prvr serve</code> printed when it started. It opens "
    "once, in one browser; <code>prvr serve --link</code> prints another.</p>"
    "<p>With a token: <a href='{}'>unlock the page</a>.</p>"
)
TYPES = {
    401: "not_authorised",
    403: "not_authorised",
    404: "not_found",
    410: "gone",
    413: "too_large",
    429: "too_many",
    500: "internal",
    503: "not_ready",
}
SENTENCES = {
    400: "one sentence says what to write instead",
    401: "no session and no token, or a wrong one",
    403: "not from there: loopback only, or a foreign page asked",
    404: "there is no such thing",
    405: "this method is not for this address",
    408: "the request did not arrive in time",
    409: "not now, or not like this",
    410: "the file is gone",
    413: "the body is too large",
    415: "not a body of this kind",
    416: "outside the file",
    421: "this host name is not this server",
    422: "a parameter is missing, unknown or out of range",
    429: "too many requests; Retry-After says when to come back",
    500: "our mistake; the log has the request id",
    503: "not ready, or too busy; Retry-After says when to come back",
}
CODES: Mapping[type[PrvrError], tuple[int, str]] = {
    QueryError: (400, "query_invalid"),
    ConfigError: (400, "setting_invalid"),
    VideoError: (422, "video_unreadable"),
    EncoderError: (503, "encoder_unusable"),
    IndexFolderError: (503, "index_unusable"),
    NothingIndexed: (503, "no_index"),
    LineFull: (503, "queue_full"),
    SessionsUnusable: (503, "sessions_unusable"),
    FolderOutside: (403, "folder_outside"),
    FolderUnknown: (404, "folder_unknown"),
    JobUnknown: (404, "job_unknown"),
    JobsFull: (429, "jobs_full"),
    JobRepeated: (409, "key_reused"),
    PrvrError: (400, "refused"),
}
SOON: Mapping[type[PrvrError], float] = {LineFull: 1}  # seconds until it may be well again; of other 503s five
NAMES_FOLDERS = (EncoderError, IndexFolderError)
UNSURE = "who was let in cannot be looked up now; the server's log says why"


class ApiError(HTTPException):
    """An answer that is an error. `code` never changes its meaning; `param` names what was wrong in the request."""

    def __init__(
        self, status: int, code: str, message: str, *, param: str | None = None, retry_s: float | None = None
    ) -> None:
        headers = {} if retry_s is None else {"Retry-After": str(max(1, round(retry_s)))}
        super().__init__(status, message, headers)
        self.code, self.param = code, param


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route may answer with, for its documentation."""
    return {status: {"model": Error, "description": SENTENCES[status]} for status in statuses}


def body(status: int, code: str, message: str, param: str | None = None) -> bytes:
    """An error as it is sent; ASCII, so that whatever a client sent can be quoted."""
    error = {"message": message, "type": TYPES.get(status, "invalid_request"), "param": param, "code": code}
    return json.dumps({"error": error}).encode()


def reply(error: ApiError) -> Response:
    """An error as a response."""
    content = body(error.status_code, error.code, str(error.detail), error.param)
    return Response(content, error.status_code, dict(error.headers or {}), "application/json")


def locked(start: str) -> Response:
    """401 for people: how to get in; `start` is the address of the page."""
    return HTMLResponse(LOCKED.format(escape(start)), 401, {"WWW-Authenticate": "Bearer"})


def install(app: FastAPI) -> None:
    """Every error of the framework and of ours, in our form."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(PrvrError, _ours)
    app.add_exception_handler(Exception, _unexpected)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404 and "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(NO_PAGE.format(escape(str(request.scope.get("root_path", "")))), 404)
    if isinstance(error, ApiError):
        return reply(error)
    named = {404: ("no_such_address", "there is nothing at this address; /openapi.json lists what there is")}
    named[405] = ("method_not_allowed", "this address does not know this method; /openapi.json lists what there is")
    named[400] = ("body_unreadable", "the body cannot be read; send what /openapi.json describes")
    code, message = named.get(error.status_code, ("refused", str(error.detail)))
    again = ApiError(error.status_code, code, message)
    again.headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
    return reply(again)


def _allowed(request: Request) -> str:
    """The methods of an address, of all routes that have it; the framework names those of the first alone."""
    fits = [route for route in request.app.state.addresses if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in fits for method in route.methods or ()}))


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    message, param = sentence(error.errors())
    return reply(ApiError(422, "parameter_invalid", message, param=param))


async def _ours(request: Request, error: Exception) -> Response:
    """What the rooms below say is meant for the user; to a user of another machine it does not name folders."""
    kind = next(kind for kind in type(error).__mro__ if kind in CODES)
    status, code = CODES[kind]
    message = str(error)
    if isinstance(error, NAMES_FOLDERS) and not request.app.state.prvr.config.local:
        message = "the library cannot be searched now; the server's log says why"
    if isinstance(error, SessionsUnusable):
        log.error("%s", error)
        message = UNSURE
    param = "query_text" if isinstance(error, QueryError) else None
    return reply(
        ApiError(status, code, message, param=param, retry_s=SOON.get(kind, 5) if status in (429, 503) else None)
    )


async def _unexpected(request: Request, _: Exception) -> Response:
    made = request.scope.get("state", {}).get("request_id", "")
    response = reply(ApiError(500, "internal", f"our mistake; the server's log has more under request {made}"))
    response.raw_headers.extend([*HEADERS, (b"x-request-id", made.encode())])
    return response


def sentence(problems: Sequence[Any]) -> tuple[str, str | None]:
    """What pydantic finds wrong -> one sentence, and the name of the parameter."""
    first = problems[0]
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path", "header")]
    if first["type"] == "json_invalid":
        return "the body is not JSON; send an object as /openapi.json describes", None
    param = ".".join(place) or None
    message = f"{param or 'body'}: {first['msg'][0].lower()}{first['msg'][1:]}"
    found = first.get("input")
    if isinstance(found, (str, int, float)) and first["type"] != "missing":
        message += f" (found {ascii(found)[:60]})"
    more = len(problems) - 1
    return message + (f"; and {more} more" if more else "") + "; /openapi.json says what is expected", param
