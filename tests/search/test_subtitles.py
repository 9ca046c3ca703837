from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prvr.search.subtitles import parse_subtitles, read_cues, read_subtitles, subtitle_files

from prvr.core.types import Cue

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
        ("\n\n" + SRT).encode(),
    ],
)
def test_the_same_subtitles_however_they_are_written(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "film.srt").write_bytes(content)
    assert [cue.text for cue in read_cues(tmp_path / "film.mp4")] == ["Look at the dog & cat!", "Where?"]
    assert [cue.start_s for cue in read_cues(tmp_path / "film.mp4")] == [1.0, 62.25]


def test_old_encodings_are_read_as_latin_1(tmp_path: Path) -> None:
    (tmp_path / "film.srt").write_bytes("1\n00:00:01,000 --> 00:00:02,000\nCafé für Señor\n".encode("latin-1"))
    assert read_cues(tmp_path / "film.mp4") == [Cue(1.0, 2.0, "Café für Señor")]


def test_a_bad_cue_is_left_out_with_a_note_and_the_rest_is_kept() -> None:
    text = (
        "1\n00:00:01 --> nonsense\nlost\n\n2\n00:00:05,0 --> 00:00:04,0\nback\n\n3\n00:00:06,0 --> 00:00:07,0\ngood\n"
    )
    cues, notes = parsed(text)
    assert cues == [Cue(6.0, 7.0, "good")]
    assert notes == [
        "a.srt: line 2 has no readable times ('00:00:01 --> nonsense'); that cue is left out",
        "a.srt: line 6 ends before it starts ('00:00:05,0 --> 00:00:04,0'); that cue is left out",
    ]


def test_which_files_accompany_a_video(tmp_path: Path) -> None:
    ours = ["film.srt", "film.vtt", "film.en.srt", "film.pt-BR.VTT", "film.de.forced.srt"]
    others = ["film2.srt", "film.part2.srt", "film.txt", "afilm.srt", "film.mp4", "film.en.ass"]
    for name in ours + others:
        (tmp_path / name).write_text(SRT)
    (tmp_path / "film.fr.srt").mkdir()
    assert [file.name for file in subtitle_files(tmp_path / "film.mp4")] == sorted(ours)
    found = read_subtitles(tmp_path / "film.mp4")
    assert len(found.cues) == 2, "the same cue in several files is one"
    assert read_cues(tmp_path / "other.mp4") == []
    assert read_cues(tmp_path / "nowhere" / "film.mp4") == []


def test_what_is_no_subtitle_file_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "film.srt").write_bytes(bytes(range(256)) * 10)
    assert read_subtitles(tmp_path / "film.mp4").cues == ()
    monkeypatch.setattr("prvr.search.subtitles.LARGEST", 100)
    assert "is larger than" in read_subtitles(tmp_path / "film.mp4").notes[0]


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
