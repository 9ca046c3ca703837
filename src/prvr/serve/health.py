"""GET /healthz, /readyz, /metrics: for those who watch over the server."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from prvr.serve.errors import answers
from prvr.serve.schema import Health
from prvr.serve.state import Server, told

router = APIRouter(tags=["health"])


@router.get("/healthz", response_model=Health, summary="Whether the server runs")
async def healthz() -> Response:
    """Always ok."""
    return told(Health(status="ok"))


@router.get("/readyz", response_model=Health, responses=answers(503), summary="Whether it can answer")
async def readyz(server: Server) -> Response:
    """503 while nothing can be searched; the error says why."""
    holdings = await server.desk.holdings()
    return told(Health(status="ok", num_videos=len(holdings.facts)))


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Counters."}},
    summary="Counters for Prometheus",
)
async def metrics(server: Server) -> Response:
    """In its text format."""
    return Response(server.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
