"""POST /v1/session: the page's way in on another machine. Pictures and players cannot send a header, but a cookie."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from prvr.serve.below import below
from prvr.serve.requests import SessionRequest
from prvr.serve.state import Server

DAYS = 30
router = APIRouter(prefix="/v1", tags=["session"])


@router.post("/session", status_code=204, summary="Open the page")
async def session(request: Request, asked: SessionRequest, server: Server) -> Response:
    """Keeps the token as a cookie that scripts cannot read and that other sites' pages do not send."""
    client = request.client.host if request.client else ""
    await server.doorman.check(asked.token, client)
    response = Response(status_code=204)
    if not server.config.open:
        secure = request.url.scheme == "https"
        response.set_cookie(
            server.doorman.cookie,
            asked.token,
            max_age=DAYS * 86_400,
            path=below("/"),
            httponly=True,
            samesite="strict",
            secure=secure,
        )
    return response
