"""Numbers and names as people read them, and the names of files as text."""

from __future__ import annotations

import difflib
import json
import os
import re
import unicodedata
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path, PurePath
from typing import Any

LIKE_A_BYTE = re.compile(r"\\(?=x(?:[89a-f][0-9a-f]|5c))")  # a name that itself reads as if a byte was written out
BYTE = re.compile(r"\\x([89a-f][0-9a-f]|5c)")
LONE = re.compile("[\udc80-\udcff]")  # a byte that is no UTF-8, as Python hands it on

STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")  # a terminal, or the order of letters
RUNS = ("=", "+", "-", "@", "\t", "\r")  # what begins so, a spreadsheet computes


def clock(seconds: float) -> str:
    """Seconds as a person reads them: 75.25 -> 1:15.2."""
    tenths = int(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02}" if hours else f"{minutes}") + f":{rest // 10:02}.{rest % 10}"


def text_of(path: PurePath | str) -> str:
    r"""A path as text that every file, table, URL and terminal takes: a byte of a name that is no UTF-8 is `\xe9`.

    Ids of videos, and paths in an index, are such text; `path_of` gives the path back, whatever the name is made of.
    """
    plain = path.as_posix() if isinstance(path, PurePath) else path  # Windows takes / everywhere, and ids have it
    if plain.isascii() and "\\" not in plain:
        return plain
    text = LIKE_A_BYTE.sub(r"\\x5c", os.fsencode(plain).decode("utf-8", "surrogateescape"))
    return LONE.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)


def path_of(text: str) -> Path:
    """The path that `text_of` made this text of."""
    if "\\x" not in text:
        return Path(text)
    parts = BYTE.split(text)  # between them, every other one, two digits
    raw = (bytes.fromhex(part) if at % 2 else os.fsencode(part) for at, part in enumerate(parts))
    return Path(os.fsdecode(b"".join(raw)))


def printable(text: str) -> str:
    r"""Text as it may be shown: what would steer a terminal, or turn around what stands after it, is written out.

    An escape is `\x1b`, as in Python; line ends and tabs stay.
    """
    return STEERS.sub(lambda found: ascii(found[0])[1:-1], text)


def one_line(text: str) -> str:
    r"""The same for a name that stands in a line: a line end in it is `\n`."""
    return printable(text).replace("\n", r"\n").replace("\t", r"\t")


def cell(value: object) -> object:
    """What stands in a table that spreadsheets open: a text that they would compute is marked as one (')."""
    if not isinstance(value, str):
        return value
    return "'" + printable(value) if value.startswith(RUNS) else printable(value)


def folded(text: str) -> str:
    """A text without case and accents, however these are written."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun: 1 video, 2 videos, 1,200 videos; `many` where it is not `one` and an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def json_text(value: Any) -> str:
    """A result for machines; what would steer a terminal is escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    return STEERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def nearest(name: str, names: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The one of some names that is most like another; None where none is.

    Of two that are equally alike the one that begins alike for longer, for people slip at the end: `table12` is
    `table1`, not `table2`.
    """

    def likeness(other: str) -> tuple[float, int]:
        return difflib.SequenceMatcher(None, other, name).ratio(), _begin_alike(name, other)

    best = max(names, key=likeness, default=None)
    return best if best is not None and likeness(best)[0] >= cutoff else None


def _begin_alike(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
