"""What the routers get: the parts of one server, the video that a URL names, and whether the client is still there."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple, TypeVar
from urllib.parse import quote, unquote

from fastapi import Depends, Path, Request
from pydantic import AfterValidator, BaseModel
from starlette.responses import Response

from prvr.core.errors import IndexFolderError
from prvr.serve.below import below
from prvr.serve.errors import ApiError
from prvr.serve.metrics import Metrics
from prvr.serve.security import Doorman
from prvr.serve.settings import ServeConfig
from prvr.service.absent import Absent
from prvr.service.desk import Desk
from prvr.service.holdings import Holdings
from prvr.service.jobs import Jobs
from prvr.service.media import Media
from prvr.service.watch import Watch

T = TypeVar("T")


class Shelved(NamedTuple):
    """One of the libraries of a server."""

    name: str
    path: str  # that its addresses are below


@dataclass(frozen=True, kw_only=True)
class Parts:
    """One server."""

    config: ServeConfig
    desk: Desk
    jobs: Jobs
    media: Media
    metrics: Metrics
    doorman: Doorman
    watch: Watch
    shelf: tuple[Shelved, ...] = ()
    absent: Absent = field(default_factory=Absent)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # set when answers that never end must end


async def state_of(request: Request) -> Parts:
    """The server that a request came to; a coroutine, since FastAPI gives every other dependency a thread."""
    state: Parts = request.app.state.prvr
    return state


def client_of(request: Request) -> str:
    """The address that a request comes from, as a proxy on this machine has it."""
    return request.client.host if request.client else ""


Server = Annotated[Parts, Depends(state_of)]
VideoId = Annotated[
    str,
    Path(description="Percent-encoded, slashes too.", min_length=1, max_length=12_000),
    AfterValidator(unquote),
]


async def nothing_unknown(request: Request) -> None:
    """Raises ApiError for a parameter in the URL that the route does not have; a slip would do nothing, unseen."""
    route = getattr(request.scope.get("route"), "path", "")
    operation = request.app.openapi()["paths"].get(route, {}).get(request.method.lower())
    if operation is None:
        return  # a page
    names = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
    for name in request.query_params:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            instead = f"did you mean {near[0]}?" if near else f"there is {', '.join(names) or 'none'}"
            raise ApiError(422, "parameter_unknown", f"{name[:60]!a}: no such parameter; {instead}", param=name[:60])


async def known(server: Parts, video_id: str) -> Holdings:
    """What the library holds, with this video. Raises ApiError where it is not there."""
    holdings = await server.desk.holdings(needed=video_id)
    if video_id not in holdings.facts:
        message = f"no video {video_id[:200]!a} in this library; GET /v1/videos lists them"
        raise ApiError(404, "video_unknown", message, param="video_id")
    return holdings


def here_only(server: Parts, otherwise: str) -> None:
    """Raises ApiError, which says what to do `otherwise`, where others than this machine's users can ask."""
    if not server.config.local:
        raise ApiError(403, "loopback_only", otherwise)


@contextlib.contextmanager
def alone(server: Parts) -> Iterator[None]:
    """Inside, something of the index folder is changed. Raises ApiError where somebody else is writing there."""
    if server.jobs.active("index"):
        message = "the library is being indexed; wait for it, or cancel that job, then try again"
        raise ApiError(409, "indexing", message)
    try:
        yield
    except IndexFolderError as error:
        why = str(error) if server.config.local else "another process is writing to the index; try again later"
        raise ApiError(409, "index_busy", why) from error


def address(video_id: str, rest: str = "") -> str:
    """The URL of a video, or of something of it."""
    return below(f"/v1/videos/{quote(video_id, safe='')}{rest}")


def told(model: BaseModel, status: int = 200) -> Response:
    """An answer, written once."""
    return Response(model.model_dump_json(), status, media_type="application/json")


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; it is dropped as soon as the client has gone."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(499, "client_gone", "the client has gone")
        return task.result()
    finally:
        for one in (task, gone):
            one.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
