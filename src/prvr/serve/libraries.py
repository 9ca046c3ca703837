"""POST /v1/libraries, and the jobs: what takes longer than an answer, how far it is, and how to stop it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse

from prvr.core.text import text_of
from prvr.serve.below import below
from prvr.serve.errors import answers
from prvr.serve.requests import LibraryRequest
from prvr.serve.schema import ErrorBody, Job, Jobs, Progress
from prvr.serve.security import Guest
from prvr.serve.state import Parts, Server, here_only, told
from prvr.service import jobs, work
from prvr.service.folders import inside, read_before
from prvr.service.jobs import HEARTBEAT_S
from prvr.service.machine import whole_path
from prvr.service.unfinished import Asked

router = APIRouter(prefix="/v1", tags=["jobs"])
Repeat = tuple[str, str] | None
Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=200, description="The same key with the same body is the same job."),
]


@router.post(
    "/libraries",
    status_code=202,
    response_model=Job,
    responses=answers(400, 403, 409),
    summary="Read a folder into the library",
)
async def add_folder(asked: LibraryRequest, server: Server, key: Key = None) -> Response:
    """Every video below a folder of this machine, what was read before excepted; a job. From loopback only.

    What is read can be searched while the rest is. Stopped at any moment, it goes on from there next time.
    """
    return told_job(await read_folder(server, asked, repeated(key, asked)), 202)


async def read_folder(server: Parts, asked: LibraryRequest, repeat: Repeat = None) -> jobs.Job:
    """That job. Raises ApiError, PrvrError."""
    here_only(server, "folders are added on the machine itself: `prvr index PATH`")
    path = await asyncio.to_thread(whole_path, asked.path)
    await asyncio.to_thread(inside, path, [*server.config.roots, *read_before(server.config.folder)])
    config = server.config
    what = ([path], config.folder, config.encoder or asked.model, config.device, asked.prune, asked.tags)
    return server.jobs.start(
        *("index", work.index_folder, *what),
        subject=f"index {what}",
        about=text_of(path.name),
        asked=kept("libraries", asked),
        repeat=repeat,
    )


@router.get("/jobs", response_model=Jobs, summary="List the jobs")
async def list_jobs(server: Server) -> Response:
    """Those that wait or run, and the last ones that ended, newest first."""
    return told(Jobs(data=[shown(job) for job in server.jobs.all()]))


@router.get("/jobs/{job_id}", response_model=Job, responses=answers(404), summary="One job")
async def one_job(job_id: str, server: Server) -> Response:
    """How far it is, or how it ended."""
    return told_job(server.jobs.get(job_id))


@router.delete("/jobs/{job_id}", response_model=Job, responses=answers(404), summary="Stop a job")
async def cancel_job(job_id: str, server: Server) -> Response:
    """What it has finished stays. It is `cancelled` when its process has stopped; one that was broken off, at once."""
    return told_job(server.jobs.cancel(job_id))


@router.get(
    "/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}, **answers(404)},
    summary="Follow a job",
)
async def job_events(request: Request, job_id: str, server: Server) -> Response:
    """`progress` with the job whenever something changed, `end` with the job as it ended; then the stream ends."""
    server.jobs.get(job_id)
    return StreamingResponse(
        _events(server, job_id, request.scope["state"]["guest"]),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def read_again(server: Parts, path: Path) -> None:
    """A folder is read into the library once nothing else is, to the end of that job or of the server."""
    while not server.stopping.is_set():
        if busy := server.jobs.active("index"):
            job, mine = busy, False
        else:
            config = server.config
            what = ([path], config.folder, config.encoder, config.device, False, ())
            job, mine = server.jobs.start("index", work.index_folder, *what, subject=f"index {what}"), True
        async for _ in server.jobs.follow(job.id, stopping=server.stopping):
            pass
        if mine:
            return


def told_job(job: jobs.Job, status: int = 200) -> Response:
    """A job as an answer."""
    return told(shown(job), status)


def shown(job: jobs.Job) -> Job:
    """A job as the API shows it."""
    return Job(
        id=job.id,
        kind=job.kind,
        about=job.about,
        status=job.status,
        progress=Progress(**asdict(job.progress), eta_s=job.eta_s),
        error=ErrorBody(**asdict(job.error)) if job.error else None,
        result=None if job.result is None else dict(job.result),
        created_at=job.created_at,
        url=below(f"/v1/jobs/{job.id}"),
        events_url=below(f"/v1/jobs/{job.id}/events"),
    )


def kept(route: str, asked: BaseModel) -> Asked:
    """What was asked, as it is kept until the job has ended."""
    return {"route": route, "asked": asked.model_dump(mode="json")}


def repeated(key: str | None, asked: BaseModel) -> Repeat:
    """An Idempotency-Key and what was asked with it."""
    if not key:
        return None
    text = f"{type(asked).__name__} {asked.model_dump_json()}"
    return key, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


async def _events(server: Parts, job_id: str, guest: Guest) -> AsyncIterator[str]:
    """The stream ends with the job, with the server, or with the session of whoever listens."""
    async for job in server.jobs.follow(job_id, stopping=server.stopping, heartbeat_s=HEARTBEAT_S):
        if not server.doorman.still(guest):
            return
        if job is None:
            yield ": still there\n\n"
        else:
            text = shown(job).model_dump_json()
            yield f"event: {'end' if job.ended else 'progress'}\ndata: {text}\n\n"
