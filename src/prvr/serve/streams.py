"""GET /v1/videos/{id}/stream, /thumb and /subtitles, POST .../proxy, /reveal and /open: the files themselves."""

from __future__ import annotations

import asyncio
import re
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, Response

from prvr.core.errors import VideoError
from prvr.core.files import there
from prvr.core.text import text_of
from prvr.serve.errors import ApiError, answers
from prvr.serve.libraries import told_job
from prvr.serve.requests import OpenRequest
from prvr.serve.schema import Job
from prvr.serve.state import Parts, Server, VideoId, address, here_only, known, while_there
from prvr.service import work
from prvr.service.jobs import Job as KeptJob
from prvr.service.machine import play, players, show
from prvr.service.media import PROXY_HEIGHT, need

router = APIRouter(prefix="/v1/videos/{video_id}", tags=["media"])
ASK_AGAIN = "private, no-cache"  # kept, but compared with what is there each time
FOREVER = "private, max-age=31536000, immutable"
RANGE = re.compile(r"bytes=(?=.*\d)[\d\s,-]+", re.ASCII)
ONE_RANGE = re.compile(r"\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII)


@router.get(
    "/stream",
    response_class=FileResponse,
    responses={
        200: {"content": {"video/mp4": {}, "video/webm": {}}, "description": "The file."},
        206: {"description": "The part of it that Range named."},
        304: {"description": "It is as it was."},
        **answers(404, 409, 410, 416, 422),
    },
    summary="Play a video",
)
@router.head("/stream", include_in_schema=False)
async def stream(request: Request, video_id: VideoId, server: Server) -> Response:
    """The file where browsers play it, else its proxy; 409 `needs_proxy` where there is none yet. With ranges."""
    file = await file_of(server, video_id)
    state, seen = await server.media.look(file)
    if state == "playable" and seen:
        return sent(request, file, seen.type)
    if state == "unreadable":
        raise unreadable(server, file, seen.problem if seen else "is no regular file")
    try:
        proxy = server.media.proxy(file)
    except VideoError:
        raise gone(text_of(file.name)) from None
    if proxy is None:
        why, how = "browsers do not play it as it is", "makes a copy"
        if seen and server.media.proxy_how(file) == "remuxed":
            why = f"browsers play its {seen.codec}, but not from {seen.container} or not with its sound"
            how = "copies it into an MP4, which takes seconds"
        message = f"{text_of(file.name)}: {why}; POST {address(video_id, '/proxy')} {how}"
        raise ApiError(409, "needs_proxy", message)
    return sent(request, proxy, "video/mp4")


@router.post(
    "/proxy",
    status_code=202,
    response_model=Job,
    responses={200: {"model": Job, "description": "It is there."}, **answers(404, 410, 422)},
    summary="Make a video playable",
)
async def make_proxy(video_id: VideoId, server: Server) -> Response:
    """A copy that browsers play, at most 480 lines high unless it can be had by copying; a job."""
    job = await copy_for_browsers(server, video_id)
    return told_job(job, 200 if job.status == "done" else 202)


async def copy_for_browsers(server: Parts, video_id: str) -> KeptJob:
    """That job; it is done where the copy is there. Raises ApiError."""
    file = await file_of(server, video_id)
    state, seen = await server.media.look(file)
    if state == "unreadable":
        raise unreadable(server, file, seen.problem if seen else "is no regular file")
    url = address(video_id, "/stream")
    try:
        made = file if state == "playable" else server.media.proxy(file)
        name = f"{need(file).key}.mp4"
    except VideoError:
        raise gone(text_of(file.name)) from None
    if made:
        return server.jobs.finished("proxy", {"url": url, "how": "there", "bytes": made.stat().st_size})
    place = server.media.cache.room("proxies", name)
    await asyncio.to_thread(server.media.cache.tidy)
    what = (file, place, PROXY_HEIGHT, server.media.largest_copy, url)
    asking = {"route": "proxy", "asked": {"video_id": video_id}}
    about = text_of(file.name)
    return server.jobs.start("proxy", work.proxy, *what, subject=str(place), about=about, asked=asking)


@router.get(
    "/thumb",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "A picture."}, **answers(404, 410, 422)},
    summary="A picture of a moment",
)
async def thumb(
    request: Request,
    video_id: VideoId,
    server: Server,
    t: Annotated[float, Query(ge=0, le=1e7, allow_inf_nan=False, description="Seconds; to a tenth.")] = 0.0,
    width: Annotated[int, Query(ge=64, le=1280, description="At most.")] = 320,
    v: Annotated[str | None, Query(max_length=40, description="As in `thumbnail_url`: then it never changes.")] = None,
) -> Response:
    """What is shown at that second, as JPEG; of a file that is gone, what was kept of it nearest to that."""
    file = (await known(server, video_id)).file(video_id)
    if file and not there(file) and (kept := await server.media.kept(file, t, width)):
        return Response(kept, media_type="image/jpeg", headers={"Cache-Control": ASK_AGAIN})
    file = await file_of(server, video_id)
    try:
        tag = server.media.tag(file)
        etag = f'"{tag[3:]}-{round(t, 1):g}-{width}"'
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={"ETag": etag})
        picture = await while_there(request, server.media.thumbnail(file, t, width))
    except VideoError as error:
        if not there(file):
            raise gone(text_of(file.name)) from None
        raise unreadable(server, file, str(error)) from None
    keep = FOREVER if v and tag == f"&v={v}" else ASK_AGAIN
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": keep, "ETag": etag})


