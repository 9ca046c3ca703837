"""Names of files as text, whatever bytes they are made of, and back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prvr.core.facts import Facts, Where
from prvr.core.text import cell, folded, one_line, path_of, printable, text_of


@given(st.binary(min_size=1).filter(lambda raw: b"\0" not in raw))
@example(b"caf\xe9.mp4")
@example("café.mp4".encode())
@example(rb"\xe9")
@example(rb"\x5cxe9")
@example(b"\\\xe9")
@example(rb"\\xe9" + b"\xe9")
def test_every_name_comes_back_from_its_text(raw: bytes) -> None:
    path = Path(os.fsdecode(raw))
    text = text_of(path)
    assert path_of(text) == path
    assert json.loads(json.dumps(text)) == text
    text.encode()  # which no lone byte is left in


def test_names_read_as_they_are_written() -> None:
    assert text_of(Path("été/caf\udce9 \\x.mp4")) == "été/caf\\xe9 \\x.mp4"
    assert text_of(Path("plain/a.mp4")) == "plain/a.mp4"


@pytest.mark.parametrize(
    ("text", "path", "meant"),
    [
        ("été", "E\u0301te\u0301/a.mp4", True),
        ("ete", "E\u0301te\u0301/a.mp4", True),
        ("ÉTÉ", "été/a.mp4", True),
        ("E\u0301te\u0301", "été/a.mp4", True),
        ("STRASSE", "Straße.mp4", True),
        ("[id]", "film [id].mp4", True),
        ("[ID]", "film [id].mp4", True),
        ("[id]", "film d.mp4", False),
        ("what?", "what?.mp4", True),
        ("what?.mp4", "what1.mp4", True),
        ("a*b", "x a*b.mp4", True),
        ("a*b", "x ab.mp4", False),
        ("*été*", "E\u0301te\u0301/a.mp4", True),
        ("*[x264].mp4", "film [x264].mp4", True),
        ("*.mp[3-4]", "film.mp4", True),
        ("*.mp[!4]", "film.mp4", False),
        ("what？", "what？.mp4", True),
    ],
)
def test_a_path_is_meant_letter_for_letter_or_folded(text: str, path: str, meant: bool) -> None:
    assert Where(path=text).holds(Facts(path=path)) is meant


def test_folding_forgets_case_and_accents() -> None:
    assert folded("ÉTÉ") == folded("E\u0301te\u0301") == "ete"
    assert folded("ABC") == "abc"


def test_what_steers_a_terminal_is_written_out() -> None:
    hostile = "a\x1b[2J\x9b1m\x07\r\u202egpj.exe\u2066b"
    assert printable(hostile) == r"a\x1b[2J\x9b1m\x07\r\u202egpj.exe\u2066b"
    assert printable("two\nlines\t\u00e9 \U0001f469\u200d\U0001f52c \u05e9\u05dc") == (
        "two\nlines\t\u00e9 \U0001f469\u200d\U0001f52c \u05e9\u05dc"
    )
    assert one_line("a\nb\tc\x1b") == r"a\nb\tc\x1b"


def test_cells_that_a_spreadsheet_would_compute_are_marked() -> None:
    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"):
        assert str(cell(text)).startswith("'")
    assert [cell(value) for value in ("a=1", "", 1.5, -1, None)] == ["a=1", "", 1.5, -1, None]
    assert cell("=\x1b[2J") == r"'=\x1b[2J"
