"""GET /v1/folders, PATCH and DELETE /v1/folders/{id}, GET /v1/places: where the videos come from."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from starlette.responses import Response

from prvr.serve.errors import answers
from prvr.serve.requests import WatchRequest
from prvr.serve.schema import Folder, Folders, Place
from prvr.serve.state import Parts, Server, alone, here_only, told
from prvr.service.desk import NothingIndexed
from prvr.service.folders import HeldFolder, chosen, held, keep_watched, look
from prvr.service.machine import whole_path

router = APIRouter(prefix="/v1", tags=["library"])
FolderId = Annotated[str, InPath(min_length=1, max_length=40)]
HERE = "folders are kept on the machine itself: `prvr index PATH` there"


@router.get("/folders", response_model=Folders, summary="The folders of the library")
async def folders(server: Server) -> Response:
    """Each with its videos, what they weigh, and when it was read."""
    return told(Folders(data=[_folder(one, open_=server.config.local) for one in await _held(server)]))


@router.patch(
    "/folders/{folder_id}", response_model=Folder, responses=answers(403, 404), summary="Watch a folder, or no more"
)
async def watch(folder_id: FolderId, asked: WatchRequest, server: Server) -> Response:
    """What is new or changed in a watched folder is read as soon as it is quiet there. From loopback only."""
    here_only(server, HERE)
    one = chosen(await _held(server), folder_id)
    await asyncio.to_thread(keep_watched, server.config.folder, one, asked.watched)
    await server.watch.follow()
    return told(_folder(chosen(await _held(server), folder_id), open_=True))


@router.delete(
    "/folders/{folder_id}", status_code=204, responses=answers(403, 404, 409), summary="Take a folder out of the index"
)
async def remove_folder(folder_id: FolderId, server: Server) -> Response:
    """With all its videos; the files stay where they are. From loopback only."""
    here_only(server, HERE)
    one = chosen(await _held(server), folder_id)
    with alone(server):
        await server.desk.forget_folder(one.source.path, one.video_ids)
    await server.watch.follow()
    return Response(status_code=204)


@router.get("/places", response_model=Place, responses=answers(403, 422), summary="Look for a folder to add")
async def places(server: Server, path: Annotated[str | None, Query(min_length=1, max_length=4096)] = None) -> Response:
    """A folder of the server's machine, first the home folder: never one outside of `roots`. From loopback only."""
    here_only(server, HERE)
    roots = server.config.roots
    found = await asyncio.to_thread(lambda: look(whole_path(path) if path else roots[0], roots))
    return told(
        Place(
            path=str(found.path),
            parent=str(found.parent) if found.parent else None,
            roots=[str(root.resolve()) for root in roots],
            folders=[str(folder) for folder in found.folders],
            num_videos=found.num_videos,
            has_more=found.more,
        )
    )


async def _held(server: Parts) -> list[HeldFolder]:
    try:
        holdings = await server.desk.holdings()
    except NothingIndexed:
        holdings = None
    return await asyncio.to_thread(held, server.config.folder, holdings)


def _folder(one: HeldFolder, *, open_: bool) -> Folder:
    path = one.source.path
    return Folder(
        id=one.id,
        path=str(path) if open_ else path.name,
        num_videos=len(one.video_ids),
        num_missing=one.num_missing,
        duration_s=round(one.duration_s, 3),
        bytes=one.bytes,
        read_at=one.source.read_at,
        watched=one.source.watched,
        exclude=list(one.source.exclude),
        there=one.there,
    )
