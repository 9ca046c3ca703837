from __future__ import annotations

from pathlib import Path

import av
import pytest
from av.audio.stream import AudioStream

from prvr.video.probe import probe
from tests.video.make import steps, write_video

PLAYS = [
    ("a.mp4", "libx264", "h264", True),
    ("a.mov", "libx264", "h264", True),
    ("a.mp4", "libvpx-vp9", "vp9", True),
    ("a.webm", "libvpx-vp9", "vp9", True),
    ("a.webm", "libvpx", "vp8", True),
    ("a.mkv", "libvpx-vp9", "vp9", False),
    ("a.mkv", "libx264", "h264", False),
    ("a.mp4", "mpeg4", "mpeg4", False),
    ("a.mp4", "libx265", "hevc", False),
    ("a.avi", "mpeg4", "mpeg4", False),
    ("a.ts", "libx264", "h264", False),
]


@pytest.mark.parametrize(("name", "codec", "found", "plays"), PLAYS)
def test_what_a_browser_plays(tmp_path: Path, name: str, codec: str, found: str, plays: bool) -> None:
    options = {"log-level": "none", "x265-params": "log-level=none"} if codec == "libx265" else {}
    write_video(tmp_path / name, steps(0.4, 25), codec=codec, options=options)
    info = probe(tmp_path / name)
    assert info.video_codec == found
    assert info.browser_playable is plays
    assert not info.variable_rate
    assert info.rate == pytest.approx(25, rel=0.01)
    assert info.audio_codec is None


def test_sound_that_browsers_lack_and_pictures_of_ten_bits_do_not_play(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(1, 10), sound=True)
    info = probe(tmp_path / "a.mp4")
    assert (info.audio_codec, info.browser_playable) == ("aac", True)
    for name, pix_fmt, sound in (("ten.mp4", "yuv420p10le", None), ("ac3.mp4", "yuv420p", "ac3")):
        with av.open(tmp_path / name, "w") as out:
            video = out.add_stream("libx264", rate=10)
            video.width, video.height, video.pix_fmt = 64, 48, pix_fmt
            audio = out.add_stream(sound, rate=48_000, layout="stereo") if sound else None
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            out.mux(video.encode(frame))
            out.mux(video.encode(None))
            if isinstance(audio, AudioStream):
                silence = av.AudioFrame("fltp", "stereo", 1536)
                silence.sample_rate, silence.pts = 48_000, 0
                for channel in silence.planes:
                    channel.update(bytes(channel.buffer_size))
                out.mux(audio.encode(silence))
                out.mux(audio.encode(None))
        assert probe(tmp_path / name).audio_codec == sound
        assert not probe(tmp_path / name).browser_playable


@pytest.mark.parametrize(
    ("times", "varies"),
    [
        (steps(3, 30), False),  # 33 and 34 ms in turn
        (steps(11, 25), False),  # more than is looked at, cut off amid reordered frames
        ([0.0], False),
        ([0.0, 0.5], False),
        ([t for t in steps(3, 30) if abs(t - 1.5) > 0.02], True),  # one frame dropped
        ([*steps(12, 25), *(12 + t * 2.5 for t in steps(12, 25))], True),  # slower after the 250 packets looked at
    ],
)
def test_varying_rate(tmp_path: Path, times: list[float], varies: bool) -> None:
    write_video(tmp_path / "a.mp4", times)
    assert probe(tmp_path / "a.mp4").variable_rate is varies
    if len(times) > 100:
        assert probe(tmp_path / "a.mp4").rate == pytest.approx(len(times) / times[-1], rel=0.02)


def test_sound_longer_than_the_picture_does_not_count(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [0.0, 0.1, 0.2, 9.0], sound=True)
    write_video(tmp_path / "b.mkv", [0.0, 0.1, 0.2, 9.0], sound=True)
    assert 9.0 < probe(tmp_path / "a.mp4").duration_s < 18.0  # MP4: the last frame lasts as long as the one before
    assert 9.0 < probe(tmp_path / "b.mkv").duration_s < 9.3
