"""GET and POST /v1/models: what can understand pictures and sentences, and how to get it."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from starlette.responses import Response

from prvr.serve.errors import answers
from prvr.serve.libraries import Key, repeated, shown, told_job
from prvr.serve.requests import ModelRequest
from prvr.serve.schema import Job, Model, Models
from prvr.serve.state import Server, here_only, told
from prvr.service import work
from prvr.service.machine import whole_path
from prvr.service.models import offered

router = APIRouter(prefix="/v1", tags=["library"])


@router.get("/models", response_model=Models, summary="The models that are known")
async def models(server: Server) -> Response:
    """Those for people's own videos, the recommended one first; what is chosen serves the next new library."""
    job = server.jobs.active("model")
    data = [Model(**one._asdict()) for one in await asyncio.to_thread(offered)]
    return told(Models(data=data, coming=shown(job) if job else None))


@router.post(
    "/models", status_code=202, response_model=Job, responses=answers(400, 403, 409, 422), summary="Use a model"
)
async def bring_model(asked: ModelRequest, server: Server, key: Key = None) -> Response:
    """Fetches it if it is not on this machine, or copies it from a folder; a job. From loopback only.

    The network is used for this alone. Stopped at any moment, it goes on from there next time.
    """
    here_only(server, "models are brought on the machine itself: `prvr models get NAME`")
    path = await asyncio.to_thread(whole_path, asked.path) if asked.path else None
    what = (asked.name, path)
    job = server.jobs.start("model", work.bring_model, *what, subject=f"model {what}", repeat=repeated(key, asked))
    return told_job(job, 202)
