from __future__ import annotations

from pathlib import Path

import av
import pytest

from prvr.core.errors import VideoError
from prvr.video.cut import cut
from prvr.video.decode import sample_frames
from prvr.video.probe import probe
from tests.video.make import read_clock, spoil_packets, steps, write_video


def clocks(path: Path) -> tuple[list[float], list[float]]:
    batches = list(sample_frames(path, rate=100))
    return [t for b in batches for t in b.times.tolist()], [read_clock(f) for b in batches for f in b.frames]


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi"])
def test_a_cut_shows_the_span(tmp_path: Path, name: str, suffix: str) -> None:
    write_video(tmp_path / name, steps(6, 10))  # one key frame in all
    out = tmp_path / f"out{suffix}"
    cut(tmp_path / name, 2.25, 4.5, out)
    info = probe(out)
    assert info.duration_s == pytest.approx(2.25, abs=0.06)
    assert info.browser_playable
    times, drawn = clocks(out)
    assert drawn[0] == pytest.approx(2.2, abs=0.01 if name != "a.avi" else 0.11)  # what stands at 2.25 s
    assert times[0] == 0
    if name != "a.avi":
        assert [d - 2.25 for d in drawn[1:]] == pytest.approx(times[1:], abs=0.01)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def test_sound_is_kept_in_step(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(6, 10), sound=True)
    for suffix, codec in ((".mp4", "aac"), (".webm", "opus")):
        out = tmp_path / f"out{suffix}"
        cut(tmp_path / "a.mp4", 1.0, 3.5, out)
        assert probe(out).audio_codec == codec
        with av.open(out) as container:
            sound = [(frame.time or 0.0, frame.samples / frame.sample_rate) for frame in container.decode(audio=0)]
        assert sound[0][0] == pytest.approx(0, abs=0.07)
        assert sound[-1][0] + sound[-1][1] == pytest.approx(2.5, abs=0.1)
        assert sum(length for _, length in sound) == pytest.approx(2.5, abs=0.15)


@pytest.mark.parametrize("name", ["a.ts", "a.avi", "a.mkv"])
def test_the_sound_of_the_first_seconds_is_kept_in_any_container(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / name, steps(4, 10), codec="mpeg4", sound="ac3")
    cut(tmp_path / name, 0.5, 3.0, tmp_path / "out.mp4")
    with av.open(tmp_path / "out.mp4") as container:
        sound = [(frame.time or 0.0, frame.samples / frame.sample_rate) for frame in container.decode(audio=0)]
    assert sound[0][0] == pytest.approx(0, abs=0.1)
    assert sum(length for _, length in sound) == pytest.approx(2.5, abs=0.2)


def test_a_span_without_sound_in_a_file_with_sound(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [0.0, 0.1, 0.2, 9.0, 9.1, 9.2, 9.3], sound=True)
    spoil_packets(tmp_path / "a.mp4", 1, 2)
    cut(tmp_path / "a.mp4", 9.25, 9.5, tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4").duration_s == pytest.approx(0.25, abs=0.05)


def test_a_still_picture_lasts_as_long_as_it_stood(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mkv", [0.0, 0.1, 0.2, 10.0, 10.1])
    cut(tmp_path / "a.mkv", 3.0, 8.0, tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4").duration_s == pytest.approx(5.0, abs=0.2)
    assert set(clocks(tmp_path / "out.mp4")[1]) == {0.2}


def test_a_turned_video_is_cut_upright(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(3, 10), rotation=90)
    cut(tmp_path / "a.mp4", 1.0, 2.0, tmp_path / "out.mp4")
    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height, info.rotation) == (160, 48, 0)
    assert clocks(tmp_path / "out.mp4")[1][0] == 1.0


def test_a_clock_that_starts_again_is_cut_where_it_plays(tmp_path: Path) -> None:
    write_video(tmp_path / "one.ts", steps(3, 10))
    (tmp_path / "two.ts").write_bytes((tmp_path / "one.ts").read_bytes() * 2)
    cut(tmp_path / "two.ts", 4.0, 5.0, tmp_path / "out.mp4")
    assert clocks(tmp_path / "out.mp4")[1][0] == pytest.approx(1.0, abs=0.11)


def test_the_span_is_clamped_to_the_video(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(2, 10))
    cut(tmp_path / "a.mp4", -5, 100, tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4").duration_s == pytest.approx(2, abs=0.05)
    assert clocks(tmp_path / "out.mp4")[1] == pytest.approx(steps(2, 10))


@pytest.mark.parametrize(
    ("start", "end"), [(1, 1), (1.5, 0.5), (2.5, 9), (-3, -1), (float("nan"), 1), (0, float("nan"))]
)
def test_an_empty_span(tmp_path: Path, start: float, end: float) -> None:
    write_video(tmp_path / "a.mp4", steps(2, 10))
    with pytest.raises(VideoError, match=r"there is nothing between .* the video is 2\.00 s long"):
        cut(tmp_path / "a.mp4", start, end, tmp_path / "out.mp4")


def test_what_cannot_be_written(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(1, 10))
    with pytest.raises(VideoError, match=r"name it \.mp4 or \.webm"):
        cut(tmp_path / "a.mp4", 0, 1, tmp_path / "out.gif")
    with pytest.raises(VideoError, match="out.mp4: cannot be written"):
        cut(tmp_path / "a.mp4", 0, 1, tmp_path / "missing" / "out.mp4")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(VideoError, match="folder.mp4: cannot be written"):
        cut(tmp_path / "a.mp4", 0, 1, tmp_path / "folder.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "folder.mp4"]


def test_what_was_there_stays_when_cutting_fails(tmp_path: Path) -> None:
    out = tmp_path / ("ü" * 125 + "x.mp4")
    out.write_bytes(b"precious")
    (tmp_path / "bad.mp4").write_bytes(b"junk")
    with pytest.raises(VideoError, match=r"bad\.mp4: is not a video"):
        cut(tmp_path / "bad.mp4", 0, 1, out)
    assert out.read_bytes() == b"precious"
    write_video(tmp_path / "a.mp4", steps(1, 10))
    cut(tmp_path / "a.mp4", 0, 1, out)
    assert clocks(out)[1][0] == 0
