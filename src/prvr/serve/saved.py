"""GET and POST /v1/saved, GET and DELETE /v1/saved/{id}: searches that are kept, and what is new in them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from pydantic import Field
from starlette.responses import Response

from prvr.core import types
from prvr.serve.asking import request_of
from prvr.serve.errors import ApiError, answers
from prvr.serve.requests import Asked, SearchRequest
from prvr.serve.schema import Hit, Page, Told
from prvr.serve.search import scale, shown_hit
from prvr.serve.state import Parts, Server, told, while_there
from prvr.service.desk import Answer, Question
from prvr.service.saved_searches import DEEP, SavedSearch, drop_search, save_search, saved_searches

router = APIRouter(prefix="/v1", tags=["search"])
SearchId = Annotated[str, InPath(min_length=1, max_length=40)]


class SaveRequest(Asked):
    """A search to keep."""

    query_text: str = Field(min_length=1, max_length=2000, description="The grammar of the search box.")
    name: str | None = Field(default=None, max_length=100, description="What it is called; null: as before, if it was.")


class Saved(Told):
    """A search that is kept."""

    object: Literal["saved"] = "saved"
    id: str
    name: str = Field(description="Empty where nobody gave it one.")
    query: str
    created_at: float = Field(description="Unix seconds.")
    looked_at: float = Field(description="When it was last kept or looked at, unix seconds.")
    num_new: int = Field(description="Hits that came or changed since; at most 200.")


class SavedSearches(Page):
    """All of them, the oldest first."""

    data: list[Saved]


class SavedHits(Page):
    """What is new in one of them, best first."""

    data: list[Hit]
    saved: Saved
    relevance_range: tuple[float, float]


@router.get("/saved", response_model=SavedSearches, summary="The searches that are kept")
async def saved(request: Request, server: Server) -> Response:
    """Each with how much is new in it; every one of them is asked, or its last answer looked at."""
    kept = await asyncio.to_thread(saved_searches, server.config.folder)
    versions = await _versions(server) if kept else {}
    rows = [_shown(one, len((await _look(request, server, one, versions))[1])) for one in kept.values()]
    return told(SavedSearches(data=rows))


@router.post("/saved", response_model=Saved, status_code=201, responses=answers(400), summary="Keep a search")
async def keep_search(request: Request, asked: SaveRequest, server: Server) -> Response:
    """What it finds now is not new. To keep it again says that it was looked at."""
    versions = await _versions(server)
    answer = await _answer(request, server, asked.query_text, versions)
    return told(_shown(await _kept(server, asked, answer, versions), 0), 201)


@router.get("/saved/{search_id}", response_model=SavedHits, responses=answers(404), summary="What is new in a search")
async def new_hits(request: Request, search_id: SearchId, server: Server) -> Response:
    """Hits that came or changed since it was last kept or looked at; they stay new until `POST /v1/saved`."""
    one = (await asyncio.to_thread(saved_searches, server.config.folder)).get(search_id)
    if one is None:
        raise _unknown(search_id)
    answer, new = await _look(request, server, one, await _versions(server))
    hits = [shown_hit(server, answer, rank, hit) for rank, hit in new]
    return told(SavedHits(data=hits, saved=_shown(one, len(new)), relevance_range=scale(answer)))


@router.delete("/saved/{search_id}", status_code=204, responses=answers(404), summary="Keep a search no longer")
async def forget_search(search_id: SearchId, server: Server) -> Response:
    """The videos stay."""
    if not await asyncio.to_thread(drop_search, server.config.folder, search_id):
        raise _unknown(search_id)
    return Response(status_code=204)


async def _versions(server: Parts) -> Mapping[str, str]:
    return await server.desk.ask(lambda engine: engine.index.versions)


async def _look(
    request: Request, server: Parts, one: SavedSearch, versions: Mapping[str, str]
) -> tuple[Answer, list[tuple[int, types.Hit]]]:
    """Its answer of now, and what is new in that, each with its rank."""
    answer = await _answer(request, server, one.query, versions)
    ranks = {hit.video_id: rank for rank, hit in enumerate(answer.hits, 1)}
    return answer, [(ranks[hit.video_id], hit) for hit in one.new(answer.hits, versions)]


async def _answer(request: Request, server: Parts, text: str, versions: Mapping[str, str]) -> Answer:
    question = Question(request=request_of(SearchRequest(query_text=text)), stop=DEEP)
    answer = await while_there(request, server.desk.search(question))
    here = tuple(hit for hit in answer.hits if hit.video_id in versions)  # the index may have changed in between
    return answer._replace(hits=here)


async def _kept(server: Parts, asked: SaveRequest, answer: Answer, versions: Mapping[str, str]) -> SavedSearch:
    what = (server.config.folder, asked.query_text, answer.hits, versions)
    return await asyncio.to_thread(partial(save_search, *what, name=asked.name))


def _shown(one: SavedSearch, num_new: int) -> Saved:
    times = {"created_at": one.made_at, "looked_at": one.looked_at}
    return Saved(id=one.id, name=one.name, query=one.query, num_new=num_new, **times)


def _unknown(search_id: str) -> ApiError:
    return ApiError(404, "saved_unknown", f"no saved search {search_id!a}; GET /v1/saved lists them", param="search_id")
