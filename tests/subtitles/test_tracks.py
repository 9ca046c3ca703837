"""Text tracks inside a video, and files that FFmpeg reads, without mark-up and at the time of the pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from prvr.core.facts import Cue
from prvr.search.spoken import read_file
from prvr.subtitles.tracks import TextTrack, read_tracks
from prvr.video.decode import sample_frames
from tests.subtitles.make import write_spoken
from tests.video.make import steps, write_video

MARKED = {
    "subrip": "the <i>heron</i> &amp; {\\an8}crane",
    "mov_text": "the heron & crane",
    "ass": "{\\i1}the{\\i0} heron\\N& crane{\\p1}m 0 0 l 5 5{\\p0}",
}


@pytest.mark.parametrize(
    ("codec", "name"), [("subrip", "a.mkv"), ("ass", "a.mkv"), ("mov_text", "a.mp4"), ("mov_text", "a.mov")]
)
def test_text_tracks_are_read(tmp_path: Path, codec: str, name: str) -> None:
    write_spoken(tmp_path / name, (codec, [(500, 1500, MARKED[codec]), (2000, 3250, "later, on")]))
    notes: list[str] = []
    (track,) = read_tracks(tmp_path / name, notes)
    assert track.cues == (Cue(0.5, 1.5, "the heron & crane"), Cue(2.0, 3.25, "later, on"))
    assert not notes


def test_several_tracks_keep_their_languages(tmp_path: Path) -> None:
    said = [("subrip", [(500, 1500, "good morning")]), ("ass", [(500, 1500, "guten Morgen")])]
    write_spoken(tmp_path / "a.mkv", *said, languages=["eng", "ger"])
    assert [(track.language, track.cues[0].text) for track in read_tracks(tmp_path / "a.mkv", [])] == [
        ("eng", "good morning"),
        ("ger", "guten Morgen"),
    ]


def test_tracks_count_as_the_pictures_do(tmp_path: Path) -> None:
    write_spoken(tmp_path / "a.mkv", ("subrip", [(6000, 7000, "a second after the first picture")]), late_s=5)
    assert read_tracks(tmp_path / "a.mkv", [])[0].cues == (Cue(6.0, 7.0, "a second after the first picture"),)
    (batch,) = sample_frames(tmp_path / "a.mkv", rate=1.0)
    assert batch.times.tolist()[:2] == [5.0, 6.0]


def test_a_video_without_tracks_and_a_file_that_is_none(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(1, 5))
    (tmp_path / "b.mp4").write_bytes(b"junk")
    notes: list[str] = []
    found: list[TextTrack] = read_tracks(tmp_path / "a.mp4", notes) + read_tracks(tmp_path / "b.mp4", notes)
    assert (found, notes) == ([], [])


@pytest.mark.parametrize("name", ["a.ass", "a.SSA"])
def test_files_of_substation(tmp_path: Path, name: str) -> None:
    text = (
        "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname\nStyle: Default,Arial\n\n[Events]\n"
        "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
        "Comment: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,not said\n"
        "Dialogue: 0,0:00:05.00,0:00:06.00,Default,,0,0,0,,second\n"
        "Dialogue: 0,0:00:01.50,0:00:03.25,Default,,0,0,0,,{\\pos(1,2)}Žluťoučký\\Nkůň, dobrý\\hden\n"
    )
    (tmp_path / name).write_bytes(text.encode("cp1250"))
    notes: list[str] = []
    assert sorted(read_file(tmp_path / name, notes)) == [
        Cue(1.5, 3.25, "Žluťoučký kůň, dobrý den"),
        Cue(5.0, 6.0, "second"),
    ]
    assert not notes


def test_what_is_no_substation_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.ass").write_bytes(bytes(range(256)) * 10)
    notes: list[str] = []
    assert read_file(tmp_path / "a.ass", notes) == []
    assert len(notes) == 1
    assert notes[0].startswith(f"{tmp_path / 'a.ass'}: ")
