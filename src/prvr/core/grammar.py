"""What can be asked, in one grammar for the command line, Python and the page.

    a dog jumps into the pool                    free text
    a dog jumps -crowd -"on a leash"             what must not be seen at that moment
    a dog barks then it jumps within 30s         in this order of time; also `A then B then C`
    a dog path:holiday after:2021-06 longer:5m   filters: path, after, before, longer, shorter, tag
    said:"the price of coffee" after:2024        only what is said; also `seen:` and `written:` (on the screen)

`"..."` keeps words together and takes their meaning as words: `"now and then"` is free text. `after:` begins with the
first instant of its day, month or year and `before:` ends there, so that `after:2021 before:2022` is the year 2021.
`within` bounds the time from the step before it. Durations are `90s`, `5m`, `1.5h`, `90`, `1:30`, `2 minutes`
or `an hour`.
Quotes, dashes and colons that keyboards put in the place of plain ones are plain ones, but not inside plain quotes.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import zip_longest
from typing import NamedTuple

from prvr.core.errors import QueryError
from prvr.core.facts import EVERY, SAID, SEEN, WRITTEN, Where
from prvr.core.types import Span

FILTERS = ("path", "after", "before", "longer", "shorter", "tag")
CHANNELS = (SEEN, SAID, WRITTEN)
QUOTED = r'"(?:[^"\\]|\\.)*"'
TOKEN = re.compile(
    rf'(?P<minus>-(?=["\w]))?(?:(?P<key>[A-Za-z]+):)?(?P<quoted>{QUOTED})(?=\s|$)|(?P<bare>\S+)', re.DOTALL
)
UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
}
ONE_TO_TEN = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
COUNTED = {"a": 1, "an": 1} | {name: number for number, name in enumerate(ONE_TO_TEN, 1)}
NUMBER = r"\d+(?:\.\d+)?"
DURATION = re.compile(rf"({NUMBER})\s?({'|'.join(UNITS)})?|(?:(\d+):)?(\d+):(\d\d)")
TYPED = str.maketrans(
    {**dict.fromkeys("“”„‟«»＂", '"'), **dict.fromkeys("‘’‚‛＇", "'"), **dict.fromkeys("‐‑‒–—―−－", "-"), "：": ":"}
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question. `parse` makes it from text and `str` gives text that means the same."""

    steps: tuple[str, ...]  # one sentence, or several in order of time
    within_s: tuple[float | None, ...] = ()  # from each step to the next, seconds; None: any time
    without: tuple[str, ...] = ()  # what must not be seen at that moment
    filters: Where = EVERY
    channel: str = ""  # the one of CHANNELS that alone is looked at; empty: all

    def __post_init__(self) -> None:
        if self.channel and (len(self.steps) > 1 or self.without):
            raise QueryError(
                f'query: {self.channel}: goes with one text, not with steps or negatives; write {self.channel}:"..." '
                "and filters"
            )

    @property
    def text(self) -> str:
        """What is looked for, without what is not."""
        return " ".join(self.steps)

    def __str__(self) -> str:
        parts = [f"{self.channel}:{quote(self.steps[0])}" if self.channel else plain(self.steps[0])]
        for step, bound in zip(self.steps[1:], self.within_s, strict=True):
            parts += ["then", plain(step)] + ([] if bound is None else [f"within {seconds(bound)}"])
        parts += [f"-{quote(word)}" for word in self.without]
        return " ".join([*parts, *_written(self.filters)])


class Feedback(NamedTuple):
    """Moments that are what is looked for, and moments that are not."""

    positive: tuple[tuple[str, Span], ...] = ()  # video id, seconds
    negative: tuple[tuple[str, Span], ...] = ()


class Token(NamedTuple):
    """A piece of a query and where it stands."""

    kind: str  # word, phrase, not, or the name of a filter
    text: str  # without quotes, minus sign and name
    raw: str
    place: int  # 1 = the first character


def parse(text: object) -> Request:
    """A query as people write it -> what it asks.

    Raises QueryError, naming the word, its place and what to write instead.
    """
    if not isinstance(text, str):
        raise QueryError(f"query: expected a sentence, found {type(text).__name__}; write what happens in the video")
    text = typed(text)
    tokens = list(_with_units(tokens_of(text)))
    limits = [token for token in tokens if token.kind in CHANNELS]
    steps, within = _steps([token for token in tokens if token.kind in ("word", "phrase")] or limits[:1], text)
    if limits:
        _check_alone(limits[0], [token for token in tokens if token.kind not in FILTERS])
    return Request(
        channel=limits[0].kind if limits else "",
        steps=steps,
        within_s=within,
        without=tuple(token.text for token in tokens if token.kind == "not"),
        filters=_filters([token for token in tokens if token.kind in FILTERS]),
    )


def filters_of(text: str) -> Where:
    """Filters alone, as `path:holiday longer:5m`. Raises QueryError for anything else."""
    tokens = list(tokens_of(typed(text)))
    for token in tokens:
        if token.kind not in FILTERS:
            names = ", ".join(f"{name}:" for name in FILTERS)
            raise QueryError(f"{token.raw}: is no filter; write one of {names}, such as path:{token.text or 'holiday'}")
    return _filters(tokens)


