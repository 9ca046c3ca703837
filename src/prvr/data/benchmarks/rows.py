"""What the readers of others' files have in common: looking into JSON with an error that names the place."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence

from prvr.core.errors import DataError
from prvr.core.types import Query, Span
from prvr.data.annotations import is_number

ROUNDING_S = 0.02
"""How far a moment may end after its video: ActivityNet's files round one and not the other, by up to 0.01 s."""

Row = dict[str, object]


def json_rows(text: str, *, where: str, keys: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """JSON lines -> `file:line` and the object in it, which has all the keys. Raises DataError."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"{where}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{place}: is not JSON ({error}); expected an object with {', '.join(keys)}") from error
        yield place, with_keys(row, keys, where=place)
    if not text.strip():
        raise DataError(f"{where}: holds no query; expected JSON lines with {', '.join(keys)}")


def with_keys(row: object, keys: Sequence[str], *, where: str) -> Row:
    """The object, if it has all the keys. Raises DataError."""
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected an object with {', '.join(keys)}, found {str(row)[:60]!r}")
    for key in keys:
        if key not in row:
            raise DataError(f"{where}: has no {key!r}; expected an object with {', '.join(keys)}")
    return row


def text_of(row: Mapping[str, object], key: str, *, where: str) -> str:
    """A text that is not empty. Raises DataError."""
    match row[key]:
        case str() as text if text.strip():
            return text
    raise DataError(f"{where}: {key!r} must be text that is not empty, found {row[key]!r}")


def id_of(row: Mapping[str, object], key: str, *, where: str) -> str:
    """A video id: one line of text without spaces around it. Raises DataError."""
    text = text_of(row, key, where=where)
    if text != text.strip() or len(text.splitlines()) > 1:
        raise DataError(f"{where}: {key!r} is a video id, one line without spaces around it, found {text!r}")
    return text


def number_of(row: Mapping[str, object], key: str, *, where: str) -> int | str:
    """The authors' number of a query, or (TACoS, Ego4D) the name that they give it. Raises DataError."""
    match row[key]:
        case bool():
            pass
        case int() as number:
            return number
        case str() as name if name.strip() == name and name:
            return name
    raise DataError(f"{where}: {key!r} must be a whole number or a name, found {row[key]!r}")


def seconds_of(row: Mapping[str, object], key: str, *, where: str) -> float:
    """A length of time. Raises DataError."""
    match row[key]:
        case int() | float() as number if is_number(number) and number > 0:
            return float(number)
    raise DataError(f"{where}: {key!r} must be a number of seconds above 0, found {row[key]!r}")


def list_of(row: Mapping[str, object], key: str, *, where: str) -> list[object]:
    """A list. Raises DataError."""
    match row[key]:
        case list() as items:
            return items
    raise DataError(f"{where}: {key!r} must be a list, found {row[key]!r}")


def span_of(value: object, *, duration_s: float, where: str, reversible: bool = False, clipped: bool = False) -> Span:
    """[start, end] within a video, seconds. Raises DataError.

    `reversible` puts a pair that runs backwards in order; `clipped` ends one that began in time where the video ends.
    """
    match value:
        case [int() | float() as start, int() | float() as end] if is_number(start) and is_number(end):
            low, high = (min(start, end), max(start, end)) if reversible else (start, end)
            if clipped and low < duration_s + ROUNDING_S < high:
                high = duration_s
            if 0 <= low <= high <= duration_s + ROUNDING_S:
                return float(low), float(high)
    raise DataError(
        f"{where}: a moment is [start, end] in seconds with 0 <= start <= end <= {duration_s:g} (the video's length), "
        f"found {value!r}"
    )


def unique(ids: Sequence[object], places: Sequence[str]) -> None:
    """Raises DataError naming both places when an id stands twice."""
    seen: dict[object, str] = {}
    for known, place in zip(ids, places, strict=True):
        if known in seen:
            raise DataError(f"{place}: query id {known!r} stands already at {seen[known]}; ids must be unique")
        seen[known] = place


def one_line(text: str) -> str:
    """The words of a sentence with one space between them; the authors' files hold line breaks and double spaces."""
    return " ".join(text.split())


def beyond(name: str, row: Row, *, says: Sequence[str], sentence: str) -> Row:
    """What a benchmark's row says beyond the fields of `Query`, under the authors' names: `Query.source`.

    `says` are the keys that `Query` holds; the sentence stays too where its spacing is not ours.
    """
    spelled = one_line(str(row[sentence])) != row[sentence]
    return {"benchmark": name} | {
        key: value for key, value in row.items() if key not in says or (key == sentence and spelled)
    }


def source_of(query: Query, name: str) -> Row:
    """What the benchmark's file said beyond the fields of `Query`; empty for a query that came from elsewhere."""
    known = dict(query.source or {})
    return known if known.pop("benchmark", None) == name else {}


def spelling(query: Query, said: Row, sentence: str) -> str:
    """The authors' own spacing of a sentence, unless its words were changed since."""
    known = said.get(sentence)
    return known if isinstance(known, str) and one_line(known) == query.text else query.text


def numbers(queries: Sequence[Query], name: str, key: str) -> list[int | str]:
    """The authors' number or name of each query; a query that has none gets the next number that is free."""
    known = [source_of(query, name).get(key) for query in queries]
    taken = {number for number in known if isinstance(number, int)}
    free = (number for number in itertools.count() if number not in taken)
    return [number if isinstance(number, (int, str)) else next(free) for number in known]


def duration_of(query: Query, *, form: str) -> float:
    """The length of the query's video. Raises DataError: the authors' files cannot be written without."""
    if query.duration_s is None:
        raise DataError(
            f"query {query.query_id!r}: the length of its video is not known, and {form} cannot be written without; "
            "add duration_s"
        )
    return query.duration_s


def only_window(query: Query, *, form: str) -> Span:
    """The first moment of a query. Raises DataError when there is none."""
    if not query.windows:
        raise DataError(
            f"query {query.query_id!r}: its moment is not known, and {form} cannot be written without; add windows"
        )
    return query.windows[0]


WINDOWS = "relevant_windows"


def moment_rows(text: str, *, where: str, keys: Sequence[str]) -> list[tuple[str, Row]]:
    """JSON lines of the Moment-DETR family -> place and object, each with a `qid` of its own.

    All have `relevant_windows` or, as in a split that is sent in to be scored, none has. Raises DataError.
    """
    rows = list(json_rows(text, where=where, keys=keys))
    unique([number_of(row, "qid", where=place) for place, row in rows], [place for place, _ in rows])
    if any(WINDOWS in row for _, row in rows):
        rows = [(place, with_keys(row, [*keys, WINDOWS], where=place)) for place, row in rows]
    return rows


def windows_of(row: Row, *, where: str) -> list[object]:
    """The moments of a row; none where it does not say. Raises DataError."""
    return list_of(row, WINDOWS, where=where) if WINDOWS in row else []


def said_otherwise(row: Row, windows: Sequence[Span]) -> Row:
    """The moments as the authors have them, for `Query.source`, where the query's are others, or the field is absent.

    `windows` are those of the query, on the authors' own clock.
    """
    said = row.get(WINDOWS)
    return {} if said == [list(window) for window in windows] else {WINDOWS: said}


def windows_again(said: Row, windows: Sequence[Span], duration_s: float) -> Row:
    """What to write of the moments: what the authors have, which is taken out of `said`, unless they were changed."""
    ours = [list(window) for window in windows]
    if WINDOWS not in said:
        return {WINDOWS: ours}
    known = said.pop(WINDOWS)
    if not isinstance(known, list):
        return {WINDOWS: ours} if ours else {}
    spans = [span_of(one, duration_s=duration_s, where=WINDOWS, clipped=True) for one in known]
    return {WINDOWS: known if spans == list(windows) else ours}


def render_rows(rows: Sequence[Mapping[str, object]]) -> str:
    """Objects -> JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
