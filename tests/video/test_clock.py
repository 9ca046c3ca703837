"""Times are those of the file's own clock, as players and subtitles count it; whatever its stamps do."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from prvr.core.errors import VideoError
from prvr.video.clipping import copy_clip
from prvr.video.clock import measure
from prvr.video.cut import cut
from prvr.video.decode import sample_frames
from prvr.video.leaps import AHEAD_S, Shifts
from prvr.video.probe import probe
from prvr.video.proxy import make_proxy
from prvr.video.thumbnail import thumbnail
from tests.video.make import Image, draw_clock, leap, sampled, steps, write_video
from tests.video.test_proxy import sound_of
from tests.video.test_thumbnail import clock

RAW = {"a.m4v": "m4v"}  # a suffix that FFmpeg takes for that of an MP4
FAST = {"deadline": "realtime", "cpu-used": "8"}


def agree(path: Path, late_s: float, *, length_s: float, within: float = 2e-3, rate: float = 10) -> None:
    """Whoever shows the file shows a picture `late_s` after what is drawn into it: frames, length, stills and cuts."""
    times, drawn = sampled(path, rate=rate)
    assert times == pytest.approx([late_s + one for one in drawn], abs=within)
    info = probe(path)
    assert info.start_s == pytest.approx(late_s, abs=within)
    assert info.duration_s == pytest.approx(late_s + length_s, abs=0.06)
    assert info.rate == pytest.approx(rate, rel=0.02)
    middle = length_s / 2 + 0.5 / rate
    assert clock(thumbnail(path, late_s + middle, width=160)) == pytest.approx(length_s / 2, abs=0.011)
    out = path.with_name("cut.mp4")
    cut(path, late_s + length_s / 2, late_s + length_s / 2 + 0.5, out)
    assert sampled(out, rate=rate)[1][:5] == pytest.approx([length_s / 2 + k / rate for k in range(5)], abs=0.011)


# ---- where a clock says 0


@pytest.mark.parametrize(
    ("name", "codec", "offset_s", "late_s"),
    [
        ("a.mp4", "libx264", 5.0, 5.0),  # an empty edit
        ("a.mkv", "libx264", 1.5, 1.5),
        ("a.webm", "libvpx-vp9", 100.0, 100.0),
        ("b.webm", "libvpx", 3e6, 0.0),  # weeks: no clock of a film
        ("a.ts", "libx264", 100.0, 0.0),
        ("a.mpg", "mpeg2video", 7.0, 0.0),
        ("a.flv", "libx264", 3.0, 0.0),
        ("a.wmv", "msmpeg4v3", 2.0, 0.0),
    ],
)
def test_where_it_begins(tmp_path: Path, name: str, codec: str, offset_s: float, late_s: float) -> None:
    options = FAST if codec.startswith("libvpx") else {}
    rate = 25 if codec == "mpeg2video" else 10
    write_video(tmp_path / name, steps(4, rate), codec=codec, offset_s=offset_s, gop=20, options=options)
    agree(tmp_path / name, late_s, length_s=4, within=0.011, rate=rate)


@pytest.mark.parametrize(("name", "run_up_s"), [("a.mp4", 0.0), ("a.mkv", 0.0), ("a.ts", 0.032), ("a.flv", 0.032)])
def test_sound_that_begins_before_the_picture(tmp_path: Path, name: str, run_up_s: float) -> None:
    """Also of a stream players count from its first sound; AAC begins a packet early where nothing hides that."""
    write_video(tmp_path / name, steps(4, 10), offset_s=5, sound=True, sound_from_s=0, gop=20)
    agree(tmp_path / name, 5 + run_up_s, length_s=4)
    cut(tmp_path / name, 2, 7 + run_up_s, tmp_path / "cut.mp4")  # the first picture stands where there is none yet
    times, drawn = sampled(tmp_path / "cut.mp4", rate=10)
    assert (times[0], drawn[0]) == (0.0, 0.0)
    assert times[1:5] == pytest.approx([3 + run_up_s + one for one in drawn[1:5]], abs=0.011)
    with pytest.raises(VideoError, match="there is nothing between"):
        cut(tmp_path / name, 20, 30, tmp_path / "cut.mp4")


def test_fragments_show_the_delay_of_b_frames(tmp_path: Path) -> None:
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    write_video(tmp_path / "a.mp4", steps(4, 10), gop=20, container_options=fragments)
    with av.open(tmp_path / "a.mp4") as container:
        late = next(container.decode(video=0)).time
    assert late == pytest.approx(0.2)
    agree(tmp_path / "a.mp4", late, length_s=4)


def test_a_late_start_is_played_at_its_time(tmp_path: Path) -> None:
    """Chromium does not reach the end of an MP4 in which nothing begins at 0: in a copy the first picture stands."""
    write_video(tmp_path / "a.mp4", steps(4, 10), offset_s=2)
    assert not probe(tmp_path / "a.mp4").browser_playable
    assert make_proxy(tmp_path / "a.mp4", tmp_path / "copy.mp4") == "remuxed"
    times, drawn = sampled(tmp_path / "copy.mp4", rate=10)
    assert (times[0], drawn[0], len(times)) == (0.0, 0.0, 40)
    assert times[1:] == pytest.approx([2 + one for one in drawn[1:]], abs=2e-3)
    write_video(tmp_path / "b.mp4", steps(4, 10), offset_s=2, sound=True, sound_from_s=0)
    assert probe(tmp_path / "b.mp4").browser_playable


def trimmed(source: Path, out: Path, start_s: float) -> Path:
    """As `ffmpeg -ss START -c copy`: an edit list hides what lies between the key frame and the start."""
    with av.open(source) as read, av.open(out, "w") as target:
        stream = read.streams.video[0]
        copy = target.add_stream_from_template(stream)
        assert stream.time_base is not None
        read.seek(round(start_s / stream.time_base), stream=stream)
        for packet in read.demux(stream):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts = (round(x - start_s / stream.time_base) for x in (packet.pts, packet.dts))
                packet.stream = copy
                target.mux(packet)
    return out


def test_hidden_frames_do_not_count(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(12, 25), gop=250)
    path = trimmed(tmp_path / "a.mp4", tmp_path / "b.mp4", 8.0)
    with av.open(path) as container:
        assert container.streams.video[0].frames == 300
    info = probe(path)
    assert info.rate == pytest.approx(25, rel=0.01)
    assert info.duration_s == pytest.approx(4, abs=0.09)
    assert not info.variable_rate
    times, drawn = sampled(path, rate=25)
    assert [8 + one for one in times] == pytest.approx(drawn, abs=0.085)


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [("a.h264", "libx264", 10.0), ("a.h265", "libx265", 10.0), ("a.m4v", "mpeg4", 30_000 / 1001)],
)
def test_a_bare_stream_says_its_rate_itself(tmp_path: Path, name: str, codec: str, rate: float) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    write_video(tmp_path / name, steps(6, rate), codec=codec, options=options, container=RAW.get(name))
    info = probe(tmp_path / name)
    assert info.rate == pytest.approx(rate)
    assert info.duration_s == pytest.approx(round(6 * rate) / rate, abs=1e-3)
    times, drawn = sampled(tmp_path / name)
    assert times == pytest.approx(drawn, abs=1e-3)


# ---- stamps that leap


def moved(stamps: list[int | None], *, ahead_s: float = AHEAD_S) -> list[int | None]:
    """One stream of a frame a second, stamps in seconds."""
    shifts, out = Shifts(ahead_s=ahead_s, interval_s=1), []
    for stamp in stamps:
        packet: Any = SimpleNamespace(
            dts=stamp, pts=stamp, stream_index=0, time_base=Fraction(1), stream=SimpleNamespace(type="video")
        )
        shifts.move(packet)
        out.append(packet.dts)
    return out


@pytest.mark.parametrize(
    ("stamps", "want"),
    [
        ([], []),
        ([5, 6, 9], [5, 6, 9]),
        ([None, None, 5, 6], [None, None, 5, 6]),
        ([5, 6, 7, 0, 1, 2], [5, 6, 7, 8, 9, 10]),  # the clock starts again
        ([5, 6, 0, 1, -9, -8, -7], [5, 6, 7, 8, 9, 10, 11]),  # and again
        ([5, 6, 5, 6, 7], [5, 6, 5, 6, 7]),  # a step back of a second may be a stray
        ([5, 6, 3, 7, 8], [5, 6, 7, 7, 8]),  # a stray behind changes nothing for the others
        ([5, 6, 999, 7, 8], [5, 6, 7, 7, 8]),  # nor one ahead
        ([5, 6, 999, 1000, 1001], [5, 6, 7, 8, 9]),  # an interruption
        ([5, 6, 15, 16], [5, 6, 15, 16]),  # a still picture
    ],
)
def test_shifts_by_hand(stamps: list[int | None], want: list[int | None]) -> None:
    assert moved(stamps) == want
    if 1000 in stamps:
        assert moved(stamps, ahead_s=float("inf")) == stamps  # where a picture may stand as long as it likes


@pytest.mark.parametrize("sound", [False, True])
@pytest.mark.parametrize(
    ("name", "by_s"), [("a.ts", 40_000.0), ("a.flv", 5000.0), ("a.mpg", 40_000.0), ("a.mkv", 5000.0)]
)
def test_a_leap_ahead(tmp_path: Path, name: str, by_s: float, sound: bool) -> None:
    codec, rate = ("mpeg2video", 25) if name == "a.mpg" else ("libx264", 10)
    heard = {"a.mpg": "mp2"}.get(name, "aac") if sound else False
    write_video(tmp_path / "plain.mp4", steps(8, rate), codec=codec, gop=20, sound=heard)
    path = leap(tmp_path / "plain.mp4", tmp_path / name, at_s=3.0, by_s=by_s)
    info, frame = probe(path), 1 / rate
    late = info.start_s
    assert info.duration_s == pytest.approx(late + 8, abs=frame / 2)
    assert info.rate == pytest.approx(rate, rel=0.005)
    assert "time: the stamps leap 1 time; time goes on without the holes" in info.notes
    assert not info.browser_playable
    times, drawn = sampled(path, rate=100)
    assert drawn == pytest.approx(steps(8, rate), abs=1e-3)
    assert times == pytest.approx([late + one for one in drawn], abs=frame / 2)
    middle = late + 6 + frame / 2
    assert clock(thumbnail(path, middle, width=160)) == pytest.approx(6.0, abs=1e-3)
    make_proxy(path, tmp_path / "copy.mp4")
    assert probe(tmp_path / "copy.mp4").duration_s == pytest.approx(info.duration_s, abs=1.1 * frame)
    times, drawn = sampled(tmp_path / "copy.mp4", rate=100)
    assert times == pytest.approx([late * (one > 0) + one for one in drawn], abs=frame / 2)
    assert not copy_clip(path, 5, 6, tmp_path / "cut.mp4")
    cut(path, late + 5 + frame / 2, 6 + late, tmp_path / "cut.mp4")
    assert sampled(tmp_path / "cut.mp4")[1][0] == pytest.approx(5, abs=1e-3)
    if sound:
        for made, length in (("copy.mp4", 8), ("cut.mp4", 1 - frame / 2)):
            start, end, whole = sound_of(tmp_path / made)
            assert (start, end, whole) == pytest.approx((0, length, length), abs=0.1)


def parted(path: Path) -> None:
    """Two films of 4 s, one behind the other: every time and every picture of both."""
    info = probe(path)
    assert info.duration_s == pytest.approx(info.start_s + 8, abs=0.03)
    assert info.rate == pytest.approx(10, rel=0.005)
    assert "time: the stamps leap 1 time; time goes on without the holes" in info.notes
    assert not info.browser_playable
    times, drawn = sampled(path, rate=100)
    assert drawn == pytest.approx(2 * steps(4, 10), abs=1e-3)
    assert times == pytest.approx([info.start_s + one for one in steps(8, 10)], abs=0.03)
    assert clock(thumbnail(path, info.start_s + 6.05, width=160)) == pytest.approx(2.0, abs=1e-3)
    assert not copy_clip(path, 6, 7, path.with_name("cut.mp4"))
    cut(path, info.start_s + 6.05, 7, path.with_name("cut.mp4"))
    assert sampled(path.with_name("cut.mp4"))[1][0] == pytest.approx(2, abs=1e-3)


@pytest.mark.parametrize(("name", "codec", "sound"), [("a.mkv", "libx264", True), ("a.webm", "libvpx", False)])
@pytest.mark.parametrize("looked_at", [250, 30])  # packets, before the rest
def test_two_films_in_one_matroska(
    tmp_path: Path, name: str, codec: str, sound: bool | str, looked_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prvr.video.clock.HEAD_PACKETS", looked_at)
    options = FAST if codec == "libvpx" else {}
    write_video(tmp_path / name, steps(4, 10), codec=codec, gop=20, sound=sound, options=options)
    one = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(one + one)
    parted(tmp_path / name)


def test_a_leap_between_two_key_frames(tmp_path: Path) -> None:
    """So that the index of the file does not show it."""
    write_video(tmp_path / "a.webm", steps(8, 10), codec="libvpx", gop=250, options=FAST)
    path = leap(tmp_path / "a.webm", tmp_path / "b.webm", at_s=4, by_s=4000)
    assert probe(path).duration_s == pytest.approx(8, abs=0.01)
    assert clock(thumbnail(path, 6.05, width=160)) == pytest.approx(6, abs=1e-3)


@pytest.mark.parametrize("name", ["a.ts", "a.mkv"])
def test_a_picture_that_stands_while_the_sound_goes_on(tmp_path: Path, name: str) -> None:
    shown = [0.0, 0.1, 0.2, 30.0, 30.1, 30.2]
    write_video(tmp_path / name, shown, sound=True)
    late = probe(tmp_path / name).start_s
    assert sampled(tmp_path / name, rate=10)[0] == pytest.approx([late + one for one in shown], abs=2e-3)


def test_small_steps_back_start_nothing(tmp_path: Path) -> None:
    """Several pictures in a packet of a program stream: FFmpeg's stamps of a still scene stand or go back a little."""
    still: Image = np.full((240, 320, 3), (40, 60, 50), np.uint8)
    still[80:160, 100:200] = (38, 92, 214)
    write_video(tmp_path / "a.mpg", steps(60, 25), draw=lambda _: still, codec="mpeg2video", gop=12)
    with av.open(tmp_path / "a.mpg") as container:
        stamps = [packet.dts for packet in container.demux(video=0) if packet.dts is not None]
    assert any(b <= a for a, b in pairwise(stamps))
    length = measure(tmp_path / "a.mpg")
    assert length.shown_s == pytest.approx(60, abs=0.05)
    assert (length.packets, length.leaps) == (1500, 0)
    shown = sum(len(batch.times) for batch in sample_frames(tmp_path / "a.mpg", rate=25))
    assert 1495 <= shown <= 1500  # of two at one stamp one is kept


