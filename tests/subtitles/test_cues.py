from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prvr.core.facts import Cue
from prvr.search.spoken import read_file
from prvr.subtitles.cues import parse_subtitles

SRT = """1
00:00:01,000 --> 00:00:03,500
<i>Look</i> at the
dog &amp; cat!

2
00:01:02,250 --> 00:01:04,000 X1:40 X2:600
{\\an8}Where?
"""
VTT = """WEBVTT - made by hand

NOTE this is
a comment

STYLE
::cue { color: red }

intro
00:01.000 --> 00:03.500 line:90% align:start
<v Anna>Look at the <00:02.000><c.loud>dog</c>

01:00:00.5 --> 01:00:02
later
"""


def parsed(text: str) -> tuple[list[Cue], list[str]]:
    notes: list[str] = []
    return list(parse_subtitles(text, name="a.srt", notes=notes)), notes


def test_subrip_by_hand() -> None:
    assert parsed(SRT) == ([Cue(1.0, 3.5, "Look at the dog & cat!"), Cue(62.25, 64.0, "Where?")], [])


def test_webvtt_by_hand() -> None:
    assert parsed(VTT) == ([Cue(1.0, 3.5, "Look at the dog"), Cue(3600.5, 3602.0, "later")], [])


@pytest.mark.parametrize(
    "content",
    [
        SRT.encode(),
        SRT.replace("\n", "\r\n").encode("utf-8-sig"),
        SRT.replace("\n", "\r").encode(),
        SRT.replace("\n\n", "\n").encode(),
        SRT.encode("utf-16"),
        SRT.replace(",", ".").encode(),
        SRT.replace("00:00:01,000", "0:1,0").encode(),
        SRT.replace("00:00:01,000 --> ", "00 : 00:01:000-->").encode(),
        SRT.replace("-->", "\u2013>").encode(),
        ("\n\n" + SRT).encode(),
    ],
)
def test_the_same_subtitles_however_they_are_written(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "film.srt").write_bytes(content)
    notes: list[str] = []
    cues = read_file(tmp_path / "film.srt", notes)
    assert [cue.text for cue in cues] == ["Look at the dog & cat!", "Where?"]
    assert [cue.start_s for cue in cues] == [1.0, 62.25]
    assert not notes


def test_a_bad_cue_is_left_out_with_a_note_and_the_rest_is_kept() -> None:
    text = (
        "1\n00:00:01 --> nonsense\nlost\n\n2\n00:00:05,0 --> 00:00:04,0\nback\n\n3\n00:00:06,0 --> 00:00:07,0\ngood\n"
    )
    cues, notes = parsed(text)
    assert cues == [Cue(6.0, 7.0, "good")]
    assert notes == [
        "a.srt: line 2 has no readable times ('00:00:01 --> nonsense'); that cue, and 1 more like it are left out"
    ]
    _, notes = parsed(text.replace("00:00:04,0", "00:00:05,5"))
    assert notes == ["a.srt: line 2 has no readable times ('00:00:01 --> nonsense'); that cue is left out"]


def test_empty_lines_inside_a_cue_of_subrip() -> None:
    text = "1\n00:00:01,0 --> 00:00:02,0\nfirst\n\nsecond\n\n\n2\n00:00:03,0 --> 00:00:04,0\n\nlast\n\n"
    assert parsed(text) == ([Cue(1.0, 2.0, "first second"), Cue(3.0, 4.0, "last")], [])


def test_a_number_that_is_said_is_no_number_of_a_cue() -> None:
    text = "1\n00:00:01,0 --> 00:00:02,0\n42\n\n2\n00:00:03,0 --> 00:00:04,0\n7\n"
    assert [cue.text for cue in parsed(text)[0]] == ["42", "7"]


@pytest.mark.parametrize("blank", [" ", ""])
def test_rolling_captions_begin_with_a_blank_line(blank: str) -> None:
    text = (
        "WEBVTT\nKind: captions\nLanguage: en\n\n"
        f"00:00:00.160 --> 00:00:03.429 align:start position:0%\n{blank}\n"
        "tie<00:00:00.960><c> a</c><00:00:01.520><c> knot</c>\n\n"
        f"00:00:03.429 --> 00:00:03.439 align:start\ntie a knot\n{blank}\n\n"
    )
    assert parsed(text) == ([Cue(0.16, 3.429, "tie a knot"), Cue(3.429, 3.439, "tie a knot")], [])


def test_notes_styles_and_regions_are_not_said() -> None:
    text = (
        "WEBVTT\n\nREGION\nid:r\n\n1\n00:01.000 --> 00:02.000\n\nNOTE nothing is said\n\n"
        "00:03.000 --> 00:04.000\nsaid\n\nSTYLE\n::cue { color: red }\n\nNOTE\nover two\nlines\n\n"
        "a name\n00:05.000 --> 00:06.000\nNOTE as a word\n"
    )
    assert parsed(text) == ([Cue(3.0, 4.0, "said"), Cue(5.0, 6.0, "NOTE as a word")], [])


def test_segments_of_a_stream_count_from_the_first() -> None:
    head = "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:{}\n\n00:01.000 --> 00:02.000\n{}\n\n"
    text = head.format(900_000, "one") + head.format(1_800_000, "two")
    assert parsed(text) == ([Cue(1.0, 2.0, "one"), Cue(11.0, 12.0, "two")], [])
    near = 2**33 - 900_000  # the ticks start again between the two
    assert parsed(head.format(near, "one") + head.format(900_000, "two"))[0][1] == Cue(21.0, 22.0, "two")
    turned = head.replace("LOCAL:00:00:00.000,MPEGTS:{}", "MPEGTS:{},LOCAL:00:00:10.000")
    assert parsed(head.format(0, "one") + turned.format(1_800_000, "two"))[0][1] == Cue(11.0, 12.0, "two")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("a < b & c > d", "a < b & c > d"),
        ("I <3 you > them", "I <3 you > them"),
        ("<font color='#fff'>red</font><br>blue", "red blue"),
        ("<v Anna Maria>hello <lang en>there</lang>", "hello there"),
        ("{\\an8}{y:i}up {here}", "up {here}"),
        ("<i>it's</i> &lt;b&gt; &#8217;", "it's <b> ’"),
    ],
)
def test_mark_up_is_taken_out_and_what_looks_like_it_stays(written: str, said: str) -> None:
    assert [cue.text for cue in parsed(f"1\n00:00:01,0 --> 00:00:02,0\n{written}\n")[0]] == [said]


def test_an_arrow_that_is_said() -> None:
    assert [cue.text for cue in parsed("1\n00:00:01,0 --> 00:00:02,0\nleft --> right\n")[0]] == ["left --> right"]


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_without_an_error_into_cues_in_order(text: str) -> None:
    cues, _ = parsed(text)
    assert all(cue.start_s < cue.end_s and cue.text for cue in cues)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**7),
            st.integers(1, 10**5),
            st.text(st.characters(categories=["L"]), min_size=1, max_size=9),
        )
    )
)
def test_what_was_written_is_read(rows: list[tuple[int, int, str]]) -> None:
    def stamp(thousandths: int) -> str:
        minutes, rest = divmod(thousandths, 60_000)
        return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"

    text = "".join(f"{n}\n{stamp(a)} --> {stamp(a + b)}\n{said}\n\n" for n, (a, b, said) in enumerate(rows, 1))
    cues, notes = parsed(text)
    assert not notes
    assert [(cue.text, round(1000 * cue.start_s), round(1000 * cue.end_s)) for cue in cues] == [
        (said, a, a + b) for a, b, said in rows
    ]
