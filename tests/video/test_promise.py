"""A file that holds less than its header promises, and files that only look so."""

from __future__ import annotations

from pathlib import Path

import pytest

from prvr.video.probe import probe
from prvr.video.promise import CutShort
from prvr.video.promise import cut_short as look
from tests.video.make import cut_short, spoil_packets, steps, write_video


def found(path: Path, *, damaged: int = 0) -> CutShort | None:
    return look(path, duration_s=probe(path).duration_s, damaged=damaged)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.avi", "a.flv"])
@pytest.mark.parametrize("sound", [False, True])
def test_what_is_missing_is_counted_and_what_is_whole_is_left_alone(tmp_path: Path, name: str, sound: bool) -> None:
    codec = {"a.avi": "mpeg4", "a.webm": "libvpx"}.get(name, "libx264")
    options = {"movflags": "faststart"} if name == "a.mp4" else {}
    sound = sound and name not in ("a.avi", "a.webm")
    write_video(tmp_path / name, steps(8, 10), gop=10, codec=codec, container_options=options, sound=sound)
    assert found(tmp_path / name) is None
    share = 0.2 if name == "a.avi" else 0.6  # of which most is the index at the end
    cut = found(cut_short(tmp_path / name, tmp_path / f"cut-{name}", share))
    assert cut is not None
    assert 20 <= cut.frames <= 70
    assert cut.of == pytest.approx(80, abs=3)  # FLV tells the length of all that is in it
    assert cut.of_s == pytest.approx(8, abs=0.3)
    assert f"read {cut.frames} of {cut.of} frames (0:0" in cut.told(tmp_path / name)


def test_a_last_picture_that_stays_is_no_cut(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [*steps(2, 10), 30.0])
    assert found(tmp_path / "a.mp4") is None


def test_a_hole_in_the_middle_is_one(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(8, 10), gop=10)
    spoil_packets(tmp_path / "a.mp4", 20, 60)
    cut = found(tmp_path / "a.mp4", damaged=40)
    assert cut is not None
    assert (cut.frames, cut.of) == (40, 80)
    assert found(tmp_path / "a.mp4", damaged=4) is None, "a few bad packets are what damage is"


def test_no_recording_is_said_to_be_cut(shared: Path) -> None:
    for path in (shared / "videos").glob("*.m[kp][v4]"):
        assert found(path) is None, path