@router.get(
    "/subtitles",
    response_class=Response,
    responses={200: {"content": {"text/vtt": {}}, "description": "WebVTT."}, **answers(404, 410)},
    summary="Subtitles",
)
async def subtitles(video_id: VideoId, server: Server) -> Response:
    """Of the files beside the video and the tracks inside it the first, as browsers read it."""
    file = await file_of(server, video_id)
    text = await asyncio.to_thread(server.media.spoken.webvtt, video_id, file)
    if text is None:
        message = f"{text_of(file.name)}: there are no subtitles beside it or inside it that can be read"
        raise ApiError(404, "no_subtitles", message)
    return Response(text, media_type="text/vtt", headers={"Cache-Control": ASK_AGAIN})


@router.post("/reveal", status_code=204, responses=answers(403, 404, 409, 410), summary="Show a file in its folder")
async def reveal(video_id: VideoId, server: Server) -> Response:
    """Opens the file manager of the machine that the server runs on. From loopback only, where `can_reveal` says so."""
    here_only(server, "folders are opened on the machine itself")
    file = await file_of(server, video_id)
    if not await asyncio.to_thread(show, file):
        raise ApiError(409, "no_file_manager", f"no file manager could be opened here; the file is {text_of(file)}")
    return Response(status_code=204)


@router.post("/open", status_code=204, responses=answers(403, 404, 409, 410), summary="Play a file in a player")
async def open_in_player(video_id: VideoId, asked: OpenRequest, server: Server) -> Response:
    """Opens mpv, VLC or IINA at a second, on the machine that the server runs on. From loopback only."""
    here_only(server, "players are opened on the machine itself: `prvr open`")
    file = await file_of(server, video_id)
    player = next((one for one in await asyncio.to_thread(players) if one.name == asked.player), None)
    if player is None:
        message = f"player: {asked.player!a} is not found here; GET /v1/libraries names those that are"
        raise ApiError(409, "no_player", message, param="player")
    if not await asyncio.to_thread(play, player, file, asked.at):
        raise ApiError(409, "no_player", f"{player.name} does not show {text_of(file)}; try it in a terminal")
    return Response(status_code=204)


async def file_of(server: Parts, video_id: str) -> Path:
    """The file that the index names for a video. Raises ApiError where there is none, or none any more."""
    holdings = await known(server, video_id)
    file = holdings.file(video_id)
    if file is None:
        raise ApiError(404, "features_only", "the library has features of this video, but no file")
    if not there(file):
        raise gone(text_of(file.name))
    return file


def gone(name: str) -> ApiError:
    """A file that the index names, but that is not there."""
    return ApiError(410, "video_missing", f"{name}: is not there any more; index the folder where it is now")


def unreadable(server: Parts, file: Path, problem: str) -> ApiError:
    """A file that cannot be read as a video; users of other machines see no folders."""
    message = problem if server.config.local else problem.replace(f"{file.parent}/", "")
    return ApiError(422, "video_unreadable", message)


def sent(request: Request, file: Path, kind: str, *, attachment: str | None = None) -> Response:
    """A file with ranges; 304 where the client has it, 416 outside it. A Range that makes no sense is not looked at."""
    try:
        found = file.stat()
    except OSError:
        raise gone(text_of(file.name)) from None
    response = FileResponse(
        file,
        media_type=kind,
        stat_result=found,
        filename=text_of(attachment or file.name),
        content_disposition_type="attachment" if attachment else "inline",
        headers={"Cache-Control": ASK_AGAIN},
    )
    if _unchanged(request, response, found.st_mtime):
        kept = {name: response.headers[name] for name in ("etag", "last-modified", "cache-control")}
        return Response(status_code=304, headers=kept)
    asked = request.headers.get("range")
    if asked is not None:
        sense = _sense(asked, found.st_size)
        if sense is None:
            request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] != b"range"]
        elif not sense:
            error = ApiError(416, "range_outside", f"the file has {found.st_size:,} bytes")
            error.headers = {"Content-Range": f"bytes */{found.st_size}"}
            raise error
    return response


def _unchanged(request: Request, response: Response, modified: float) -> bool:
    """Whether the client has the file as it is, by its tag, or where it sends none by its time."""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        return tags.strip() == "*" or response.headers["etag"] in [
            tag.strip().removeprefix("W/") for tag in tags.split(",")
        ]
    since = request.headers.get("if-modified-since")
    try:
        return since is not None and int(modified) <= parsedate_to_datetime(since).timestamp()
    except (ValueError, TypeError, OverflowError):
        return False


def _sense(asked: str, size: int) -> bool | None:
    """Whether a Range can be answered: None for one that is not to be looked at, False for one outside the file."""
    if not RANGE.fullmatch(asked) or asked.count(",") > 20:
        return None
    inside = False
    for part in asked.removeprefix("bytes=").split(","):
        found = ONE_RANGE.fullmatch(part)
        if found is None or found[0].strip() == "-" or not any(found.groups()):
            return None
        first, last = found.groups()
        if first and last and int(first) > int(last):
            return None
        if (int(first) >= size) if first else not int(last):
            return False  # one of several that is outside makes all of them wrong, as FileResponse has it
        inside = True
    return inside
