"""GET /plain: search without scripts. A form, a list, links that open a video at its moment (`#t=`)."""

from __future__ import annotations

from html import escape
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, Response

from prvr.core.errors import QueryError
from prvr.core.text import clock, count
from prvr.serve.errors import ApiError
from prvr.serve.requests import SearchRequest
from prvr.serve.schema import Hit, Search
from prvr.serve.search import find
from prvr.serve.state import Server

router = APIRouter(include_in_schema=False)
HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    '<link rel="icon" href="data:,"><link rel="stylesheet" href="style.css"><title>{title}</title></head><body>'
)
FORM = (
    '<main><form method="get" action="plain" role="search"><label for="q">Describe what happens</label> '
    '<input id="q" name="q" type="search" maxlength="2000" required value="{query}"> <button>Search</button></form>'
)
SURE = {"confident": "good match", "related": "possible match"}
END = '<p class="foot"><a href="./">The page</a> · <a href="openapi.json">The API</a></p></main></body></html>'


@router.get("/plain")
async def plain(
    request: Request,
    server: Server,
    q: Annotated[str, Query(max_length=2000)] = "",
    page_token: Annotated[str | None, Query(max_length=400)] = None,
) -> Response:
    """One page of an answer."""
    status, content = 200, ""
    if q.strip():
        try:
            content = listing(await find(request, server, SearchRequest(query_text=q, page_token=page_token)))
        except QueryError as error:
            status, content = 400, f"<p role=alert>{escape(str(error))}</p>"
        except ApiError as error:
            status, content = error.status_code, f"<p role=alert>{escape(str(error.detail))}</p>"
    title = f"{q.strip()} – prvr" if q.strip() else "prvr"
    return HTMLResponse(HEAD.format(title=escape(title)) + FORM.format(query=escape(q)) + content + END, status)


def listing(found: Search) -> str:
    """An answer as a list; what is no better than a guess is said to be."""
    parts = []
    if not found.data:
        parts.append("<p>No videos match these filters.</p>")
    elif found.verdict == "nothing found":
        parts.append(f"<p>Nothing in these {found.num_asked} videos clearly matches. These are weak matches:</p>")
    else:
        parts.append(
            f"<p>{count(found.num_asked, 'video')}, {count(found.num_confident, 'good match', 'good matches')}.</p>"
        )
    if found.unknown_words:
        parts.append(f"<p>Not known to this model: {escape(', '.join(found.unknown_words))}.</p>")
    parts.append(f'<ol start="{found.data[0].rank if found.data else 1}">')
    parts += [item(hit) for hit in found.data]
    parts.append("</ol>")
    if found.next_page_token:
        more = urlencode({"q": found.query, "page_token": found.next_page_token})
        parts.append(f'<p><a rel="next" href="plain?{escape(more)}">More</a></p>')
    return "".join(parts)


def item(hit: Hit) -> str:
    """One video: its picture, its name, how sure, and a link to each moment."""
    links = " ".join(
        f'<a href="{escape(hit.stream_url)}#t={one.start:g},{one.end:g}">{clock(one.start)}–{clock(one.end)}</a>'
        for one in hit.moments
    )
    sure = f" <em>{SURE[hit.confidence]}</em>" if hit.confidence in SURE else ""
    quote = f"<blockquote>{escape(hit.quote)}</blockquote>" if hit.quote else ""
    return (
        f'<li><a href="{escape(hit.stream_url)}#t={hit.start:g},{hit.end:g}"><img src="{escape(hit.thumbnail_url)}" '
        f'width="160" alt="" loading="lazy"></a> <strong>{escape(hit.name)}</strong>{sure}<br>{links}{quote}</li>'
    )
