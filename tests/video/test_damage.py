"""Files that are damaged: what decodes comes, at its right time, and the rest is counted."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from prvr.core.errors import VideoError
from prvr.video.decode import sample_frames
from prvr.video.probe import probe
from tests.video.make import cut_short, read_clock, sampled, spoil_packets, steps, write_video


def test_damaged_packets_are_passed_over_and_counted(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(10, 10), gop=10)
    clean = sample_frames(tmp_path / "a.mp4")
    assert [len(batch.times) for batch in clean] == [10]
    assert clean.damaged_packets == clean.damaged_frames == 0
    spoil_packets(tmp_path / "a.mp4", 33, 47)
    reader = sample_frames(tmp_path / "a.mp4")
    (batch,) = reader
    assert reader.damaged_packets == 14
    intact = [0, 1, 2, 5, 6, 7, 8, 9]
    assert set(intact) <= set(batch.times.tolist())
    for time, frame in zip(batch.times.tolist(), batch.frames, strict=True):
        if time in intact:
            assert read_clock(frame) == time


def test_a_damaged_beginning_does_not_move_the_clock(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(6, 10), gop=10)
    spoil_packets(tmp_path / "a.mp4", 0, 10)
    times, drawn = sampled(tmp_path / "a.mp4")
    assert times == drawn == [1, 2, 3, 4, 5]
    assert probe(tmp_path / "a.mp4").duration_s == pytest.approx(6)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_of_a_truncated_file_comes_what_is_there(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    options = {"movflags": "faststart"} if name == "a.mp4" else {}
    write_video(tmp_path / name, steps(10, 10), gop=10, container_options=options)
    capfd.readouterr()
    times, drawn = sampled(cut_short(tmp_path / name, tmp_path / f"cut-{name}", 0.7))
    assert 5 <= len(times) <= 9
    assert times == pytest.approx(drawn, abs=2e-3)
    assert capfd.readouterr() == ("", "")  # FFmpeg's own remarks do not reach the terminal


def _harm(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, a hole of noise, or a piece left out."""
    harmed = bytearray(data)
    kind, at = rng.randrange(3), rng.randrange(len(data))
    hole = slice(at, at + rng.randrange(len(data) // 3))
    if kind == 0:
        for _ in range(rng.choice([3, 30, 300])):
            harmed[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == 1:
        harmed[hole] = rng.randbytes(len(harmed[hole]))
    else:
        del harmed[hole]
    return bytes(harmed)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.flv", "a.webm"])
def test_whatever_the_damage_there_are_frames_or_one_line(tmp_path: Path, name: str) -> None:
    codec = {"a.avi": "mpeg4", "a.webm": "libvpx-vp9"}.get(name, "libx264")
    write_video(tmp_path / name, steps(4, 25), codec=codec, gop=25, sound=name in ("a.mp4", "a.ts", "a.flv"))
    data, rng = (tmp_path / name).read_bytes(), random.Random(name)
    for _ in range(25):
        (tmp_path / name).write_bytes(_harm(data, rng))
        try:
            info = probe(tmp_path / name)
            times = torch.cat([batch.times for batch in sample_frames(tmp_path / name, rate=5)])
            few = sum(len(batch.times) for batch in sample_frames(tmp_path / name, max_frames=3))
        except VideoError:
            continue
        assert (times.diff() > 0).all()
        assert 0 <= times[0] <= times[-1] < info.duration_s + 0.5
        assert 1 <= few <= 3