def notes_of(text: str) -> list[str]:
    """What somebody should hear who asks this: a line for each `key:` that is no filter, and so is searched as a word.

    Times of day and addresses have colons too. Raises QueryError for a quote that never ends.
    """
    keys = (re.match(r"([A-Za-z]{2,}):(?!//)\S", token.raw) for token in tokens_of(typed(text)) if token.kind == "word")
    known = ", ".join(f"{name}:" for name in FILTERS)
    return [f"There is no filter {key[1]}: (there are {known}), so it is searched as a word" for key in keys if key]


def typed(text: str) -> str:
    """What was typed, with plain quotes, dashes and colons; what stands in plain quotes stays as it is."""
    return TOKEN.sub(lambda found: found[0] if found["quoted"] else found[0].translate(TYPED), text)


def tokens_of(text: str) -> Iterator[Token]:
    """A query cut into words, phrases, negatives and filters. Raises QueryError for a quote that never ends."""
    for found in TOKEN.finditer(text):
        raw, place = found.group(), found.start() + 1
        minus, key = bool(found["minus"]), (found["key"] or "").lower()
        value = unquote(found["quoted"]) if found["quoted"] else found["bare"]
        if found["quoted"] is None:
            if open_quote := re.match(r'-?(?:[A-Za-z]+:)?"', raw):
                raise _wrong(
                    raw,
                    place,
                    "the quote is not closed, or not at the end of a word",
                    f'{open_quote.group()}two words"',
                )
            minus = len(raw) > 1 and raw[0] == "-" and (raw[1].isalnum() or raw[1] == "_")
            name, colon, rest = raw.partition(":")
            key = _filter_name(name, rest, raw, place) if colon and not minus else ""
            value = rest if key else raw[1:] if minus else raw
        if minus and (turned := re.match(r"-([A-Za-z]+):.", raw)) and turned[1].lower() in (*FILTERS, *CHANNELS):
            raise _wrong(raw, place, "a filter cannot be turned round", f'{raw[1:]}, or -"{raw[1:]}" for the words')
        kind = "not" if minus else key or ("phrase" if found["quoted"] else "word")
        if kind not in ("word", "not", "phrase", *FILTERS, *CHANNELS):
            raise _wrong(raw, place, f"there is no filter {key!r}", f"one of {', '.join(f'{n}:' for n in FILTERS)}")
        if not value.strip() or (kind == "not" and not any(map(str.isalnum, value))):
            raise _wrong(raw, place, "nothing stands in it", _example(kind))
        yield Token(kind, " ".join(value.split()), raw, place)


def quote(text: str) -> str:
    """Text as one phrase."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquote(text: str) -> str:
    """A phrase without its quotes."""
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def plain(text: str) -> str:
    """Free text as it can be written: in quotes where a word of it would mean something else."""
    try:
        tokens = list(tokens_of(text))
    except QueryError:
        return quote(text)
    special = typed(text) != text or any(
        token.kind != "word" or token.text.lower() in ("then", "within") for token in tokens
    )
    return quote(text) if special else text


def seconds(value: float) -> str:
    """A duration as it can be written: 90 -> 90s, 300 -> 5m."""
    for unit, size in (("h", 3600), ("m", 60)):
        if value and value % size == 0:
            return f"{value / size:.0f}{unit}"
    return f"{value:.6f}".rstrip("0").rstrip(".") + "s"


def midnight(day: date) -> float:
    """When a day begins on this machine's clock, unix seconds."""
    return datetime.combine(day, time()).timestamp()


def day_at(instant: float) -> date:
    """The day that it is on this machine's clock, unix seconds."""
    return date.fromtimestamp(instant)


def duration_of(text: str) -> float | None:
    """90s, 5m, 1.5h, 90 or 1:30 -> seconds; None for anything else."""
    found = DURATION.fullmatch(text.lower())
    if found is None:
        return None
    if found[1]:
        return round(float(found[1]) * UNITS[found[2] or "s"], 6)
    return float(int(found[3] or 0) * 3600 + int(found[4]) * 60 + int(found[5]))


def day_of(text: str) -> date | None:
    """YYYY, YYYY-MM or YYYY-MM-DD -> its first day; None for anything else."""
    if not re.fullmatch(r"(19|2\d)\d\d(-\d\d){0,2}", text, re.ASCII):
        return None
    try:
        return date.fromisoformat((text + "-01-01")[:10])
    except ValueError:
        return None


def _with_units(tokens: Iterator[Token]) -> Iterator[Token]:
    """`within 2 minutes`, `within an hour`, `longer:5 minutes`: a number of a duration and the unit after it are one.

    A number in words is one only behind a `then`: "back within a minute" alone is said of one moment.
    """
    before, ordered = "", False
    number: Token | None = None
    for token in tokens:
        word = token.text.lower() if token.kind == "word" else ""
        if number and word in UNITS:
            counted = COUNTED.get(number.text.lower(), number.text)
            token = number._replace(text=f"{counted} {word}", raw=f"{number.raw} {token.raw}")
        elif number:
            yield number
        ordered = ordered or word == "then"
        bounds = token.kind in ("longer", "shorter") or (token.kind == "word" and before == "within")
        told = token.text.lower() in COUNTED and (ordered or token.kind != "word")
        number = token if bounds and (told or re.fullmatch(NUMBER, token.text)) else None
        if not number:
            yield token
        before = word
    if number:
        yield number


