from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from prvr.core.errors import ConfigError, VideoError
from prvr.video.thumbnail import thumbnail
from tests.video.make import Image, cut_short, draw_clock, read_clock, spoil_packets, steps, write_video


def opened(picture: bytes) -> NDArray[np.uint8]:
    """As another program reads it: a JPEG of full range."""
    assert picture.startswith(b"\xff\xd8\xff")
    with av.open(io.BytesIO(picture), "r") as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24").astype(np.uint8)


def clock(picture: bytes) -> float:
    return read_clock(torch.from_numpy(opened(picture).copy()).permute(2, 0, 1))


@pytest.mark.parametrize(
    ("name", "codec", "offset_s"),
    [
        ("a.mp4", "libx264", 0.0),
        ("a.mkv", "libx265", 0.0),
        ("a.webm", "libvpx-vp9", 0.0),
        ("a.ts", "libx264", 100.0),
        ("a.avi", "mpeg4", 0.0),
        ("b.mp4", "libx264", 3.0),
    ],
)
def test_the_frame_that_stands_at_a_time(tmp_path: Path, name: str, codec: str, offset_s: float) -> None:
    rate = 10
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    write_video(tmp_path / name, steps(6, rate), codec=codec, gop=20, offset_s=offset_s, options=options)
    for time in (0.0, 0.94, 2.0, 2.55, 4.04, 5.9):
        late = offset_s if name.endswith(".mp4") else 0.0  # MPEG-TS begins anywhere, MP4 at its own zero
        found = clock(thumbnail(tmp_path / name, late + time, width=160))
        assert found == pytest.approx(int(time * rate + 1e-6) / rate, abs=0.0011), time
    assert clock(thumbnail(tmp_path / name, 99, width=160)) == pytest.approx(6 - 1 / rate, abs=0.0011)
    assert clock(thumbnail(tmp_path / name, -1, width=160)) == 0


def test_what_stands_long(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mkv", [0.0, 0.1, 0.2, 10.0, 10.1])
    assert clock(thumbnail(tmp_path / "a.mkv", 9.99, width=160)) == 0.2
    assert clock(thumbnail(tmp_path / "a.mkv", 10.0, width=160)) == 10.0


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_upright(tmp_path: Path, rotation: int) -> None:
    write_video(tmp_path / "a.mp4", steps(2, 10), rotation=rotation)
    picture = thumbnail(tmp_path / "a.mp4", 1.0, width=160)
    assert opened(picture).shape == (48, 160, 3)
    assert clock(picture) == 1.0


@pytest.mark.parametrize(
    ("width", "height", "asked", "shape"),
    [
        (640, 480, 320, (240, 320)),
        (161, 91, 320, (90, 160)),  # odd, and not made larger
        (320, 180, 64, (36, 64)),
        (480, 854, 128, (228, 128)),
    ],
)
def test_sizes(tmp_path: Path, width: int, height: int, asked: int, shape: tuple[int, int]) -> None:
    draw = lambda time: np.full((height, width, 3), 90, np.uint8)  # noqa: E731
    write_video(tmp_path / "a.mkv", steps(0.3, 10), draw=draw, codec="ffv1")
    assert opened(thumbnail(tmp_path / "a.mkv", 0, width=asked)).shape[:2] == shape


def test_wide_pixels(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(0.5, 10), draw=lambda t: draw_clock(t, height=120), pixel_aspect=Fraction(2))
    assert opened(thumbnail(tmp_path / "a.mp4", 0, width=160)).shape[:2] == (60, 160)


def test_colours_are_kept(tmp_path: Path) -> None:
    def draw(_: float) -> Image:
        image = np.zeros((64, 96, 3), np.uint8)
        image[:, :32], image[:, 32:64] = (255, 255, 255), (255, 0, 0)
        return image

    write_video(tmp_path / "a.mp4", steps(0.3, 10), draw=draw)
    white, red, black = (opened(thumbnail(tmp_path / "a.mp4", 0, width=96))[32, x].tolist() for x in (12, 48, 84))
    assert min(white) > 248
    assert max(black) < 8
    assert red[0] > 240
    assert max(red[1:]) < 12


def test_damage_spoils_only_what_is_drawn_from_it(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(4, 10), gop=10)
    spoil_packets(tmp_path / "a.mp4", 20, 21)
    assert clock(thumbnail(tmp_path / "a.mp4", 1.5, width=160)) == 1.5
    assert opened(thumbnail(tmp_path / "a.mp4", 2.0, width=160)).shape == (48, 160, 3)
    assert clock(thumbnail(tmp_path / "a.mp4", 3.5, width=160)) == 3.5


def test_what_takes_too_long_is_given_up(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steps(5, 10))
    assert clock(thumbnail(tmp_path / "a.mp4", 4.9, width=160, patience_s=0.0)) < 4.9


def test_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video at all")
    with pytest.raises(VideoError, match=r"a\.mp4: is not a video"):
        thumbnail(tmp_path / "a.mp4", 0, width=160)
    write_video(tmp_path / "b.mp4", steps(2, 10))
    cut_short(tmp_path / "b.mp4", tmp_path / "c.mp4", 0.5)
    with pytest.raises(VideoError, match=r"c\.mp4"):
        thumbnail(tmp_path / "c.mp4", 0, width=160)
    for time, width, word in ((float("nan"), 160, "time"), (0, 0, "width"), (0, 100_000, "width")):
        with pytest.raises(ConfigError, match=word):
            thumbnail(tmp_path / "b.mp4", time, width=width)
