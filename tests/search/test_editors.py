"""Lists for editing programs, read back by OpenTimelineIO and its adapters, and by hand where these are wrong."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import opentimelineio as otio
import pytest

from prvr.core.errors import ConfigError
from prvr.core.types import Hit, Span
from prvr.search.export import WRITERS, export
from prvr.video.timecode import NTSC, WHOLE, Timebase, camera_label, timebase_for
from tests.video.make import write_video

ODD = 'a "red", ball <1> | & more\n--> é \udcff\x01'
F23, F29, F59 = NTSC
EDITORS = [form for form in WRITERS if form not in (".csv", ".json", ".vtt")]


def film(path: Path, rate: Fraction | int, timecode: str = "", *, seconds: int = 1, sound: int = 0) -> Path:
    """So many seconds at a rate, with a start timecode and a tone on so many channels."""
    with av.open(path, "w") as out:
        video = out.add_stream("mpeg2video" if path.suffix == ".mxf" else "libx264", rate=rate)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        if timecode:
            out.metadata["timecode"] = timecode
        audio = out.add_stream("aac", rate=32_000, layout="stereo" if sound == 2 else "mono") if sound else None
        for number in range(round(seconds * rate)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number % 255, np.uint8), format="rgb24")
            frame.pts = number
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio is not None:
            quiet = av.AudioFrame.from_ndarray(np.zeros((sound, 1024), np.float32), "fltp", audio.layout.name)
            quiet.sample_rate, quiet.pts, quiet.time_base = 32_000, 0, Fraction(1, 32_000)
            out.mux(audio.encode(quiet))
            out.mux(audio.encode(None))
    return path


def found(path: Path, *moments: Span, duration_s: float = 20.0, quote: str = "") -> Hit:
    """The lists go by the hit for the length and by the file for the rate, so that the files can be short."""
    return Hit(video_id=path.name, score=0.31, moments=moments, duration_s=duration_s, path=path, quote=quote)


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("cameras")
    return [
        film(folder / "cam a.mov", 25, "10:00:00:00", sound=2),
        film(folder / "cam_b.mov", F29, "01:00:00;00"),
        film(folder / "cam_c.mov", F29, "01:00:00:00", sound=1),
    ]


def clips(timeline: Any, kind: str = "Video") -> list[Any]:
    return [clip for clip in timeline.find_clips() if clip.parent().kind == kind]


def frames(of: Any) -> tuple[float, float, float]:
    return of.start_time.value, of.duration.value, of.start_time.rate


def edl(path: Path) -> Any:
    """An edit list as OpenTimelineIO reads it at the rate that it says."""
    said = float(re.findall(r"^\* RATE: ([\d.]+)$", path.read_text(), re.MULTILINE)[0])
    rate = min(map(float, NTSC + WHOLE), key=lambda rate: abs(rate - said))
    return otio.adapters.read_from_file(str(path), adapter_name="cmx_3600", rate=rate)


def test_labels_are_those_of_opentimelineio() -> None:
    by_hand = {1799: "00:00:59;29", 1800: "00:01:00;02", 17_982: "00:10:00;00", 107_892: "01:00:00;00"}
    assert {frame: Timebase(F29, drop=True).label(frame) for frame in by_hand} == by_hand
    assert Timebase(F59, drop=True).label(3600) == "00:01:00;04"
    assert Timebase(F29).label(1800) == "00:01:00:00", "without drop-frame no number is left out"
    for rate in NTSC + WHOLE:
        for drop in {False, rate in (F29, F59)}:
            timebase, day = Timebase(rate, drop), 24 * 3600 * round(rate)
            tried = [*range(0, 40_000, 599), *range(1_700, 1_900), *range(day // 2, day - 3_000, 7_919 * 30)]
            for frame in tried:
                label = otio.opentime.RationalTime(frame, float(rate)).to_timecode(float(rate), drop)
                assert (timebase.label(frame), timebase.number(label)) == (label, frame)
    assert Timebase(Fraction(25)).label(24 * 3600 * 25 + 3) == "00:00:00:03"
    assert [Timebase(Fraction(25)).number(text) for text in ("", "10:00", "01:60:00:00", "1:0:0:0")] == [None] * 4


@pytest.mark.parametrize(
    "shown, counted",
    [
        *(
            (23.976, F23),
            (24, 24),
            (25.0, 25),
            (29.97, F29),
            (29.971, F29),
            (30.0, 30),
            (50, 50),
            (59.94, F59),
            (60, 60),
        ),
        *((10, 30), (12, 24), (12.5, 25), (15, 30), (1, 24), (100, 50), (119.88, F59), (120, 60), (240, 60)),
        *((5.314, 24), (27.67, 30), (29.5, 30), (0.003, 24), (1000, 50)),
    ],
)
def test_every_rate_is_counted_at_one_of_timecode(shown: float, counted: Fraction) -> None:
    assert timebase_for(shown) == (counted, counted in (F29, F59))


@pytest.mark.parametrize("name", ["a.mov", "a.mp4", "a.mxf", "a.asf", "a.mkv", "a.avi"])
def test_the_timecode_of_the_camera_is_found(name: str, tmp_path: Path) -> None:
    assert camera_label(film(tmp_path / name, 25, "10:11:12:13")).timecode == "10:11:12:13"


def test_no_timecode_and_none_that_makes_sense(tmp_path: Path) -> None:
    assert camera_label(film(tmp_path / "a.mp4", 25)) == (None, None, 0)
    assert camera_label(film(tmp_path / "a.mkv", 25, "yesterday", sound=1)) == (None, None, 1)


def test_a_moment_is_found_by_the_timecode_of_the_camera(cameras: list[Path], tmp_path: Path) -> None:
    hits = [found(path, (8.0, 12.0)) for path in cameras]
    labels = ["10:00:08:00 10:00:12:00", "01:00:08;00 01:00:12;00", "01:00:08:00 01:00:12:00"]
    starts: list[tuple[float, float, float]] = [
        (900_200, 100, 25),
        (108_132, 120, float(F29)),
        (108_240, 120, float(F29)),
    ]
    begins = [(900_000, 500, 25), (107_892, 599, float(F29)), (108_000, 599, float(F29))]
    for hit, label, start in zip(hits, labels, starts, strict=True):
        text = export([hit], tmp_path / "x.edl").read_text()
        assert f"001  AX       V     C        {label} 00:00:00" in text
        assert ("FCM: DROP FRAME" in text) == (";" in label)
        assert frames(clips(edl(tmp_path / "x.edl"))[0].trimmed_range()) == start
    timelines = [
        otio.adapters.read_from_file(str(export(hits, tmp_path / "x.otio"))),
        otio.adapters.read_from_file(str(export(hits, tmp_path / "x.xml")), adapter_name="fcp_xml"),
    ]
    for timeline in timelines:
        assert [frames(clip.media_reference.available_range) for clip in clips(timeline)] == begins
        assert [clip.media_reference.target_url for clip in clips(timeline)] == [path.as_uri() for path in cameras]
    assert [frames(clip.trimmed_range()) for clip in clips(timelines[0])] == starts
    (timeline,) = otio.adapters.read_from_file(
        str(export(hits[:1], tmp_path / "x.fcpxml")), adapter_name="fcpx_xml"
    ).find_children(descended_from_type=otio.schema.Timeline)
    assert frames(clips(timeline)[0].trimmed_range()) == starts[0]
    assert frames(clips(timeline)[0].media_reference.available_range) == begins[0]


@pytest.mark.parametrize("rate", [10, 12, Fraction(25, 2), 15, F23, 25, F29, 30, 50, F59, 60, 120, None])
def test_every_list_stands_at_the_second_whatever_the_rate(rate: Fraction | int | None, tmp_path: Path) -> None:
    if rate is None:  # as screen recordings have it: 7 pictures a second in the mean
        distances = [0.02, 0.03, 0.1, 0.25, 0.3] * 4
        write_video(tmp_path / "a.mov", [sum(distances[:number]) for number in range(20)])
    else:
        film(tmp_path / "a.mov", rate, seconds=2)
    hit = found(tmp_path / "a.mov", (20.5, 21.5), (240.0, 250.0), duration_s=300)
    for read in (
        edl(export([hit], tmp_path / "x.edl")),
        otio.adapters.read_from_file(str(export([hit], tmp_path / "x.otio"))),
        otio.adapters.read_from_file(str(export([hit], tmp_path / "x.xml")), adapter_name="fcp_xml"),
    ):
        spans = [clip.trimmed_range() for clip in clips(read)]
        half = 0.5 / spans[0].start_time.rate + 1e-6
        assert [span.start_time.to_seconds() for span in spans] == pytest.approx([20.5, 240.0], abs=half)
        assert [span.duration.to_seconds() for span in spans] == pytest.approx([1.0, 10.0], abs=2 * half)
    text = export([hit], tmp_path / "x.edl").read_text()
    on_the_clock = rate not in (F23, F29, F59)  # at 23.976 an hour of labels is not an hour; ;00 of minute 4 is dropped
    assert ("00:04:00:00 00:04:10:00" in text) == on_the_clock
    for clip, at in zip(
        ET.parse(export([hit], tmp_path / "x.fcpxml")).findall(".//asset-clip"), (20.5, 240), strict=True
    ):
        assert float(Fraction((clip.get("start") or "").removesuffix("s"))) == pytest.approx(at, abs=0.021)


def test_a_list_has_one_rate_and_says_so(cameras: list[Path], tmp_path: Path) -> None:
    hits = [found(cameras[0], (2.0, 3.5), (8.0, 9.9)), found(cameras[2], (0.0, 1.24))]
    text = export(hits, tmp_path / "x.edl", query=ODD).read_text(encoding="ascii")
    assert text.splitlines()[0] == 'TITLE: a "red", ball <1> | & more --> ?'
    assert text.count("* RATE: 25.000") == 3
    assert text.count("* THE FILE ITSELF RUNS AT 29.970") == 1
    timeline = edl(tmp_path / "x.edl")
    hour = 3600 * 25
    spans = [frames(clip.trimmed_range())[:2] for clip in clips(timeline)]
    assert spans == [(10 * hour + 50, 38), (10 * hour + 200, 48), (hour, 31)]
    assert [frames(clip.range_in_parent())[:2] for clip in clips(timeline)] == [(0, 38), (38, 48), (86, 31)]
    with pytest.raises(ConfigError, match="an .edl holds 999 events, not 1000"):
        export([found(cameras[0], *[(1.0, 2.0)] * 1000)], tmp_path / "x.edl")


def test_the_sound_goes_along(cameras: list[Path], tmp_path: Path) -> None:
    hits = [found(path, (2.0, 3.0)) for path in cameras]
    timeline = otio.adapters.read_from_file(str(export(hits, tmp_path / "x.otio")))
    assert [clip.name for clip in clips(timeline, "Audio")] == ["cam a.mov", "cam_c.mov"]
    at = clips(timeline, "Audio")[1].range_in_parent().start_time.to_seconds()
    assert at == pytest.approx(2.0, abs=0.002), "there is a gap where the sound is missing"
    root = ET.parse(export(hits, tmp_path / "x.xml")).getroot()
    tracks = [[item.get("id") for item in track] for track in root.findall(".//track")]
    assert tracks == [
        ["clipitem-1-0", "clipitem-2-0", "clipitem-3-0"],
        ["clipitem-1-1", "clipitem-3-1"],
        ["clipitem-1-2"],
    ]
    links = [(link.findtext("linkclipref"), link.findtext("clipindex")) for link in root.findall(".//link")]
    assert set(links) == {
        *(("clipitem-1-0", "1"), ("clipitem-1-1", "1"), ("clipitem-1-2", "1")),
        *(("clipitem-2-0", "2"), ("clipitem-3-0", "3"), ("clipitem-3-1", "2")),
    }
    assets = ET.parse(export(hits, tmp_path / "x.fcpxml")).findall(".//asset")
    assert [asset.get("audioChannels") for asset in assets] == ["2", None, "1"]


def test_ntsc_in_fcpxml_is_whole_frames(cameras: list[Path], tmp_path: Path) -> None:
    """OpenTimelineIO's adapter reads 29 frames a second here, so that this is read by hand."""
    tree = ET.parse(export([found(cameras[1], (8.0, 12.0))], tmp_path / "x.fcpxml"))
    assert [step.get("frameDuration") for step in tree.findall(".//format")] == ["1001/30000s"]
    (clip,), (asset,) = tree.findall(".//asset-clip"), tree.findall(".//asset")
    times = [asset.get("start"), asset.get("duration"), clip.get("start"), clip.get("duration")]
    step = Fraction(1001, 30_000)
    assert [Fraction((time or "").removesuffix("s")) / step for time in times] == [107_892, 599, 108_132, 120]
    assert clip.get("tcFormat") == "DF"


