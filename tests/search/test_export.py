"""What is exported is read back: by its own library, by other parsers, by a slow one of ours."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import opentimelineio as otio
import pytest

from prvr.core.errors import ConfigError, VideoError
from prvr.core.types import Hit, Span
from prvr.search.export import clips_of, export, timecode
from prvr.subtitles.cues import parse_subtitles
from prvr.video.clipping import copy_clip, save_clip
from prvr.video.probe import probe
from tests.video.make import steps, write_video
from tests.video.test_cut import clocks

ODD = 'a "red", ball <1> & more\n--> é'


@pytest.fixture
def hits(tmp_path: Path) -> list[Hit]:
    write_video(tmp_path / "one.mp4", steps(10, 10))
    write_video(tmp_path / "zwei, drei.mp4", steps(6, 25))
    return [
        found(tmp_path / "one.mp4", ((2.0, 3.5), (8.0, 9.9)), 10.0, quote='he said: "hi", twice\nthen left'),
        found(tmp_path / "zwei, drei.mp4", ((0.0, 1.24),), 6.0),
    ]


def found(path: Path, moments: tuple[Span, ...], duration_s: float, *, quote: str = "") -> Hit:
    return Hit(
        video_id=path.name,
        score=0.31,
        moments=moments,
        duration_s=duration_s,
        path=path,
        confidence="related",
        p_topic=0.012,
        quote=quote,
    )


def slow_edl(text: str, rate: int) -> list[tuple[str, list[int]]]:
    """Name and the four times, in frames, of every event of an edit list."""
    lines = text.splitlines()
    assert lines[0].startswith("TITLE: ")
    assert lines[1] == "FCM: NON-DROP FRAME"
    events: list[tuple[str, list[int]]] = []
    for number, line in enumerate(lines):
        match = re.fullmatch(r"(\d{3})  AX       V     C        ((?:\d\d:\d\d:\d\d:\d\d ?){4})", line)
        if match:
            assert int(match[1]) == len(events) + 1
            frames = []
            for code in match[2].split():
                hours, minutes, secs, rest = map(int, code.split(":"))
                assert rest < rate
                frames.append(((hours * 60 + minutes) * 60 + secs) * rate + rest)
            events.append((lines[number + 1].removeprefix("* FROM CLIP NAME: "), frames))
    return events


def test_tables(hits: Sequence[Hit], tmp_path: Path) -> None:
    with export(hits, tmp_path / "x.csv", query=ODD).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["rank"], row["moment"], row["start_s"], row["end_s"]) for row in rows] == [
        ("1", "1", "2.0", "3.5"),
        ("1", "2", "8.0", "9.9"),
        ("2", "1", "0.0", "1.24"),
    ]
    assert rows[0]["query"] == ODD
    assert rows[0]["quote"] == hits[0].quote
    assert rows[2]["path"] == str(tmp_path / "zwei, drei.mp4")
    assert rows[0]["p_instance"] == ""
    content = json.loads(export(hits, tmp_path / "x.json", query=ODD).read_text(encoding="utf-8"))
    assert content["query"] == ODD
    assert [(clip["start_s"], clip["end_s"], clip["p_topic"]) for clip in content["clips"]] == [
        (2.0, 3.5, 0.012),
        (8.0, 9.9, 0.012),
        (0.0, 1.24, 0.012),
    ]


def test_chapters(hits: Sequence[Hit], tmp_path: Path) -> None:
    late_first = replace(hits[0], moments=hits[0].moments[::-1])
    text = export([late_first], tmp_path / "x.vtt", query=ODD).read_text(encoding="utf-8")
    assert text.startswith("WEBVTT\n\n")
    cues = list(parse_subtitles(text, name="x.vtt", notes=[]))
    assert [(cue.start_s, cue.end_s) for cue in cues] == [(2.0, 3.5), (8.0, 9.9)]
    assert cues[0].text == " ".join(ODD.split())
    with pytest.raises(ConfigError, match="is of one video, not of 2"):
        export(hits, tmp_path / "x.vtt")


def test_edit_list(hits: Sequence[Hit], tmp_path: Path) -> None:
    text = export(hits, tmp_path / "x.edl", query=ODD).read_text(encoding="ascii")
    assert slow_edl(text, 10) == [
        ("one.mp4", [20, 35, 0, 15]),
        ("one.mp4", [80, 99, 15, 34]),
        ("zwei, drei.mp4", [0, 12, 34, 46]),
    ]
    assert text.count("* RATE: 10.000") == 3
    assert text.count("* THE FILE ITSELF RUNS AT 25.000") == 1


def test_timeline(hits: Sequence[Hit], tmp_path: Path) -> None:
    timeline = otio.adapters.read_from_file(str(export(hits, tmp_path / "x.otio", query=ODD)))
    assert timeline.name == ODD
    (track,) = timeline.video_tracks()
    clips = list(track.find_clips())
    spans = [clip.trimmed_range() for clip in clips]
    assert [(span.start_time.to_seconds(), span.duration.to_seconds()) for span in spans] == [
        (2.0, 1.5),
        (8.0, pytest.approx(1.9)),
        (0.0, pytest.approx(1.24)),
    ]
    assert [span.start_time.rate for span in spans] == [10, 10, 25]
    assert clips[2].media_reference.target_url == (tmp_path / "zwei, drei.mp4").as_uri()
    assert clips[2].available_range().duration.to_seconds() == pytest.approx(6.0)
    assert clips[0].metadata["prvr"]["quote"] == hits[0].quote


def test_timecode_by_hand() -> None:
    ntsc = Fraction(30_000, 1001)
    assert timecode(0, ntsc) == "00:00:00:00"
    assert timecode(1799, ntsc) == "00:00:59:29"
    assert timecode(1800, ntsc) == "00:01:00:00", "no number is dropped"
    assert timecode(25 * 3600 * 2 + 24, Fraction(25)) == "02:00:00:24"


def test_an_edit_list_of_ntsc_counts_as_thirty(tmp_path: Path) -> None:
    times = [frame * 1001 / 30_000 for frame in range(90)]
    write_video(tmp_path / "ntsc.mp4", times)
    hit = found(tmp_path / "ntsc.mp4", ((times[30], times[60]),), 3.0)
    assert slow_edl(export([hit], tmp_path / "x.edl").read_text(), 30) == [("ntsc.mp4", [30, 60, 0, 30])]


def test_in_and_out_are_moved_within_the_video(hits: Sequence[Hit]) -> None:
    wide = clips_of(hits, before_s=3, after_s=0.5)
    assert [(clip.start_s, clip.end_s) for clip in wide] == [(0.0, 4.0), (5.0, 10.0), (0.0, 1.74)]
    narrow = clips_of(hits[:1], before_s=-0.5, after_s=-0.25, best_only=True)
    assert [(clip.start_s, clip.end_s) for clip in narrow] == [(2.5, 3.25)]
    with pytest.raises(ConfigError, match=r"one.mp4: nothing is left of the moment 2.00-3.50 s"):
        clips_of(hits, before_s=-1.0, after_s=-0.6)


def test_a_clip_is_cut_exactly(hits: Sequence[Hit], tmp_path: Path) -> None:
    out = export(hits[:1], tmp_path / "clip.mp4", before_s=0.3, after_s=0.5)
    assert probe(out).duration_s == pytest.approx(2.3, abs=0.06)
    assert clocks(out)[1][0] == pytest.approx(1.7)


def test_packets_are_copied_where_that_is_exact(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(8, 10), gop=20, sound=True)
    with av.open(tmp_path / "a.mp4") as container:
        keys = [
            float((packet.pts or 0) * packet.time_base) for packet in container.demux(video=0) if packet.is_keyframe
        ]
    start, end = keys[1], keys[2]
    assert save_clip(tmp_path / "a.mp4", start, end, tmp_path / "copy.mp4")
    times, drawn = clocks(tmp_path / "copy.mp4")
    assert drawn == pytest.approx([start + t for t in times], abs=0.01)
    assert (drawn[0], drawn[-1]) == pytest.approx((start, end - 0.1), abs=0.01)
    info = probe(tmp_path / "copy.mp4")
    assert info.audio_codec == "aac"
    assert info.duration_s == pytest.approx(end - start, abs=0.06)
    assert not save_clip(tmp_path / "a.mp4", start + 0.5, end, tmp_path / "cut.mp4"), "no key frame stands there"
    assert clocks(tmp_path / "cut.mp4")[1][0] == pytest.approx(start + 0.5)
    assert not copy_clip(tmp_path / "a.mp4", start, end, tmp_path / "x.webm"), "H.264 is not for WebM"
    assert copy_clip(tmp_path / "a.mp4", start + 0.5, end, tmp_path / "fast.mp4", fast=True)
    assert clocks(tmp_path / "fast.mp4")[1][0] == pytest.approx(start), "fast begins at the key frame before"
    assert [path for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


@pytest.mark.parametrize("name", ["a.avi", "a.ts"])
def test_what_has_no_clock_that_can_be_sought_by_is_encoded_again(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / name, steps(4, 10))
    assert not save_clip(tmp_path / name, 0.0, 2.0, tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4").duration_s == pytest.approx(2.0, abs=0.11)


def test_what_cannot_be_written_says_why(hits: Sequence[Hit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"cannot write '.doc'; name it one of .csv, .json, .edl, .otio, .vtt, .mp4"):
        export(hits, tmp_path / "x.doc")
    with pytest.raises(ConfigError, match="there is no moment to write"):
        export([], tmp_path / "x.csv")
    with pytest.raises(ConfigError, match="x.csv: cannot be written"):
        export(hits, tmp_path / "no" / "x.csv")
    (tmp_path / "one.mp4").unlink()
    for suffix in (".edl", ".otio", ".mp4"):
        with pytest.raises(VideoError, match=r"one.mp4: is not there any more"):
            export(hits[:1], tmp_path / f"x{suffix}")
    assert not list(tmp_path.glob("x.*")), "nothing was written"
    assert "one.mp4" in export(hits, tmp_path / "x.csv").read_text(), "a table needs no file"
    monkeypatch.setitem(__import__("sys").modules, "opentimelineio", None)
    with pytest.raises(ConfigError, match=r"pip install 'prvr\[otio\]'"):
        export(hits[1:], tmp_path / "x.otio")


def test_csv_is_the_one_of_the_rfc(hits: Sequence[Hit], tmp_path: Path) -> None:
    raw = export(hits, tmp_path / "x.csv", query="q").read_bytes()
    assert raw.count(b"\r\n") == 4
    assert next(csv.reader(io.StringIO(raw.decode())))[:4] == ["query", "rank", "moment", "video"]
