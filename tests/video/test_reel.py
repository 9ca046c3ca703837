"""Several moments as one film, read back: which picture stands at which second, and what is heard."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from prvr.core.errors import VideoError
from prvr.video.probe import probe
from prvr.video.reel import save_reel
from tests.video.make import steps, write_video
from tests.video.test_cut import clocks

CLOSED = {"bf": "0", "sc_threshold": "0"}  # so that packets can be copied from every key frame


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of one camera, with a key frame a second; one of another shape, rate and container, and without sound."""
    folder = tmp_path_factory.mktemp("films")
    for name in ("a.mp4", "b.mp4"):
        write_video(folder / name, steps(4, 10), gop=10, sound=True, options=CLOSED)
    write_video(folder / "still.mkv", steps(3, 25), rotation=90)
    return folder


def silence(path: Path) -> list[int]:
    """The seconds of a film in whose middle nothing is heard."""
    loud: dict[int, float] = {}
    with av.open(path) as container:
        for frame in container.decode(audio=0):
            at = (frame.time or 0.0) % 1
            if 0.3 < at < 0.7:
                second = int(frame.time or 0)
                loud[second] = max(loud.get(second, 0.0), float(abs(frame.to_ndarray().astype(float)).max()))
    return [second for second, peak in sorted(loud.items()) if peak < 0.01 * max(loud.values())]


def test_packets_of_one_camera_are_copied(films: Path, tmp_path: Path) -> None:
    out, heard = tmp_path / "x.mp4", list[int]()
    clips = [(films / "b.mp4", 2.0, 3.0), (films / "a.mp4", 1.0, 3.0), (films / "b.mp4", 0.0, 1.0)]
    assert save_reel(clips, out, on_progress=heard.append)
    times, drawn = clocks(out)
    assert times == pytest.approx(steps(4, 10), abs=0.002)
    assert drawn == pytest.approx([2 + t for t in steps(1, 10)] + [1 + t for t in steps(2, 10)] + steps(1, 10))
    with av.open(out) as container:
        sound = [(packet.pts or 0) * packet.time_base for packet in container.demux(audio=0) if packet.size]
    assert len(sound) == pytest.approx(4 * 32_000 / 1024, abs=4)
    assert sound == sorted(set(sound))
    assert sound[-1] == pytest.approx(4, abs=0.1)
    assert [path.name for path in tmp_path.iterdir()] == ["x.mp4"]


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_films_of_all_kinds_are_encoded_one_after_another(films: Path, tmp_path: Path, suffix: str) -> None:
    out, heard = tmp_path / f"x{suffix}", list[int]()
    clips = [(films / "a.mp4", 1.25, 2.25), (films / "still.mkv", 1.0, 2.0), (films / "b.mp4", 3.0, 9.0)]
    assert not save_reel(clips, out, on_progress=heard.append)
    assert heard == [1, 2, 3]
    info = probe(out)
    assert (info.width, info.height, info.browser_playable) == (160, 48, True)
    assert info.duration_s == pytest.approx(3.0, abs=0.05)
    with av.open(out) as container:
        times = [frame.time or 0.0 for frame in container.decode(video=0)]
    assert sum(1.0 <= time < 1.99 for time in times) == pytest.approx(25, abs=1), "each keeps its own pictures"
    assert silence(out) == [1], "what has no sound is silent, and the sound after it is in its place"


def test_a_reel_may_begin_at_the_key_frames_before(films: Path, tmp_path: Path) -> None:
    clips = [(films / "a.mp4", 1.5, 2.0), (films / "b.mp4", 2.7, 3.0)]
    assert not save_reel(clips, tmp_path / "exact.mp4")
    assert clocks(tmp_path / "exact.mp4")[1][0] == 1.5
    assert save_reel(clips, tmp_path / "fast.mp4", fast=True)
    assert clocks(tmp_path / "fast.mp4")[1] == pytest.approx(
        [1 + t for t in steps(1, 10)] + [2 + t for t in steps(1, 10)]
    )


def test_what_cannot_be_made(films: Path, tmp_path: Path) -> None:
    for clip, out, said in (
        ((films / "a.mp4", 5.0, 6.0), "x.mp4", r"a\.mp4: there is nothing between 5.0 and 6.0 s; the video is 4\.00 s"),
        ((films / "a.mp4", 1.0, 2.0), "x.gif", r"name it \.mp4 or \.webm"),
        ((films / "a.mp4", 1.0, 2.0), "no/x.mp4", r"x\.mp4: cannot be written"),
        ((films / "gone.mp4", 1.0, 2.0), "x.mp4", r"gone\.mp4: no such file"),
    ):
        with pytest.raises(VideoError, match=said):
            save_reel([(films / "b.mp4", 0.5, 1.5), clip], tmp_path / out)
    assert list(tmp_path.iterdir()) == []
