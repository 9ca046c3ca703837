"""QVHighlights as partially relevant video retrieval uses it: the cuts of one YouTube video form one video.

The authors annotate cuts of 150 s or less, named `{youtube id}_{start}_{end}`, and give moments in seconds of a cut::

    {"qid": 8737, "query": "...", "duration": 126, "vid": "bP5KfdFJzC4_660.0_810.0", "relevant_windows": [[0, 16]],
     "relevant_clip_ids": [0, 1, ...], "saliency_scores": [[4, 1, 1], ...]}

Here the cuts of one YouTube id that a split names lie end to end, in order of start, as their features do. Where the
authors left a gap between two cuts there is none here. A moment is in seconds of that joined video: the lengths of
the earlier cuts are added to it, and kept as `offset_s` in `Query.source` so that they can be taken off again.
The query id is `<youtube id>#<qid>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from prvr.core.errors import DataError
from prvr.core.types import Query, Span
from prvr.data.benchmarks.rows import (
    Row,
    beyond,
    duration_of,
    id_of,
    moment_rows,
    numbers,
    one_line,
    render_rows,
    said_otherwise,
    seconds_of,
    source_of,
    span_of,
    spelling,
    text_of,
    windows_again,
    windows_of,
)

NAME = "qvhighlights"
KEYS = ("qid", "query", "duration", "vid")
_CUT = re.compile(r"(?P<youtube>.+)_(?P<start>\d+(\.\d+)?)_(?P<end>\d+(\.\d+)?)")


def parse(text: str, *, where: str) -> list[Query]:
    """The content of one split -> its queries, in file order. Raises DataError naming file and line."""
    rows = moment_rows(text, where=where, keys=KEYS)
    lengths = _lengths(rows)
    offsets, totals = join_cuts(lengths)
    queries = []
    for place, row in rows:
        cut = str(row["vid"])
        youtube, _ = _cut(cut, where=place)
        windows = windows_of(row, where=place)
        spans = [span_of(window, duration_s=lengths[cut], where=place) for window in windows]
        queries.append(
            Query(
                query_id=f"{youtube}#{row['qid']}",
                video_id=youtube,
                text=one_line(text_of(row, "query", where=place)),
                windows=tuple(_shift(span, offsets[cut]) for span in spans),
                duration_s=totals[youtube],
                source=beyond(NAME, row, says=("query", "relevant_windows"), sentence="query")
                | {"offset_s": offsets[cut]}
                | said_otherwise(row, spans),
            )
        )
    return queries


def render(queries: Sequence[Query]) -> str:
    """Queries -> the content of such a file; a query from elsewhere becomes one of a single cut, its whole video.

    Raises DataError for a video of unknown length.
    """
    rows = []
    for query, qid in zip(queries, numbers(queries, NAME, "qid"), strict=True):
        said = source_of(query, NAME)
        offset = said.pop("offset_s", 0.0)
        if not isinstance(offset, (int, float)):
            raise DataError(f"query {query.query_id!r}: source.offset_s must be seconds, found {offset!r}")
        length = said["duration"] if "duration" in said else duration_of(query, form="QVHighlights")
        row: Row = {
            "qid": qid,
            "query": spelling(query, said, "query"),
            "duration": length,
            "vid": said.get("vid", f"{query.video_id}_0.0_{length}"),
            **windows_again(said, [_shift(window, -offset) for window in query.windows], _seconds(length)),
        }
        rows.append(said | row)
    return render_rows(rows)


def join_cuts(lengths: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Cut -> its length, to cut -> where it begins in its joined video and YouTube id -> its length; seconds."""
    offsets: dict[str, float] = {}
    totals: dict[str, float] = {}
    for cut in sorted(lengths, key=lambda cut: _cut(cut, where=cut)[1]):
        youtube, _ = _cut(cut, where=cut)
        offsets[cut] = totals.get(youtube, 0.0)
        totals[youtube] = offsets[cut] + lengths[cut]
    return offsets, totals


def is_cut(vid: object) -> bool:
    """Whether a video is called as QVHighlights calls its cuts."""
    return isinstance(vid, str) and _CUT.fullmatch(vid) is not None


def _seconds(length: object) -> float:
    return float(length) if isinstance(length, (int, float)) else 0.0


def _lengths(rows: Iterable[tuple[str, Row]]) -> dict[str, float]:
    """Cut -> its length in seconds; every row of a cut must say the same."""
    lengths: dict[str, float] = {}
    for place, row in rows:
        cut, length = id_of(row, "vid", where=place), seconds_of(row, "duration", where=place)
        _cut(cut, where=place)
        if lengths.setdefault(cut, length) != length:
            raise DataError(f"{place}: cut {cut!r} is {length:g} s long here and {lengths[cut]:g} s above")
    return lengths


def _cut(vid: str, *, where: str) -> tuple[str, float]:
    """-> YouTube id and start in seconds."""
    match = _CUT.fullmatch(vid)
    if match is None:
        raise DataError(f"{where}: 'vid' must be '<youtube id>_<start>_<end>', found {vid!r}")
    return match["youtube"], float(match["start"])


def _shift(span: Span, offset_s: float) -> Span:
    # rounded: taking off what was added must give the authors' number again
    return round(span[0] + offset_s, 6), round(span[1] + offset_s, 6)
