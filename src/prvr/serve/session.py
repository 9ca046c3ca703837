"""POST /v1/session: the page's way in with a token. Pictures and players cannot send a header, but a cookie."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from prvr.serve.requests import SessionRequest
from prvr.serve.state import Server, client_of

router = APIRouter(prefix="/v1", tags=["session"])


@router.post("/session", status_code=204, summary="Open the page")
async def session(request: Request, asked: SessionRequest, server: Server) -> Response:
    """For the token, or what a link says that was not opened yet: a session, kept as a cookie."""
    client = client_of(request)
    await server.doorman.check(asked.token, client, opens=("token", "link"))
    response = Response(status_code=204)
    server.doorman.begin(response, request.headers, client, secure=request.url.scheme == "https")
    return response
