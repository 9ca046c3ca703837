"""POST /v1/exports, GET /v1/exports/{id}/file: moments as files that other programs read."""

from __future__ import annotations

import asyncio
import mimetypes
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from starlette.responses import FileResponse, Response

from prvr.core.files import there
from prvr.core.text import text_of
from prvr.core.types import Hit
from prvr.serve.below import below
from prvr.serve.errors import ApiError, answers
from prvr.serve.libraries import Key, Repeat, kept, repeated, told_job
from prvr.serve.requests import ExportClip, ExportRequest
from prvr.serve.schema import Job
from prvr.serve.state import Parts, Server, known
from prvr.serve.streams import gone, sent
from prvr.service import work
from prvr.service.jobs import Job as KeptJob
from prvr.service.saving import BY_NAME, FILMS, ONE_BY_ONE, REELS, name_of, save, spans_of

router = APIRouter(prefix="/v1/exports", tags=["exports"])
KINDS = {
    ".edl": "text/plain",
    ".otio": "application/json",
    ".fcpxml": "application/xml",
    ".xml": "application/xml",
    ".vtt": "text/vtt",
    ".csv": "text/csv",
}


@router.post(
    "",
    status_code=202,
    response_model=Job,
    responses=answers(400, 404, 409, 410, 422),
    summary="Save moments as a file",
)
async def make_export(asked: ExportRequest, server: Server, key: Key = None) -> Response:
    """A job, whose result names the file: tables and lists at once, films as soon as they are cut.

    Several clips of .mp4 or .webm are one .zip, of .reel.mp4 or .reel.webm one film. A .vtt and a .markers.edl are of
    one video.
    """
    return told_job(await save_moments(server, asked, repeated(key, asked)), 202)


async def save_moments(server: Parts, asked: ExportRequest, repeat: Repeat = None) -> KeptJob:
    """That job. Raises ApiError, PrvrError."""
    if before := server.jobs.repeated(repeat):
        return before
    hits = await _hits(server, asked)
    export_id = uuid4().hex
    name = name_of(asked.query, asked.format, len(asked.clips))
    url = below(f"/v1/exports/{export_id}/file")
    place = await asyncio.to_thread(server.media.cache.room, "exports", f"{export_id}/{name}")
    await asyncio.to_thread(server.media.cache.tidy)
    wider = {"before_s": asked.before_s, "after_s": asked.after_s}
    if asked.format in FILMS + REELS:
        what = (spans_of(hits, **wider), place, f".{asked.format}", url, name, asked.fast)
        asking = kept("exports", asked)
        return server.jobs.start("export", work.cut_clips, *what, about=name, asked=asking, repeat=repeat)
    size = await asyncio.to_thread(save, hits, place, query=asked.query, **wider)
    result = {"url": url, "name": name, "bytes": size}
    return server.jobs.finished("export", result, repeat=repeat)


@router.get(
    "/{export_id}/file",
    response_class=FileResponse,
    responses={200: {"description": "The file, as an attachment."}, **answers(404, 416)},
    summary="Get an export",
)
async def export_file(
    request: Request, export_id: Annotated[str, InPath(pattern="^[0-9a-f]{32}$")], server: Server
) -> Response:
    """Kept until its room is needed."""
    found = await asyncio.to_thread(server.media.export, export_id)
    if found is None:
        raise ApiError(404, "export_unknown", "no such export; it may have made room for others: export again")
    server.media.cache.touch(found)
    kind = KINDS.get(found.suffix) or mimetypes.guess_type(found.name)[0] or "application/octet-stream"
    return sent(request, found, kind, attachment=found.name)


async def _hits(server: Parts, asked: ExportRequest) -> list[Hit]:
    """The clips as `search.export` takes them. Raises ApiError for a video that is not there."""
    groups: dict[object, list[ExportClip]] = {}
    for number, clip in enumerate(asked.clips):
        groups.setdefault(number if asked.format in ONE_BY_ONE else clip.video_id, []).append(clip)
    hits = []
    for clips in groups.values():
        first = clips[0]
        holdings = await known(server, first.video_id)
        file = holdings.file(first.video_id)
        if asked.format not in BY_NAME:
            if file is None:
                raise ApiError(404, "features_only", f"{first.video_id}: the library has features of it, but no file")
            if not there(file):
                raise gone(text_of(file.name))
        hits.append(
            Hit(
                video_id=first.video_id,
                score=first.score,
                moments=tuple((clip.start, clip.end) for clip in clips),
                duration_s=holdings.facts[first.video_id].duration_s,
                path=file and file.absolute(),
                confidence=first.confidence,
            )
        )
    return hits
