"""GET and POST /v1/failures, DELETE /v1/failures/{id}, GET /v1/failures.csv: what could not be read, and what next."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from starlette.responses import Response

from prvr.serve.asking import digest, start_of, token_of
from prvr.serve.errors import ApiError, answers
from prvr.serve.libraries import Key, Repeat, kept, repeated, told_job
from prvr.serve.requests import RetryRequest
from prvr.serve.schema import Failure, Failures, Job
from prvr.serve.state import Parts, Server, alone, here_only, told
from prvr.service import work
from prvr.service.jobs import Job as KeptJob
from prvr.service.unread import Unread, table, unread
from prvr.service.unread import ignore as ignored

router = APIRouter(prefix="/v1", tags=["library"])
UNKNOWN = "no such failure; the file may have been read meanwhile: GET /v1/failures lists them"


@router.get("/failures", response_model=Failures, responses=answers(400), summary="List what could not be read")
async def failures(
    server: Server,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    page_token: Annotated[str | None, Query(max_length=400)] = None,
) -> Response:
    """Kept until it is read, ignored, or gone and pruned. Others than this machine's users see names, no folders."""
    known = await _unread(server)
    ours = [one for one in known if not one.ignored]
    fits = digest("failures")
    start = start_of(page_token, fits, deepest=len(ours) + 1) if page_token else 0
    end = start + limit
    return told(
        Failures(
            data=[_failure(one) for one in ours[start:end]],
            has_more=end < len(ours),
            next_page_token=token_of(end, fits) if end < len(ours) else None,
            num_failures=len(ours),
            num_ignored=len(known) - len(ours),
        )
    )


@router.post(
    "/failures", status_code=202, response_model=Job, responses=answers(403, 404, 409), summary="Try failures again"
)
async def retry(asked: RetryRequest, server: Server, key: Key = None) -> Response:
    """Some of them, or all: a job like that of `POST /v1/libraries`. From loopback only.

    Those that are gone are dropped.
    """
    return told_job(await try_again(server, asked, repeated(key, asked)), 202)


async def try_again(server: Parts, asked: RetryRequest, repeat: Repeat = None) -> KeptJob:
    """That job. Raises ApiError."""
    here_only(server, "files are read on the machine itself: `prvr index --retry`")
    known = await _unread(server)
    ours = [one.id for one in known if not one.ignored]
    ids = sorted(set(asked.ids)) or ours
    if not ids or not set(ids) <= {one.id for one in known}:
        raise ApiError(404, "failure_unknown", UNKNOWN, param="ids")
    config = server.config
    none: list[Path] = []
    what = (none, config.folder, config.encoder, config.device, False, (), ids)
    asking = kept("failures", asked)
    return server.jobs.start("index", work.index_folder, *what, subject=f"retry {ids}", asked=asking, repeat=repeat)


@router.delete("/failures/{failure_id}", status_code=204, responses=answers(404, 409), summary="Ignore a failure")
async def ignore(failure_id: Annotated[str, InPath(min_length=1, max_length=64)], server: Server) -> Response:
    """The file is not tried again until it changes, is named, or `prvr index --retry` asks for it."""
    with alone(server):
        if not await asyncio.to_thread(ignored, server.config.folder, failure_id):
            raise ApiError(404, "failure_unknown", UNKNOWN, param="failure_id")
    return Response(status_code=204)


@router.get(
    "/failures.csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}, "description": "A table, as an attachment."}},
    summary="What could not be read, as a table",
)
async def failures_csv(server: Server) -> Response:
    """All of it, the ignored too."""
    text = table(await _unread(server))
    headers = {"Content-Disposition": 'attachment; filename="prvr-failures.csv"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


def _failure(one: Unread) -> Failure:
    return Failure(id=one.id, file=one.file, stage=one.stage, reason=one.reason, failed_at=one.time)


async def _unread(server: Parts) -> list[Unread]:
    """Others than this machine's users see no folders."""
    return await asyncio.to_thread(unread, server.config.folder, hidden=not server.config.local)