def test_markers_on_whole_films(cameras: list[Path], tmp_path: Path) -> None:
    hits = [found(cameras[0], (8.0, 9.0), (2.0, 3.0), quote="so | it is"), found(cameras[2], (4.0, 5.0))]
    timeline = otio.adapters.read_from_file(str(export(hits, tmp_path / "x.markers.otio", query=ODD)))
    assert [frames(clip.trimmed_range())[:2] for clip in clips(timeline)] == [(900_000, 500), (108_000, 599)]
    marks = [frames(mark.marked_range)[:2] for clip in clips(timeline) for mark in clip.markers]
    assert marks == [(900_050, 25), (900_200, 25), (108_120, 30)]
    assert clips(timeline)[0].markers[0].comment == '#1, score 0.310, not calibrated: "so | it is"'
    assert clips(timeline)[0].markers[0].name == timeline.name == 'a "red", ball <1> | & more --> é'
    root = ET.parse(export(hits, tmp_path / "x.markers.xml", query=ODD)).getroot()
    assert [[mark.findtext(part) for part in ("in", "out")] for mark in root.findall("./sequence/marker")] == [
        ["50", "75"],
        ["200", "225"],
        ["600", "625"],
    ]
    root = ET.parse(export(hits, tmp_path / "x.markers.fcpxml", query=ODD)).getroot()
    assert [mark.get("start") for mark in root.findall(".//marker")][:2] == ["36002s", "36008s"]
    lines = export(hits[:1], tmp_path / "x.markers.edl", query=ODD).read_text(encoding="ascii").splitlines()
    assert lines[3:5] == [
        "001  001      V     C        10:00:02:00 10:00:02:01 01:00:02:00 01:00:02:01",
        '#1, score 0.310, not calibrated: "so / it is" |C:ResolveColorBlue |M:a "red", ball <1> / & more --> ? |D:25',
    ]
    assert (
        len(clips(otio.adapters.read_from_file(str(tmp_path / "x.markers.edl"), adapter_name="cmx_3600", rate=25))) == 2
    )
    with pytest.raises(ConfigError, match=r"a .markers.edl is of one video, not of 2"):
        export(hits, tmp_path / "y.markers.edl")


def test_names_that_are_no_text(cameras: list[Path], tmp_path: Path) -> None:
    """Bytes that are not UTF-8, and letters that no XML may hold."""
    odd = tmp_path / "a\udcff <&>\x0b.mov"
    odd.write_bytes(cameras[0].read_bytes())
    for form in EDITORS:
        text = export([found(odd, (1.0, 2.0))], tmp_path / f"x{form}", query=ODD).read_text(encoding="utf-8")
        if form.endswith("xml"):
            assert "a%FF%20%3C%26%3E%0B.mov" in text
            ET.fromstring(text)


def test_only_opentimelineio_itself_needs_it(
    cameras: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentimelineio", None)
    wrong: Iterable[str] = (".otio", ".markers.otio")
    for form in EDITORS:
        if form not in wrong:
            export([found(cameras[0], (1.0, 2.0))], tmp_path / f"x{form}")
            continue
        with pytest.raises(ConfigError, match=r"pip install 'prvr\[otio\]'"):
            export([found(cameras[0], (1.0, 2.0))], tmp_path / f"x{form}")
