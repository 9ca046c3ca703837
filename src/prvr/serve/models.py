"""GET and POST /v1/models: what can understand pictures and sentences, and how to get it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from prvr.core.text import text_of
from prvr.serve.errors import answers
from prvr.serve.libraries import Key, Repeat, kept, repeated, shown, told_job
from prvr.serve.requests import ModelRequest
from prvr.serve.schema import Job, Model, Models
from prvr.serve.state import Parts, Server, here_only, told
from prvr.service import work
from prvr.service.jobs import Job as KeptJob
from prvr.service.machine import whole_path
from prvr.service.models import offered

router = APIRouter(prefix="/v1", tags=["library"])


@router.get("/models", response_model=Models, summary="The models that are known")
async def models(server: Server) -> Response:
    """Those for people's own videos, the recommended one first; what is chosen serves the next new library."""
    job = server.jobs.active("model") or server.jobs.interrupted("model")
    data = [Model(**one._asdict()) for one in await asyncio.to_thread(offered)]
    return told(Models(data=data, coming=shown(job) if job else None))


@router.post(
    "/models", status_code=202, response_model=Job, responses=answers(400, 403, 409, 422), summary="Use a model"
)
async def bring_model(asked: ModelRequest, server: Server, key: Key = None) -> Response:
    """Fetches it if it is not on this machine, or copies it from a folder; a job. From loopback only.

    The network is used for this alone. Stopped at any moment, it goes on from there next time.
    """
    return told_job(await bring(server, asked, repeated(key, asked)), 202)


async def bring(server: Parts, asked: ModelRequest, repeat: Repeat = None) -> KeptJob:
    """That job. Raises ApiError, PrvrError."""
    here_only(server, "models are brought on the machine itself: `prvr models get NAME`")
    path = await asyncio.to_thread(whole_path, asked.path) if asked.path else None
    what = (asked.name, path)
    return server.jobs.start(
        *("model", work.bring_model, *what),
        subject=f"model {what}",
        about=asked.name or text_of(Path(asked.path).name),
        asked=kept("models", asked),
        repeat=repeat,
    )
