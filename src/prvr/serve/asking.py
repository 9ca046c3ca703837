"""What a client asked, as the desk wants it, and the tokens that lead to the next page."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

from prvr.core.facts import Where
from prvr.core.grammar import Feedback, Request, day_at, day_of, midnight, parse
from prvr.core.types import Span
from prvr.serve import requests
from prvr.serve.errors import ApiError
from prvr.serve.requests import MOST_NEGATIVES, MOST_STEPS, SearchRequest
from prvr.serve.schema import DEEPEST, Parsed
from prvr.service.desk import Question


def question_of(asked: SearchRequest) -> Question:
    """What was asked, and which part of the answer. Raises QueryError, ApiError."""
    question = Question(
        request=None if asked.like else request_of(asked),
        like=spans([asked.like])[0] if asked.like else None,
        filters=where_of(asked.filter),
        words=asked.words,
        calibrated=asked.calibrated,
        feedback=Feedback(spans(asked.feedback.positive), spans(asked.feedback.negative)),
    )
    start = start_of(asked.page_token, digest(question)) if asked.page_token else 0
    return question._replace(start=start, stop=min(start + asked.page_limit, DEEPEST))


def request_of(asked: SearchRequest) -> Request:
    """The sentences as the grammar means them, what is in their text before what is beside it; not for `like`."""
    filters = where_of(asked.filter)
    if asked.sequence:
        steps, without, channel = tuple(step.text for step in asked.sequence), tuple(asked.negative), ""
        within = tuple(step.within_s for step in asked.sequence[1:])
    elif not asked.query_text.strip():
        raise ApiError(400, "query_empty", "query_text: is empty; describe what happens", param="query_text")
    else:
        found = parse(asked.query_text)
        steps, within, without = found.steps, found.within_s, (*found.without, *asked.negative)
        channel = found.channel
        filters = found.filters.over(filters)
    if len(steps) > MOST_STEPS or len(without) > MOST_NEGATIVES:
        most = f"at most {MOST_STEPS} steps and {MOST_NEGATIVES} negatives"
        raise ApiError(400, "query_too_long", f"query_text: asks for too much at once; give {most}", param="query_text")
    return Request(steps=steps, within_s=within, without=without, filters=filters, channel=channel)


def where_of(asked: requests.Filter) -> Where:
    """A filter as the library reads it. Raises ApiError for a date that is none."""
    longest = asked.duration.lte
    return Where(
        path=asked.path,
        after=_instant("after", asked.after),
        before=_instant("before", asked.before),
        longer_s=asked.duration.gte,
        shorter_s=None if longest is None else math.nextafter(longest, math.inf),  # its end counts, ours does not
        tags=tuple(dict.fromkeys(asked.tags)),
    )


def filter_of(where: Where) -> requests.Filter:
    """The same as it is told."""
    return requests.Filter(
        path=where.path,
        after=None if where.after is None else day_at(where.after).isoformat(),
        before=None if where.before is None else day_at(where.before).isoformat(),
        duration=requests.Between(gte=where.longer_s, lte=where.shorter_s),
        tags=list(where.tags),
    )


def _instant(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    day = day_of(text)
    if day is None:
        message = f"filter.{name}: {text!a} is no date; write 2021, 2021-06 or 2021-06-30"
        raise ApiError(400, "filter_invalid", message, param=f"filter.{name}")
    return midnight(day)


def parsed(question: Question) -> Parsed:
    """How a question was understood."""
    request = question.request
    return Parsed(
        steps=list(request.steps) if request else [],
        within_s=list(request.within_s) if request else [],
        without=list(request.without) if request else [],
        filters=filter_of(question.where),
        channel=request.channel if request else "",  # type: ignore[arg-type]
    )


def spans(asked: Sequence[requests.Span]) -> tuple[tuple[str, Span], ...]:
    """Video ids with seconds."""
    return tuple((span.video_id, (span.start, span.end)) for span in asked)


def digest(question: Any) -> str:
    """What a page token must fit to."""
    asked = question._replace(start=0, stop=0) if isinstance(question, Question) else question
    return hashlib.sha256(repr(asked).encode("utf-8", "backslashreplace")).hexdigest()[:12]


def token_of(start: int, fits: str) -> str:
    """Where the next page begins."""
    return base64.urlsafe_b64encode(json.dumps([start, fits]).encode()).decode().rstrip("=")


def start_of(token: str, fits: str, *, deepest: int = DEEPEST) -> int:
    """Where a page begins. Raises ApiError for a token that is none, or that belongs to another question."""
    try:
        start, meant = json.loads(base64.urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4)))
        if meant == fits and isinstance(start, int) and 0 < start < deepest:
            return start
    except (ValueError, TypeError, binascii.Error):
        pass
    message = "page_token: belongs to another question, or is none; begin with the first page, without a token"
    raise ApiError(400, "page_token_wrong", message, param="page_token")