# ---- which stream


def write_streams(path: Path, films: list[tuple[str, float, bool]], sounds: list[tuple[float, bool]] = []) -> None:  # noqa: B006
    """Films (codec, seconds, default) of one grey each, 10, 60, 110, ..., and sounds (loudness, default)."""
    with av.open(path, "w") as out:
        streams: list[Any] = []
        for codec, _, default in films:
            video: Any = out.add_stream(codec, rate=10)
            video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
            video.disposition = Disposition.default if default else Disposition(0)
            streams.append(video)
        for _, default in sounds:
            audio: Any = out.add_stream("aac", rate=32_000, layout="mono")
            audio.disposition = Disposition.default if default else Disposition(0)
            streams.append(audio)
        for number, (_, length, _) in enumerate(films):
            grey = np.full((48, 64, 3), 10 + 50 * number, np.uint8)
            for i in range(round(length * 10)):
                frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, 10)
                out.mux(streams[number].encode(frame))
            out.mux(streams[number].encode(None))
        for number, (loudness, _) in enumerate(sounds, len(films)):
            for i in range(60):
                tone = av.AudioFrame.from_ndarray(
                    np.full((1, 1024), loudness, np.float32) * (-1) ** np.arange(1024, dtype=np.float32),
                    format="fltp",
                    layout="mono",
                )
                tone.sample_rate, tone.pts, tone.time_base = 32_000, i * 1024, Fraction(1, 32_000)
                out.mux(streams[number].encode(tone))
            out.mux(streams[number].encode(None))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize(
    ("films", "grey", "why"),
    [
        ([("libx264", 2, False), ("libx264", 2, True)], 60, "the file's default"),
        ([("mjpeg", 0.1, False), ("libx264", 2, True)], 60, "the others are covers or stills"),
        ([("mjpeg", 0.1, True), ("libx264", 2, True)], 60, "the others are covers or stills"),
        ([("libx264", 2, True), ("libx264", 2, True)], 10, "names no other"),
        ([("mjpeg", 2, True)], 10, ""),
    ],
)
def test_the_film_is_what_moves_and_is_the_default(
    tmp_path: Path, suffix: str, films: list[tuple[str, float, bool]], grey: int, why: str
) -> None:
    path = tmp_path / f"a{suffix}"
    write_streams(path, films)
    frame = thumbnail_grey(path)
    assert frame == pytest.approx(grey, abs=3)
    info = probe(path)
    assert info.duration_s == pytest.approx(2, abs=0.11)
    assert why in "".join(info.notes)


