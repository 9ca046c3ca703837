"""What is exported is read back: by its own library, by other parsers, by a slow one of ours."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import pytest
from av.stream import Disposition

from prvr.core.errors import ConfigError, VideoError
from prvr.core.types import Hit, Span
from prvr.search.clips import clips_of
from prvr.search.export import export
from prvr.subtitles.cues import parse_subtitles
from prvr.video.clipping import copy_clip, save_clip
from prvr.video.probe import probe
from tests.video.make import SOUND, steps, write_tone, write_video
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


def test_tables_compute_nothing(hits: Sequence[Hit], tmp_path: Path) -> None:
    hostile = replace(hits[0], quote='=HYPERLINK("http://a")', video_id="@a\x1b[2J.mp4")
    (row, *_) = csv.DictReader(io.StringIO(export([hostile], tmp_path / "x.csv", query="-tree =1+1").read_text()))
    assert (row["query"], row["video"], row["quote"]) == (
        "'-tree =1+1",
        r"'@a\x1b[2J.mp4",
        '\'=HYPERLINK("http://a")',
    )
    assert "\x1b" not in export([hostile], tmp_path / "x.vtt", query="a\x1b[2J").read_text()


def test_chapters(hits: Sequence[Hit], tmp_path: Path) -> None:
    late_first = replace(hits[0], moments=hits[0].moments[::-1])
    text = export([late_first], tmp_path / "x.vtt", query=ODD).read_text(encoding="utf-8")
    assert text.startswith("WEBVTT\n\n")
    cues = list(parse_subtitles(text, name="x.vtt", notes=[]))
    assert [(cue.start_s, cue.end_s) for cue in cues] == [(2.0, 3.5), (8.0, 9.9)]
    assert cues[0].text == " ".join(ODD.split())
    with pytest.raises(ConfigError, match="is of one video, not of 2"):
        export(hits, tmp_path / "x.vtt")


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


def test_all_moments_as_one_film(hits: Sequence[Hit], tmp_path: Path) -> None:
    out = export(hits, tmp_path / "goals.reel.mp4", after_s=0.1)
    assert probe(out).duration_s == pytest.approx(1.6 + 2.0 + 1.34, abs=0.1)  # a picture at the first film's rate
    times, drawn = clocks(out)
    first = [next(d for t, d in zip(times, drawn, strict=True) if t >= at - 0.01) for at in (0, 1.6, 3.6)]
    assert first == pytest.approx([2.0, 8.0, 0.0]), "best video and best moment first"


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
    with pytest.raises(
        ConfigError, match=r"cannot write '.doc'; name it one of .csv, .json, .edl, .otio, .fcpxml, .xml, "
    ):
        export(hits, tmp_path / "x.doc")
    with pytest.raises(ConfigError, match="there is no moment to write"):
        export([], tmp_path / "x.csv")
    with pytest.raises(ConfigError, match="x.csv: cannot be written"):
        export(hits, tmp_path / "no" / "x.csv")
    (tmp_path / "one.mp4").unlink()
    for suffix in (".edl", ".otio", ".fcpxml", ".xml", ".markers.edl", ".mp4"):
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


def test_hevc_is_copied_as_the_kind_that_quicktime_plays(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mkv"):
        closed = {"x265-params": "log-level=none:bframes=0:open-gop=0:keyint=10:scenecut=0"}
        write_video(tmp_path / name, steps(3, 10), codec="libx265", gop=10, sound=True, options=closed)
        assert save_clip(tmp_path / name, 1.0, 2.0, tmp_path / "out.mp4")
        with av.open(tmp_path / "out.mp4") as container:
            assert container.streams.video[0].codec_context.codec_tag == "hvc1"
        assert clocks(tmp_path / "out.mp4")[1][0] == pytest.approx(1.0)


@pytest.mark.parametrize("start", [0.0, 0.5])  # copied, and encoded again
def test_the_sound_of_a_clip_is_the_default_one(tmp_path: Path, start: float) -> None:
    path = tmp_path / "two.mkv"
    write_video(tmp_path / "one.mp4", steps(3, 10), gop=10, options={"bf": "0", "sc_threshold": "0"})
    with av.open(path, "w") as out, av.open(tmp_path / "one.mp4") as pictures:
        video = out.add_stream_from_template(pictures.streams.video[0])
        sounds = [out.add_stream("aac", rate=SOUND, layout="mono") for _ in range(2)]
        sounds[0].disposition, sounds[1].disposition = Disposition(0), Disposition.default
        for packet in pictures.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                out.mux(packet)
        write_tone(out, sounds[1], 3.0)  # the first one stays empty but for a moment
        write_tone(out, sounds[0], 0.1)
    assert save_clip(path, start, 2.0, tmp_path / "out.mp4") == (start == 0.0)
    with av.open(tmp_path / "out.mp4") as container:
        heard = [frame.time or 0.0 for frame in container.decode(audio=0)]
    assert heard[-1] > 2.0 - start - 0.1
