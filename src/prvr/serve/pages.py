"""What people open: the page and its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from prvr.serve.below import below
from prvr.serve.errors import ApiError
from prvr.serve.security import Doorman
from prvr.serve.state import Server, client_of

PAGE = Path(__file__).with_name("page")
FOREVER = {"cache-control": "public, max-age=31536000, immutable"}
NOT_BUILT = (
    "<!doctype html><html lang=en><title>prvr</title><h1>prvr</h1><p>The page is not built: run <code>npm run build"
    '</code> in <code>web/</code>. Until then: <a href="plain">plain search</a>, <a href="openapi.json">the API</a>.'
)
router = APIRouter(include_in_schema=False)


@router.get("/")
async def page(
    request: Request, server: Server, token: Annotated[str | None, Query(max_length=200)] = None
) -> Response:
    """The page, for who was let in; for others the same with 401, on which it says how to get in.

    An address with a `token` opens once. It leads on to the same without it, so that no reload or bookmark has it.
    """
    index, doorman, client, status = PAGE / "index.html", server.doorman, client_of(request), 200
    try:
        if token is None:
            await doorman.admit(request.headers, client)
        else:
            return await _opened(request, doorman, token, client)
    except ApiError as error:
        status = error.status_code
        if status not in (401, 429) or "text/html" not in request.headers.get("accept", ""):
            raise
    if not index.is_file():
        return HTMLResponse(NOT_BUILT, status)
    return FileResponse(index, status, headers={"cache-control": "no-cache" if status == 200 else "no-store"})


async def _opened(request: Request, doorman: Doorman, link: str, client: str) -> Response:
    """Let a browser in by a link, unless it is in already. Raises ApiError."""
    known = not doorman.asks or doorman.session_of(request.headers, client)
    if known:
        doorman.spend(link)
    else:
        await doorman.check(link, client, opens=("link",))
    rest = urlencode([pair for pair in request.query_params.multi_items() if pair[0] != "token"])
    response = RedirectResponse(below(f"/?{rest}" if rest else "/"), 303)
    if not known:
        doorman.begin(response, request.headers, client, secure=request.url.scheme == "https")
    return response


@router.get("/style.css")
async def style() -> Response:
    """Of the page without scripts."""
    return FileResponse(PAGE.with_name("style.css"), headers={"cache-control": "max-age=3600"})


@router.get("/assets/{name}")
async def asset(name: str) -> Response:
    """A file of the page; its name changes with its content."""
    known = {file.name: file for file in (PAGE / "assets").glob("*") if file.is_file()}
    if name not in known:
        raise ApiError(404, "no_such_address", "the page has no such file; load it again")
    return FileResponse(known[name], headers=FOREVER)
