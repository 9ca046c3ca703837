"""ActivityNet Captions: one JSON object, each video with its sentences and one moment a sentence::

    {"v_QOlSCBRmfWY": {"duration": 82.73, "timestamps": [[0.83, 19.86], ...], "sentences": ["A young woman ...", ...]}}

The query id is `<video>#<n>`, n counting a video's sentences from 0. As published, some moments end 0.01 s after their
video and two run backwards: the former stay, the latter are put in order (and written backwards again).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from prvr.core.errors import DataError
from prvr.core.types import Query
from prvr.data.annotations import group_by_video
from prvr.data.benchmarks.rows import (
    Row,
    duration_of,
    id_of,
    list_of,
    one_line,
    only_window,
    seconds_of,
    source_of,
    span_of,
    spelling,
    text_of,
    with_keys,
)

NAME = "activitynet"
KEYS = ("duration", "timestamps", "sentences")


def parse(text: str, *, where: str) -> list[Query]:
    """The content of one split -> its queries, in file order. Raises DataError naming file, video and sentence."""
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}:{error.lineno}: is not JSON ({error}); expected one object of videos") from error
    if not isinstance(pairs, _Pairs) or not pairs:
        raise DataError(f"{where}: expected one object, video id -> an object with {', '.join(KEYS)}")
    twice = [video for video, count in Counter(video for video, _ in pairs).items() if count > 1]
    if twice:
        raise DataError(f"{where}: video {twice[0]!r} stands twice; every video must stand once")
    return [query for video, row in pairs for query in _queries(video, row, where=f"{where}: video {video!r}")]


def render(queries: Sequence[Query]) -> str:
    """Queries -> the content of such a file, with the first moment of each, videos in order of first appearance.

    Raises DataError for a video of unknown length and a query without a moment.
    """
    videos: dict[str, Row] = {}
    for video, group in group_by_video(queries).items():
        said = [source_of(query, NAME) for query in group]
        videos[video] = {
            "duration": duration_of(group[0], form="ActivityNet Captions"),
            "timestamps": [_timestamp(query, row) for query, row in zip(group, said, strict=True)],
            "sentences": [spelling(query, row, "sentence") for query, row in zip(group, said, strict=True)],
        }
    return json.dumps(videos, ensure_ascii=False) + "\n"


class _Pairs(list[tuple[str, object]]):
    """An object as written, so that a key that stands twice is seen."""


def _queries(video: str, pairs: object, *, where: str) -> list[Query]:
    row = with_keys(dict(pairs) if isinstance(pairs, _Pairs) else pairs, KEYS, where=where)
    id_of({"video id": video}, "video id", where=where)
    unknown = sorted(set(row) - set(KEYS))
    if unknown:
        raise DataError(f"{where}: unknown field {unknown[0]!r}; the fields are {', '.join(KEYS)}")
    duration = seconds_of(row, "duration", where=where)
    spans, sentences = list_of(row, "timestamps", where=where), list_of(row, "sentences", where=where)
    if not sentences or len(spans) != len(sentences):
        raise DataError(
            f"{where}: has {len(sentences)} sentences and {len(spans)} timestamps; expected as many of each, 1 or more"
        )
    return [
        _query(video, n, {"sentence": sentence, "timestamp": span}, duration, where=f"{where}, sentence {n}")
        for n, (span, sentence) in enumerate(zip(spans, sentences, strict=True))
    ]


def _query(video: str, n: int, row: Row, duration: float, *, where: str) -> Query:
    text = one_line(text_of(row, "sentence", where=where))
    window = span_of(row["timestamp"], duration_s=duration, where=where, reversible=True)
    ours: Row = {"sentence": text, "timestamp": list(window)}
    unlike = {key: value for key, value in row.items() if value != ours[key]}
    return Query(
        query_id=f"{video}#{n}",
        video_id=video,
        text=text,
        windows=(window,),
        duration_s=duration,
        source={"benchmark": NAME} | unlike,
    )


def _timestamp(query: Query, said: Row) -> list[object]:
    """The moment of a sentence, backwards where the authors have it so."""
    window = only_window(query, form="ActivityNet Captions")
    known = said.get("timestamp")
    return known if isinstance(known, list) and sorted(known) == list(window) else list(window)