def _steps(tokens: list[Token], text: str) -> tuple[tuple[str, ...], tuple[float | None, ...]]:
    """Words and phrases -> the steps and the time from each to the next."""
    steps: list[list[str]] = [[]]
    within: list[float | None] = [None]
    skip = False
    for token, after in zip_longest(tokens, tokens[1:]):
        word = token.text.lower() if token.kind == "word" else ""
        bound = duration_of(after.text) if word == "within" and after and after.kind == "word" else None
        if skip:
            skip = False
        elif word == "then":
            if not steps[-1] or after is None:
                side = "before" if not steps[-1] else "after"
                raise _wrong(token.raw, token.place, f"nothing stands {side} it", 'A then B, or "then" for the word')
            steps.append([])
            within.append(None)
        elif bound is not None:
            if len(steps) < 2 or not steps[-1] or within[-1] is not None:
                raise _wrong(token.raw, token.place, "it bounds the time between two steps", "A then B within 30s")
            within[-1], skip = bound, True
        else:
            steps[-1].append(token.text)
    found = tuple(" ".join(step) for step in steps)
    for step in found:
        if not any(letter.isalnum() for letter in step):
            said = (step or text).strip()[:40]
            raise QueryError(f"query: {said!r} holds no word to look for; describe what happens, such as 'a dog jumps'")
    return found, tuple(within[1:])


def _check_alone(limit: Token, others: list[Token]) -> None:
    """Raises QueryError unless what is to be said, seen or written is all that is looked for."""
    for token in others:
        if token.place != limit.place:
            both = f'{limit.kind}:"..." alone, and filters'
            raise _wrong(token.raw, token.place, f"it stands beside {limit.kind}:, which looks for one text", both)


def _filters(tokens: list[Token]) -> Where:
    values: dict[str, str | float] = {}
    for token in tokens:
        if token.kind == "tag":
            continue
        if token.kind in values:
            raise _wrong(token.raw, token.place, f"there is a second {token.kind}:", f"one {token.kind}: only")
        value: str | float | None = token.text
        if token.kind in ("after", "before"):
            day = day_of(token.text)
            value = None if day is None else midnight(day)
        elif token.kind in ("longer", "shorter"):
            value = duration_of(token.text)
            value = None if value is not None and not math.isfinite(value) else value
        if value is None:
            what = "date" if token.kind in ("after", "before") else "duration"
            raise _wrong(token.raw, token.place, f"{token.text!r} is no {what}", _example(token.kind))
        values[token.kind] = value
    names = {"longer": "longer_s", "shorter": "shorter_s"}
    tags = tuple(dict.fromkeys(token.text for token in tokens if token.kind == "tag"))
    return Where(**{names.get(name, name): value for name, value in values.items()}, tags=tags)  # type: ignore[arg-type]


def _written(where: Where) -> Iterator[str]:
    """Each filter as `_filters` reads it."""
    if where.path is not None:
        yield f"path:{quote(where.path)}"
    days = {"after": where.after, "before": where.before}
    yield from (f"{name}:{day_at(instant).isoformat()}" for name, instant in days.items() if instant is not None)
    lengths = {"longer": where.longer_s, "shorter": where.shorter_s}
    yield from (f"{name}:{seconds(value)}" for name, value in lengths.items() if value is not None)
    yield from (f"tag:{quote(tag)}" for tag in where.tags)


def _filter_name(name: str, rest: str, raw: str, place: int) -> str:
    """The filter that `name:` means, or nothing where it is plain text, such as 12:30 or a time of day."""
    low = name.lower()
    if low in CHANNELS:  # "he said: go" has nothing behind it
        return low if rest else ""
    if low in FILTERS:
        if not rest:
            raise _wrong(raw, place, "nothing follows the colon", _example(low))
        return low
    near = difflib.get_close_matches(low, FILTERS, n=1, cutoff=0.7) if name.isalpha() and rest else []
    if near:
        raise _wrong(raw, place, f"there is no filter {name!r}", f'{near[0]}:{rest}, or "{raw}" for the words')
    return ""


def _example(kind: str) -> str:
    examples = {
        "path": 'path:holiday or path:"two words"',
        "tag": "tag:family",
        "after": "after:2021, after:2021-06 or after:2021-06-30",
        "before": "before:2021, before:2021-06 or before:2021-06-30",
        "longer": "longer:90s, longer:5m or longer:1h",
        "shorter": "shorter:90s, shorter:5m or shorter:1h",
        "not": '-crowd or -"two words"',
    }
    return examples.get(kind, '"two words"')


def _wrong(raw: str, place: int, why: str, write: str) -> QueryError:
    return QueryError(f"query: {raw[:40]!r} at character {place}: {why}; write {write}")
