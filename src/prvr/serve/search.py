"""GET and POST /v1/search, /v1/search/image, GET /v1/videos/{id}/scores and /why: questions to the desk."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from prvr.core import types
from prvr.core.grammar import notes_of
from prvr.serve.asking import digest, parsed, question_of, request_of, token_of
from prvr.serve.errors import answers
from prvr.serve.picture import check_picture
from prvr.serve.requests import SearchRequest
from prvr.serve.schema import Branches, Hit, Scores, Search, Usage, Why, Word
from prvr.serve.state import Parts, Server, VideoId, address, known, told, while_there
from prvr.service.desk import Answer, Question, step_s

PICTURES = ("image/jpeg", "image/png", "image/webp")
router = APIRouter(prefix="/v1", tags=["search"])
Limit = Annotated[int, Query(ge=1, le=100, description="Hits on a page.")]
Text = Annotated[str, Query(min_length=1, max_length=2000, description="The grammar of the search box.")]
Token = Annotated[str | None, Query(max_length=400)]


@router.post("/search", response_model=Search, responses=answers(400, 404), summary="Search")
async def search(request: Request, asked: SearchRequest, server: Server) -> Response:
    """A sentence, several in order, or more like a moment: ranked videos with moments, and how sure each is."""
    return told(await find(request, server, asked))


@router.get("/search", response_model=Search, responses=answers(400), summary="Search by a URL")
async def search_simply(
    request: Request, server: Server, q: Text, limit: Limit = 20, page_token: Token = None
) -> Response:
    """The same for simple clients."""
    return told(await find(request, server, SearchRequest(query_text=q, page_limit=limit, page_token=page_token)))


@router.post(
    "/search/image",
    response_model=Search,
    responses=answers(400, 415),
    summary="Search by a picture",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in PICTURES},
        }
    },
)
async def search_image(request: Request, server: Server, limit: Limit = 20) -> Response:
    """The body is a JPEG, PNG or WebP picture; not calibrated, one page."""
    began = time.perf_counter()
    picture = await request.body()
    check_picture(picture)
    question = Question(picture=picture, stop=limit)
    answer = await while_there(request, server.desk.search(question))
    return told(listed(server, answer, question, "", began))


@router.get(
    "/videos/{video_id}/scores",
    response_model=Scores,
    responses=answers(400, 404),
    summary="A query's score over the time of one video",
)
async def scores(request: Request, video_id: VideoId, server: Server, q: Text) -> Response:
    """What a strip under the player is drawn from; `range` is that of the same query over the whole library."""
    await known(server, video_id)
    asked = request_of(SearchRequest(query_text=q))

    async def both() -> tuple[types.Hit, Answer]:
        hit = await server.desk.ask(lambda engine: engine.look(asked, video_id))
        return hit, await server.desk.search(Question(request=asked))

    hit, answer = await while_there(request, both())
    shown = hit.as_dict()
    found = Scores(
        video_id=video_id,
        query=q,
        step_s=1.0,
        scores=shown["relevance"],
        moments=shown["moments"],
        steps=shown["steps"],
        duration_s=hit.duration_s,
        range=scale(answer),
    )
    return told(found)


@router.get(
    "/videos/{video_id}/why",
    response_model=Why,
    responses=answers(400, 404),
    summary="What each word of a query adds in one video",
)
async def why(request: Request, video_id: VideoId, server: Server, q: Text) -> Response:
    """Every word is left out once; of what is seen only, not of names and subtitles."""
    await known(server, video_id)
    asked = request_of(SearchRequest(query_text=q))
    found = await while_there(request, server.desk.ask(lambda engine: engine.why(asked, video_id)))
    branches = found.branches and Branches(frame=round(found.branches.frame, 6), clip=round(found.branches.clip, 6))
    return told(
        Why(
            video_id=video_id,
            query=q,
            score=round(found.score, 6),
            at=[round(at, 3) for at in found.at_s],
            words=[
                Word(word=word.text, step=word.step, adds=None if word.adds is None else round(word.adds, 6))
                for word in found.words
            ],
            branches=branches,
        )
    )


async def find(request: Request, server: Parts, asked: SearchRequest) -> Search:
    """The answer to what was asked. Raises ApiError, QueryError."""
    began = time.perf_counter()
    question = question_of(asked)
    for video_id in question.videos:
        await known(server, video_id)
    answer = await while_there(request, server.desk.search(question))
    return listed(server, answer, question, asked.query_text, began)


def listed(server: Parts, answer: Answer, question: Question, text: str, began: float) -> Search:
    """An answer as it is told."""
    more = question.stop < answer.total and question.picture is None
    server.metrics.searches.labels(answer.verdict).inc()
    return Search(
        has_more=more,
        next_page_token=token_of(question.stop, digest(question)) if more else None,
        data=[shown_hit(server, answer, rank, hit) for rank, hit in enumerate(answer.hits, question.start + 1)],
        query=text or (str(question.request) if question.request else ""),
        parsed=parsed(question),
        verdict=answer.verdict,  # type: ignore[arg-type]
        num_confident=answer.num_confident,
        unknown_words=list(answer.unknown_words),
        understood=answer.understood,
        notes=notes_of(text) if text else [],
        model=answer.holdings.model,
        num_videos=len(answer.holdings.facts),
        num_asked=answer.num_asked,
        relevance_range=scale(answer),
        indexing=server.jobs.active("index") is not None,
        generation=answer.holdings.generation,
        usage=Usage(time_ms=round((time.perf_counter() - began) * 1e3, 2), batch=answer.batch),
    )


def shown_hit(server: Parts, answer: Answer, rank: int, hit: types.Hit) -> Hit:
    """A hit of an answer as it is told."""
    holdings = answer.holdings
    at, (state, tag) = round((hit.start + hit.end) / 2, 1), server.media.glance(hit.path)
    beside = {
        "rank": rank,
        "name": holdings.name(hit.video_id),
        "path": holdings.path(hit.video_id),
        "modified": holdings.facts[hit.video_id].modified,
        "relevance_step_s": float(step_s(hit.duration_s)),
        "thumbnail_url": address(hit.video_id, f"/thumb?t={at:g}{tag}"),
        "stream_url": address(hit.video_id, "/stream"),
    }
    return Hit.model_validate({**hit.as_dict(state), **beside})


def scale(answer: Answer) -> tuple[float, float]:
    """The range of relevance over all hits, that strips are drawn to."""
    return round(answer.scale[0], 4), round(answer.scale[1], 4)