def thumbnail_grey(path: Path) -> float:
    """How bright the film is."""
    from tests.video.test_thumbnail import opened

    return float(opened(thumbnail(path, 0, width=64)).mean())


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_the_default_sound(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_streams(path, [("libx264", 1.9, True)], [(0.1, False), (0.6, True)])
    assert "sound: stream 2, one of 2 (the file's default)" in probe(path).notes
    for made in ("cut.mp4", "copied.mp4")[: 1 + (suffix == ".mp4")]:
        if made == "cut.mp4":
            cut(path, 0, 1.5, tmp_path / made)
        else:
            assert copy_clip(path, 0, 1.5, tmp_path / made, fast=True)
        with av.open(tmp_path / made) as container:
            loud = max(float(np.abs(frame.to_ndarray()).max()) for frame in container.decode(audio=0))
        assert loud > 0.3


def test_an_animated_picture_is_not_its_first_one(tmp_path: Path) -> None:
    with av.open(tmp_path / "a.avif", "w", format="avif") as out:
        video: Any = out.add_stream("libsvtav1", rate=10, options={"svtav1-params": "avif=0"})
        video.width, video.height, video.pix_fmt = 160, 64, "yuv420p"
        for i in range(8):
            frame = av.VideoFrame.from_ndarray(draw_clock(i / 10, height=64), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 10)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    with av.open(tmp_path / "a.avif") as container:
        assert len(container.streams.video) == 2
    assert sampled(tmp_path / "a.avif", rate=10)[1] == pytest.approx(steps(0.8, 10))
