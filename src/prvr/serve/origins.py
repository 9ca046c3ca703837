"""POST /v1/locate: which film a clip or a picture comes from."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from prvr.serve.errors import answers
from prvr.serve.schema import Told
from prvr.serve.state import Parts, Server, address, told, while_there
from prvr.service.holdings import Holdings
from prvr.service.tracing import ClipPlace, clip_places

router = APIRouter(prefix="/v1", tags=["search"])
KINDS = ("video/*", "image/*")


class ClipOrigin(Told):
    """Where a clip comes from."""

    rank: int
    video_id: str
    name: str
    path: str
    start: float = Field(description="Second of the film's clock at which the clip begins.")
    end: float
    alike: float = Field(description="Correlation of the clip's pictures with the film's; 1 is the highest.")
    mirrored: bool
    thumbnail_url: str
    stream_url: str


class UnseenFilm(Told):
    """A film that a clip may be from, and that cannot be looked at."""

    video_id: str
    name: str
    about_s: float = Field(description="Where in it, by the index alone.")


class ClipOrigins(Told):
    """Where a clip comes from, best first; nowhere where it is from none of the films that can be looked at."""

    object: Literal["clip_origins"] = "clip_origins"
    data: list[ClipOrigin]
    unseen: list[UnseenFilm]


@router.post(
    "/locate",
    response_model=ClipOrigins,
    responses=answers(400),
    summary="Which film a clip comes from",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in KINDS},
        }
    },
)
async def locate_clip(request: Request, server: Server) -> Response:
    """The body is a clip, of which 20 seconds are looked at, or a picture. The films' own pictures are compared."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "clip"
        with file.open("wb") as out:
            async for part in request.stream():
                out.write(part)
        found = await while_there(request, clip_places(server.desk, file))
    return told(
        ClipOrigins(
            data=[_origin(server, found.holdings, rank, one) for rank, one in enumerate(found.places, 1)],
            unseen=[
                UnseenFilm(video_id=video_id, name=found.holdings.name(video_id), about_s=about_s)
                for video_id, about_s in found.unseen.items()
            ],
        )
    )


def _origin(server: Parts, holdings: Holdings, rank: int, one: ClipPlace) -> ClipOrigin:
    middle, tag = round((one.start_s + one.end_s) / 2, 1), server.media.tag(one.path)
    return ClipOrigin(
        rank=rank,
        video_id=one.video_id,
        name=holdings.name(one.video_id),
        path=holdings.path(one.video_id),
        start=round(one.start_s, 3),
        end=round(one.end_s, 3),
        alike=round(one.alike, 3),
        mirrored=one.mirrored,
        thumbnail_url=address(one.video_id, f"/thumb?t={middle:g}{tag}"),
        stream_url=address(one.video_id, "/stream"),
    )
