"""POST /v1/jobs/{id}/resume: go on with what the end of the server broke off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.responses import Response

from prvr.serve.errors import ApiError, answers
from prvr.serve.exports import save_moments
from prvr.serve.failures import try_again
from prvr.serve.libraries import read_folder, told_job
from prvr.serve.models import bring
from prvr.serve.requests import ExportRequest, LibraryRequest, ModelRequest, RetryRequest
from prvr.serve.schema import Job
from prvr.serve.state import Parts, Server
from prvr.serve.streams import copy_for_browsers
from prvr.service.jobs import Job as KeptJob

router = APIRouter(prefix="/v1", tags=["jobs"])


@router.post(
    "/jobs/{job_id}/resume",
    status_code=202,
    response_model=Job,
    responses=answers(403, 404, 409, 410),
    summary="Go on with a job",
)
async def resume_job(job_id: str, server: Server) -> Response:
    """One that is `interrupted`: it is asked for again, under the same rules, as a job of its own.

    What it had finished is not done again.
    """
    before = server.jobs.get(job_id)
    if before.status != "interrupted" or before.asked is None:
        raise ApiError(409, "not_interrupted", f"this job is {before.status}; only one that was interrupted goes on")
    job = await _again(server, before.asked)
    server.jobs.cancel(job_id)
    return told_job(job, 202)


async def _again(server: Parts, kept: Mapping[str, Any]) -> KeptJob:
    """What was asked, asked again. Raises ApiError, PrvrError."""
    route, asked = kept.get("route"), kept.get("asked")
    try:
        if route == "libraries":
            return await read_folder(server, LibraryRequest.model_validate(asked))
        if route == "failures":
            return await try_again(server, RetryRequest.model_validate(asked))
        if route == "models":
            return await bring(server, ModelRequest.model_validate(asked))
        if route == "exports":
            return await save_moments(server, ExportRequest.model_validate(asked))
        if route == "proxy" and isinstance(asked, dict):
            return await copy_for_browsers(server, str(asked.get("video_id")))
    except ValidationError:
        pass
    raise ApiError(409, "not_interrupted", "what was asked is not known any more; ask for it anew")
