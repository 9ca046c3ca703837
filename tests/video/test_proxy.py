"""What a proxy shows at a second is what its video shows then, and browsers play it."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from prvr.core.errors import VideoError
from prvr.video.probe import probe
from prvr.video.proxy import make_proxy
from tests.video.make import (
    Image,
    as_nobody,
    cut_short,
    draw_clock,
    sampled,
    spoil_packets,
    steps,
    write_video,
)

QUIET = {"x265-params": "log-level=none"}


def sound_of(path: Path) -> tuple[float, float, float]:
    """First second, last second and seconds in all of the sound."""
    with av.open(path) as container:
        frames = [(frame.time or 0.0, frame.samples / frame.sample_rate) for frame in container.decode(audio=0)]
    return frames[0][0], frames[-1][0] + frames[-1][1], sum(length for _, length in frames)


@pytest.mark.parametrize(
    ("name", "codec", "sound", "how"),
    [
        ("h264.mkv", "libx264", "aac", "remuxed"),
        ("h264.ts", "libx264", "aac", "remuxed"),
        ("ac3.mp4", "libx264", "ac3", "remuxed"),
        ("silent.mov", "libx264", "", "remuxed"),
        ("hevc.mkv", "libx265", "aac", "transcoded"),
        ("hevc.mp4", "libx265", "", "transcoded"),
        ("divx.avi", "mpeg4", "libmp3lame", "transcoded"),
        ("h264.avi", "libx264", "", "transcoded"),
        ("mpeg4.ts", "mpeg4", "ac3", "transcoded"),
        ("vp9.mkv", "libvpx-vp9", "aac", "remuxed"),
        ("vp8.mkv", "libvpx", "aac", "transcoded"),
    ],
)
def test_the_same_at_every_second(tmp_path: Path, name: str, codec: str, sound: str, how: str) -> None:
    options = QUIET if codec == "libx265" else {}
    source, out = tmp_path / name, tmp_path / "out.mp4"
    write_video(source, steps(6, 10), codec=codec, sound=sound, options=options, gop=30)
    heard: list[tuple[float, float]] = []
    assert make_proxy(source, out, on_progress=lambda done, total: heard.append((done, total))) == how
    info = probe(out)
    assert info.browser_playable
    assert info.duration_s == pytest.approx(6, abs=0.11)
    theirs, ours = sampled(source, rate=100), sampled(out, rate=100)
    assert ours[0][:60] == pytest.approx(theirs[0], abs=0.011)
    assert ours[1][:60] == pytest.approx(theirs[1], abs=0.0011)
    assert all(drawn == theirs[1][-1] for drawn in ours[1][60:])  # a last frame may be written twice
    assert heard == sorted(heard)
    assert heard[-1] == pytest.approx((6, 6), abs=0.35)
    if sound:
        start, end, whole = sound_of(out)
        assert start == pytest.approx(0, abs=0.08)
        assert end == pytest.approx(5.9, abs=0.12)
        assert whole == pytest.approx(5.9, abs=0.15)
    assert {path.name for path in tmp_path.iterdir()} == {name, "out.mp4"}


@pytest.mark.parametrize(("codec", "how"), [("libx264", "remuxed"), ("mpeg4", "transcoded")])
def test_a_start_offset(tmp_path: Path, codec: str, how: str) -> None:
    write_video(tmp_path / "a.ts", steps(5, 10), codec=codec, offset_s=100, sound=True)
    assert make_proxy(tmp_path / "a.ts", tmp_path / "out.mp4") == how
    times, drawn = sampled(tmp_path / "out.mp4", rate=100)
    first = probe(tmp_path / "a.ts").start_s  # after the run-up of the sound
    assert [first + one for one in drawn] == pytest.approx(times, abs=0.011)
    start, end, _ = sound_of(tmp_path / "out.mp4")
    assert (start, end) == pytest.approx((0, 4.9), abs=0.12)


LITTLE = [0.0, 0.04, 0.1, 0.14, 0.2, 0.3, 0.34, 0.4, 0.433, 0.466]
MUCH = [0.0, 0.04, 0.5, 1.0, 1.1, 4.0, 4.5, 5.0, 5.033, 5.066]


@pytest.mark.parametrize(
    ("codec", "shown", "how"),
    [("libx264", LITTLE, "remuxed"), ("libx264", MUCH, "transcoded"), ("libx265", MUCH, "transcoded")],
)
def test_a_varying_rate(tmp_path: Path, codec: str, shown: list[float], how: str) -> None:
    write_video(tmp_path / "a.mkv", shown, codec=codec, options=QUIET if codec == "libx265" else {})
    assert make_proxy(tmp_path / "a.mkv", tmp_path / "out.mp4") == how
    times, drawn = sampled(tmp_path / "out.mp4", rate=100)
    assert drawn[:10] == pytest.approx(shown, abs=0.0011)
    assert times[:10] == pytest.approx(shown, abs=0.0011)
    assert probe(tmp_path / "out.mp4").duration_s == pytest.approx(shown[-1], abs=0.25)


@pytest.mark.parametrize(("codec", "how"), [("libx264", "remuxed"), ("mpeg4", "transcoded")])
@pytest.mark.parametrize("rotation", [90, 180])
def test_a_turned_video(tmp_path: Path, codec: str, how: str, rotation: int) -> None:
    write_video(tmp_path / "a.mov", steps(3, 10), codec=codec, rotation=rotation)
    assert make_proxy(tmp_path / "a.mov", tmp_path / "out.mp4") == how
    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height) == (160, 48)
    times, drawn = sampled(tmp_path / "out.mp4", rate=100)
    assert drawn == pytest.approx(times, abs=0.011)


def test_a_clock_that_starts_again(tmp_path: Path) -> None:
    write_video(tmp_path / "one.ts", steps(3, 10), codec="mpeg4")
    (tmp_path / "two.ts").write_bytes((tmp_path / "one.ts").read_bytes() * 2)
    make_proxy(tmp_path / "two.ts", tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4").duration_s == pytest.approx(6, abs=0.12)
    times, drawn = sampled(tmp_path / "out.mp4", rate=2)
    assert [d for t, d in zip(times, drawn, strict=True) if t < 3] == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5], abs=0.11)
    assert [d for t, d in zip(times, drawn, strict=True) if t > 3.2] == pytest.approx([0.5, 1, 1.5, 2, 2.5], abs=0.21)


def test_time_counts_from_the_first_frame_though_it_is_damaged(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(4, 10), codec="mpeg4", gop=10)
    spoil_packets(tmp_path / "a.mp4", 0, 10)
    make_proxy(tmp_path / "a.mp4", tmp_path / "out.mp4")
    times, drawn = sampled(tmp_path / "out.mp4", rate=100)
    assert times[0] == 0
    after = [(time, seen) for time, seen in zip(times, drawn, strict=True) if time >= 1]
    assert [time for time, _ in after] == pytest.approx(steps(4, 10)[10:], abs=0.011)
    assert [seen for _, seen in after] == pytest.approx(steps(4, 10)[10:], abs=0.011)


def test_a_hole_in_the_sound_stays_one(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mkv", steps(8, 10), sound="ac3")
    with av.open(tmp_path / "a.mkv") as source, av.open(tmp_path / "b.mkv", "w") as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            at = float((packet.pts or 0) * packet.time_base)
            if packet.dts is not None or packet.size:
                if packet.stream.type == "audio" and 2 <= at < 5:
                    continue
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    make_proxy(tmp_path / "b.mkv", tmp_path / "out.mp4")
    with av.open(tmp_path / "out.mp4") as container:
        loud = [
            frame.time or 0.0 for frame in container.decode(audio=0) if float(np.abs(frame.to_ndarray()).max()) > 0.05
        ]
    assert not [time for time in loud if 2.2 < time < 4.8]
    assert [time for time in loud if time > 5.1]
    assert max(loud) == pytest.approx(7.9, abs=0.15)


@pytest.mark.parametrize(
    ("shape", "height", "made"),
    [((640, 360), 180, (320, 180)), ((161, 91), 480, (160, 90)), ((270, 480), 240, (134, 240))],
)
def test_sizes(tmp_path: Path, shape: tuple[int, int], height: int, made: tuple[int, int]) -> None:
    draw = lambda time: np.full((shape[1], shape[0], 3), 90, np.uint8)  # noqa: E731
    write_video(tmp_path / "a.mkv", steps(0.5, 10), draw=draw, codec="ffv1")
    make_proxy(tmp_path / "a.mkv", tmp_path / "out.mp4", height=height)
    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height) == made


def test_wide_pixels_become_square(tmp_path: Path) -> None:
    with av.open(tmp_path / "a.avi", "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        for time in steps(1, 10):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(draw_clock(time, height=120), format="rgb24")))
        out.mux(stream.encode(None))
    assert probe(tmp_path / "a.avi").pixel_aspect == 2
    make_proxy(tmp_path / "a.avi", tmp_path / "out.mp4")
    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height, info.pixel_aspect) == (160, 60, 1)


def test_colours_are_kept(tmp_path: Path) -> None:
    def draw(_: float) -> Image:
        image = np.zeros((64, 96, 3), np.uint8)
        image[:, :32], image[:, 32:64] = (255, 255, 255), (255, 0, 0)
        return image

    for name, codec in (("a.avi", "mjpeg"), ("b.mkv", "ffv1")):  # the first is of full range
        write_video(tmp_path / name, steps(0.3, 10), draw=draw, codec=codec, options={"strict": "-1"})
        make_proxy(tmp_path / name, tmp_path / "out.mp4")
        with av.open(tmp_path / "out.mp4") as container:
            seen = next(container.decode(video=0)).to_ndarray(format="rgb24")
        assert seen[32, 12].min() > 245
        assert seen[32, 84].max() < 10
        assert seen[32, 48, 0] > 235


def test_a_large_file_is_not_copied(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mkv", steps(1, 10))
    size = (tmp_path / "a.mkv").stat().st_size
    assert make_proxy(tmp_path / "a.mkv", tmp_path / "out.mp4", largest_copy=size) == "remuxed"
    assert make_proxy(tmp_path / "a.mkv", tmp_path / "out.mp4", largest_copy=size - 1) == "transcoded"


def test_a_stream_that_begins_in_the_middle_is_not_copied(tmp_path: Path) -> None:
    write_video(tmp_path / "a.ts", steps(6, 10), gop=20)
    data = (tmp_path / "a.ts").read_bytes()
    (tmp_path / "b.ts").write_bytes(data[len(data) // 6 // 188 * 188 :])
    make_proxy(tmp_path / "b.ts", tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4").browser_playable
    theirs, ours = (sampled(tmp_path / name, rate=100) for name in ("b.ts", "out.mp4"))
    shown = dict(zip(*ours, strict=True))
    assert all(shown[min(shown, key=lambda s: abs(s - time))] == drawn for time, drawn in zip(*theirs, strict=True))


@contextmanager
def no_files_left(folder: Path) -> Iterator[None]:
    before = {path.name for path in folder.iterdir()}
    yield
    assert {path.name for path in folder.iterdir()} == before


def test_whole_or_not_at_all(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mkv", steps(2, 10), codec="mpeg4")
    out = tmp_path / "out.mp4"
    out.write_bytes(b"precious")
    (tmp_path / "junk.avi").write_bytes(b"junk")
    with no_files_left(tmp_path):
        with pytest.raises(VideoError, match=r"junk\.avi: is not a video"):
            make_proxy(tmp_path / "junk.avi", out)

        def stop(done: float, total: float) -> None:
            if done > 0.5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            make_proxy(tmp_path / "a.mkv", out, on_progress=stop)
        with pytest.raises(VideoError, match="cannot be written"):
            make_proxy(tmp_path / "a.mkv", tmp_path / "nowhere" / "out.mp4")
    assert out.read_bytes() == b"precious"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mkv", steps(1, 10))
    (tmp_path / "a.mkv").chmod(0o644)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:  # those that pytest made for us alone
            folder.chmod(0o755)
    with as_nobody(), pytest.raises(VideoError, match=r"out\.mp4: cannot be written \(Permission denied\)"):
        make_proxy(tmp_path / "a.mkv", locked / "out.mp4")


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_full_disk(tmp_path: Path, codec: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 240, 320, 3), np.uint8)
    write_video(tmp_path / "a.mkv", steps(2, 10), draw=lambda t: noise[round(t * 10)], codec=codec)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with no_files_left(tmp_path):
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # as if no byte more would fit
        try:
            with pytest.raises(VideoError, match=r"out\.mp4: cannot be written \(.*\); check .* the room on the disk"):
                make_proxy(tmp_path / "a.mkv", tmp_path / "out.mp4")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_half_a_file_gives_half_a_proxy(tmp_path: Path) -> None:
    write_video(tmp_path / "a.ts", steps(6, 10), codec="mpeg4", gop=10)
    cut_short(tmp_path / "a.ts", tmp_path / "b.ts", 0.5)
    make_proxy(tmp_path / "b.ts", tmp_path / "out.mp4")
    assert 1 < probe(tmp_path / "out.mp4").duration_s < 5
