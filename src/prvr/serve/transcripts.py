"""GET /v1/videos/{id}/transcript, as lines or as a file: what is said in one video."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from fastapi import APIRouter
from starlette.responses import Response

from prvr.core.text import text_of
from prvr.serve.errors import ApiError, answers
from prvr.serve.schema import Transcript, TranscriptLine
from prvr.serve.state import Server, VideoId, known, told
from prvr.service.transcripts import as_file, said_in

router = APIRouter(prefix="/v1/videos/{video_id}", tags=["media"])
KINDS = {"srt": "application/x-subrip", "vtt": "text/vtt"}


@router.get("/transcript", response_model=Transcript, responses=answers(404), summary="What is said in a video")
async def transcript(video_id: VideoId, server: Server) -> Response:
    """Line by line: its subtitles, or what was heard where it has none; of a file that is gone, what was heard."""
    file = (await known(server, video_id)).file(video_id)
    said = await asyncio.to_thread(said_in, server.media.spoken, video_id, file)
    lines = [TranscriptLine(start=round(one.start_s, 3), end=round(one.end_s, 3), text=one.text) for one in said.cues]
    return told(Transcript(video_id=video_id, source=said.source, language=said.language, lines=lines))


@router.get(
    "/transcript/{form}",
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in KINDS.values()}, "description": "A file."}, **answers(404)},
    summary="What is said in a video, as a file of subtitles",
)
async def transcript_file(video_id: VideoId, form: Literal["srt", "vtt"], server: Server) -> Response:
    """As broadcasters have it: at most two lines of 42 letters at a time."""
    file = (await known(server, video_id)).file(video_id)
    said = await asyncio.to_thread(said_in, server.media.spoken, video_id, file)
    if not said.cues:
        message = f"{text_of(file.name) if file else video_id}: nothing that is said in it is known"
        raise ApiError(404, "no_subtitles", message)
    name = f"{Path(text_of(file.name) if file else video_id).stem}.{form}"
    found = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
    return Response(as_file(said, form), media_type=KINDS[form], headers=found)
