"""What people open: the page and its files."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, HTMLResponse, Response

from prvr.serve.errors import ApiError

PAGE = Path(__file__).with_name("page")
FOREVER = {"cache-control": "public, max-age=31536000, immutable"}
NOT_BUILT = (
    "<!doctype html><html lang=en><title>prvr</title><h1>prvr</h1><p>The page is not built: run <code>npm run build"
    '</code> in <code>web/</code>. Until then: <a href="plain">plain search</a>, <a href="openapi.json">the API</a>.'
)
router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> Response:
    """The page; where it was not built, a line that says so."""
    index = PAGE / "index.html"
    if not index.is_file():
        return HTMLResponse(NOT_BUILT)
    return FileResponse(index, headers={"cache-control": "no-cache"})


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
