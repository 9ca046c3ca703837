"""GET /v1/libraries, GET /v1/videos, GET, PATCH and DELETE /v1/videos/{id}: what there is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from prvr.core.errors import OtherFile
from prvr.core.types import EncoderSpec
from prvr.serve.asking import digest, start_of, token_of
from prvr.serve.errors import ApiError, answers
from prvr.serve.libraries import shown
from prvr.serve.requests import LocateRequest
from prvr.serve.schema import EncoderInfo, Job, Libraries, Library, OnShelf, Problem, Video, Videos
from prvr.serve.state import Parts, Server, VideoId, address, alone, here_only, known, told
from prvr.service.desk import NothingIndexed
from prvr.service.folders import chosen, held
from prvr.service.holdings import Holdings, Order, name_of
from prvr.service.machine import players, programs, whole_path
from prvr.service.unread import unread

router = APIRouter(prefix="/v1", tags=["library"])
LIMITS = (
    "This demo model understands only the generated demo videos. To search your own, index them with a general model."
)


@router.get("/libraries", response_model=Libraries, summary="The library")
async def libraries(server: Server) -> Response:
    """The one library that is searched at this address, none before the first index; and where the others are."""
    job = server.jobs.active("index") or server.jobs.interrupted("index")
    indexing = shown(job) if job else None
    failed = await asyncio.to_thread(unread, server.config.folder)
    count = sum(not one.ignored for one in failed)
    shelf = [
        OnShelf(name=one.name, url=f"{one.path}/", here=one.path == server.config.root_path) for one in server.shelf
    ]
    found = partial(Libraries, shelf=shelf, indexing=indexing, num_failures=count, can_add=server.config.local)
    try:
        holdings = await server.desk.holdings()
    except NothingIndexed:
        return told(found(data=[], needs_model=server.config.encoder is None))
    gone = await server.absent.of(holdings, soon=True)
    return told(found(data=[_library(server, holdings, len(gone), indexing)]))


@router.get("/videos", response_model=Videos, responses=answers(400, 404), summary="List the videos")
async def videos(
    server: Server,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    page_token: Annotated[str | None, Query(max_length=400)] = None,
    path: Annotated[str | None, Query(min_length=1, max_length=500, description="A part of it, or a pattern.")] = None,
    folder: Annotated[str | None, Query(min_length=1, max_length=40, description="The id of a folder.")] = None,
    sort: Order = "name",
    missing_only: Annotated[bool, Query(alias="missing", description="Only those whose files are gone.")] = False,
) -> Response:
    """All of them, a page at a time."""
    holdings = await server.desk.holdings()
    fits = digest(("videos", path, folder, sort, missing_only))
    start = start_of(page_token, fits, deepest=len(holdings.facts) + 1) if page_token else 0
    of = await server.absent.of(holdings) if missing_only else None
    if folder:
        ours = chosen(await asyncio.to_thread(held, server.config.folder, holdings), folder).video_ids
        of = frozenset(ours) if of is None else of & frozenset(ours)
    listed = holdings.listed(path=path, order=sort, of=of)
    page, end = listed[start : start + limit], start + limit
    data = await asyncio.to_thread(lambda: [_video(server, holdings, one) for one in page])
    more = end < len(listed)
    return told(
        Videos(data=data, has_more=more, next_page_token=token_of(end, fits) if more else None, num_videos=len(listed))
    )


@router.get("/videos/{video_id}", response_model=Video, responses=answers(404), summary="One video")
async def video(video_id: VideoId, server: Server) -> Response:
    """What is known of it; its file is opened if that was not done before."""
    holdings, notes = await known(server, video_id), []
    if file := holdings.file(video_id):
        await server.media.look(file)
        notes = await asyncio.to_thread(server.media.notes, video_id, file)
    return told(await asyncio.to_thread(_video, server, holdings, video_id, notes))


@router.patch(
    "/videos/{video_id}",
    response_model=Video,
    responses=answers(403, 404, 409),
    summary="Say where the file of a video is now",
)
async def locate(video_id: VideoId, asked: LocateRequest, server: Server) -> Response:
    """It must be the file that was read: as long, and last changed when. Nothing is read again. From loopback only."""
    here_only(server, "files are located on the machine itself: `prvr index` of their new folder")
    holdings = await known(server, video_id)
    path = await asyncio.to_thread(whole_path, asked.path)
    twin = await asyncio.to_thread(holdings.twin, path, video_id)
    if twin is not None:
        message = f"{path}: is in the index already, as {twin}; give another path, or take {video_id} out"
        raise ApiError(409, "other_file", message, param="path")
    with alone(server):
        try:
            await server.desk.relocate(video_id, path)
        except OtherFile as error:
            raise ApiError(409, "other_file", str(error), param="path") from error
    return await video(video_id, server)


@router.delete(
    "/videos/{video_id}", status_code=204, responses=answers(404, 409), summary="Take a video out of the index"
)
async def remove(video_id: VideoId, server: Server) -> Response:
    """Its file stays where it is."""
    await known(server, video_id)
    with alone(server):
        await server.desk.forget(video_id)
    return Response(status_code=204)


def _library(server: Parts, holdings: Holdings, num_missing: int, indexing: Job | None) -> Library:
    facts, spec, folder = holdings.facts.values(), holdings.encoder, holdings.folder.absolute()
    return Library(
        id="default",
        name=name_of(folder),
        folder=str(folder) if server.config.local else None,
        num_videos=len(facts),
        num_missing=num_missing,
        duration_s=round(sum(one.duration_s for one in facts), 3),
        model=holdings.model,
        encoder=EncoderInfo(
            name=spec.name,
            fingerprint=spec.fingerprint,
            domain=spec.domain,
            limits=limits(spec),
        ),
        calibrated=holdings.calibrated,
        pictures=holdings.pictures,
        media=any(one.path for one in facts),
        examples=list(holdings.examples),
        tags=sorted({tag for one in facts for tag in one.tags}),
        problems=[_problem(line, open_=server.config.local) for line in holdings.problems],
        indexing=indexing,
        generation=holdings.generation,
        bytes=holdings.num_bytes,
        can_add=server.config.local,
        can_reveal=server.config.local and bool(programs(folder)),
        players=[one.name for one in players()] if server.config.local else [],
    )


def limits(spec: EncoderSpec) -> str:
    """What a model does not know, in a sentence; nothing of a general one."""
    if spec.domain == "general":
        return ""
    return LIMITS if spec.name == "world" else f"This model knows {spec.domain}."


def _problem(line: str, *, open_: bool) -> Problem:
    """`path: what is wrong` in two parts; others than this machine's users see no folders."""
    file, _, reason = line.partition(": ")
    hidden = "is on nodes that do not all answer" if "://" in file else "is damaged"
    return Problem(file=file if open_ else file.rpartition("/")[2], reason=reason if open_ else hidden)


def _video(server: Parts, holdings: Holdings, video_id: str, notes: Sequence[str] = ()) -> Video:
    facts, file = holdings.facts[video_id], holdings.file(video_id)
    shape, (state, tag) = server.media.shape(file), server.media.glance(file)
    spoken = file is not None and server.media.spoken.is_any(video_id, file)
    return Video(
        id=video_id,
        name=holdings.name(video_id),
        path=holdings.path(video_id),
        duration_s=round(facts.duration_s, 3),
        modified=facts.modified,
        tags=list(facts.tags),
        state=state,
        thumbnail_url=address(video_id, f"/thumb?t={round(facts.duration_s / 2, 1):g}{tag}"),
        stream_url=address(video_id, "/stream"),
        subtitles_url=address(video_id, "/subtitles") if spoken else None,
        width=shape.width if shape else None,
        height=shape.height if shape else None,
        codec=shape.codec if shape else None,
        container=(shape.container or None) if shape else None,
        proxy_how=server.media.proxy_how(file),
        notes=list(notes),
    )
