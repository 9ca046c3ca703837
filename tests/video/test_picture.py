"""Pictures are shown as by a player: upright, of their own shape, without a comb, in the colours of a screen."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as pillow
from PIL import ImageOps

from prvr.video.cut import cut
from prvr.video.decode import sample_frames
from prvr.video.frames import first_picture
from prvr.video.probe import probe
from prvr.video.proxy import make_proxy
from prvr.video.thumbnail import thumbnail
from tests.video.make import Image, steps, write_video
from tests.video.test_thumbnail import opened

Array = NDArray[Any]


def frames(path: Path, *, rate: float = 1.0) -> list[Array]:
    """As the encoder gets them, (h, w, 3) each."""
    return [frame.permute(1, 2, 0).numpy() for batch in sample_frames(path, rate=rate) for frame in batch.frames]


def last_of(path: Path) -> Array:
    """The last picture of a file, as FFmpeg shows it."""
    with av.open(path) as container:
        *_, last = container.decode(video=0)
    return np.asarray(last.to_ndarray(format="rgb24"))


# ---- upright


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_photograph_is_upright(tmp_path: Path, orientation: int) -> None:
    """PyAV knows no Exif, which stands beside the matrix in every photograph of a phone."""
    photo = pillow.new("RGB", (64, 32))
    for number, colour in enumerate(COLOURS.values()):
        photo.paste(colour, (number % 2 * 32, number // 2 * 16, number % 2 * 32 + 32, number // 2 * 16 + 16))
    exif = pillow.Exif()
    exif[0x112] = orientation
    photo.save(tmp_path / "photo.jpg", exif=exif, quality=95, subsampling=0)
    shown = np.asarray(ImageOps.exif_transpose(pillow.open(tmp_path / "photo.jpg")))
    np.testing.assert_array_equal(first_picture(tmp_path / "photo.jpg").transpose(1, 2, 0), shown)


COLOURS = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255), "W": (255, 255, 255)}


def corners(image: Array) -> str:
    """The colours at the corners, from left to right, from top to bottom."""
    rows, columns = (image.shape[0] // 4, 3 * image.shape[0] // 4), (image.shape[1] // 4, 3 * image.shape[1] // 4)
    return "".join(
        min(COLOURS, key=lambda name: np.abs(image[y, x].astype(int) - COLOURS[name]).sum())
        for y in rows
        for x in columns
    )


@pytest.mark.parametrize(
    ("matrix", "want"),  # a, b, c, d; as Chromium and ffmpeg's autorotate show it
    [
        ((1, 0, 0, 1), "RGBW"),
        ((0, 1, -1, 0), "BRWG"),
        ((-1, 0, 0, -1), "WBGR"),
        ((0, -1, 1, 0), "GWRB"),
        ((-1, 0, 0, 1), "GRWB"),
        ((1, 0, 0, -1), "BWRG"),
        ((0, 1, 1, 0), "RBGW"),
        ((0, -1, -1, 0), "WGBR"),
    ],
)
def test_every_turn_and_mirror(tmp_path: Path, matrix: tuple[int, ...], want: str) -> None:
    image: Image = np.zeros((96, 128, 3), np.uint8)
    for name, (y, x) in zip("RGBW", ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        image[48 * y :, 64 * x :] = COLOURS[name]
    a, b, c, d = (one << 16 for one in matrix)
    path = tmp_path / "a.mp4"
    write_video(path, steps(1, 10), draw=lambda _: image, matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30))
    size = (128, 96) if matrix[0] else (96, 128)
    info = probe(path)
    assert (info.width, info.height) == size
    assert info.mirrored == (matrix[0] * matrix[3] - matrix[1] * matrix[2] < 0)
    cut(path, 0, 1, tmp_path / "cut.mp4")
    shown = (frames(path)[0], opened(thumbnail(path, 0, width=128)), last_of(tmp_path / "cut.mp4"))
    assert [corners(image) for image in shown] == [want] * 3
    assert [image.shape[1::-1] for image in shown] == [size] * 3


# ---- of their own shape


def disc(width: int, height: int, *, aspect: float = 1.0) -> Image:
    """A white disc on grey, round where pixels are `aspect` times as wide as high."""
    y, x = np.mgrid[0:height, 0:width]
    inside = ((x - width / 2) * aspect) ** 2 + (y - height / 2) ** 2 < (min(width * aspect, height) * 0.4) ** 2
    return np.where(inside[..., None], 255, 90).astype(np.uint8).repeat(3, 2)


def roundness(image: Array) -> float:
    """Width of the disc over its height."""
    white = image.mean(2) > 180
    return float(white.any(0).sum() / white.any(1).sum())


def test_a_shape_that_changes_on_the_way(tmp_path: Path) -> None:
    for name, size, start in (("a.ts", (320, 240), 0.0), ("b.ts", (180, 320), 2.0)):
        picture = disc(*size)
        write_video(tmp_path / name, steps(2, 10), draw=lambda _, p=picture: p, offset_s=start)  # type: ignore[misc]
    path = tmp_path / "turned.ts"
    path.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    assert [frame.shape for frame in frames(path)] == [(240, 320, 3)] * 2 + [(320, 180, 3)] * 2
    assert opened(thumbnail(path, 3, width=160)).shape == (284, 160, 3)
    for start, end, shape in ((0, 4, (240, 320)), (2.5, 4, (320, 180))):
        cut(path, start, end, tmp_path / "cut.mp4")
        last = last_of(tmp_path / "cut.mp4")
        assert last.shape[:2] == shape
        assert roundness(last) == pytest.approx(1, abs=0.06)
    assert last_of(tmp_path / "cut.mp4")[:, :10].mean() > 60  # nothing black beside what fills the whole
    make_proxy(path, tmp_path / "copy.mp4")
    last = last_of(tmp_path / "copy.mp4")
    assert roundness(last) == pytest.approx(1, abs=0.06)
    assert last[:, :40].max() < 12


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_wide_pixels(tmp_path: Path, codec: str) -> None:
    path, aspect = tmp_path / "a.ts", Fraction(16, 11)
    picture = disc(176, 144, aspect=float(aspect))
    write_video(path, steps(1, 25), draw=lambda _: picture, codec=codec, pixel_aspect=aspect)
    assert probe(path).pixel_aspect == pytest.approx(16 / 11, rel=0.02)
    cut(path, 0, 1, tmp_path / "cut.mp4")
    for image in (opened(thumbnail(path, 0.5, width=128)), last_of(tmp_path / "cut.mp4")):
        assert roundness(image) == pytest.approx(1, abs=0.05)


# ---- without a comb


def field(number: int) -> Image:
    """One of fifty pictures a second: a bar that moves fast, and fine lines that stand."""
    image: Image = np.full((120, 160, 3), 30, np.uint8)
    left = number * 6 % 90
    image[:, left : left + 20] = 255
    image[20:100, 130:150:4] = 200
    return image


def comb(image: Array) -> float:
    """The share of pixels that stand out from both neighbours above and below, which are alike."""
    grey = image.astype(float).mean(2)
    beside = (grey[:-2] + grey[2:]) / 2
    return float(((np.abs(grey[1:-1] - beside) > 40) & (np.abs(grey[:-2] - grey[2:]) < 20)).mean())


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("a.mp4", "libx264", {"x264-params": "tff=1"}), ("a.mpg", "mpeg2video", {"qmax": "3"})],
)
def test_interlaced_film(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    def woven(time: float) -> Image:
        image = field(round(time * 50)).copy()
        image[1::2] = field(round(time * 50) + 1)[1::2]
        return image

    path = tmp_path / name
    write_video(path, steps(2, 25), draw=woven, codec=codec, interlaced=True, options=options, gop=10)
    with av.open(path) as container:
        stored = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    combed = float(np.mean([comb(image) for image in stored]))
    assert combed > 0.02
    assert "picture: interlaced; shown deinterlaced" in probe(path).notes
    cut(path, 0.4, 1.4, tmp_path / "cut.mp4")
    with av.open(tmp_path / "cut.mp4") as container:
        made = list(container.decode(video=0))
    assert not any(frame.interlaced_frame for frame in made)
    sampled = frames(path, rate=25)
    assert len(sampled) == 50
    assert max(comb(image) for image in sampled[1:]) == 0
    alone, written = comb(sampled[0]), [opened(thumbnail(path, 0.8, width=160))]  # no field before the first picture
    written += [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in made]  # through another codec
    assert max(alone, *(comb(image) for image in written)) < combed / 30
    for sparse, number in zip(frames(path, rate=2.5), range(0, 50, 10), strict=True):  # one in ten as one by one
        assert np.array_equal(sparse, sampled[number])
    assert sampled[20][40, 130:150].std() > 40  # what stands keeps its lines


# ---- in the colours of a screen

TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
PATCHES = {
    "white": (246, 246, 242),
    "red": (214, 40, 40),
    "blue": (38, 92, 214),
    "grey": (128, 128, 128),
    "dark": (40, 60, 50),
}


def linear(colour: tuple[int, int, int]) -> Array:
    """sRGB -> light of BT.2020, 1 is white paper."""
    c = np.asarray(colour) / 255
    return np.asarray(TO_2020 @ np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4))


def pq(light: Array) -> Array:
    """White paper at 203 cd/m2 (BT.2408)."""
    y = (light * 203 / 10_000) ** (2610 / 16_384)
    return np.asarray(((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32))


def hlg(light: Array) -> Array:
    """White paper at 75 % of the signal (BT.2408)."""
    e = np.clip(light * 0.265, 0, 1)
    curved = 0.17883277 * np.log(np.maximum(12 * e - 0.28466892, 1e-9)) + 0.55991073
    return np.where(e <= 1 / 12, np.sqrt(3 * e), curved)


def write_hdr(path: Path, curve: Any, transfer: int, *, said: bool = True) -> None:
    """The patches side by side, 32 pixels each, 10 bit."""
    image = np.repeat([[curve(linear(colour)) for colour in PATCHES.values()]], 64, 0).repeat(32, 1)
    with av.open(path, "w") as out:
        video: Any = out.add_stream(
            "libx265", rate=10, options={"x265-params": "log-level=none", "preset": "ultrafast"}
        )
        video.height, video.width, video.pix_fmt = *image.shape[:2], "yuv420p10le"
        context = video.codec_context
        context.color_trc, context.color_primaries, context.colorspace = transfer, 9 if said else 2, 9
        frame = av.VideoFrame.from_ndarray((image * 65_535).round().astype(np.uint16), format="rgb48le")
        frame = frame.reformat(format="yuv420p10le", dst_colorspace=9, dst_color_range=1)
        for i in range(10):
            frame.color_trc, frame.color_primaries, frame.colorspace = transfer, 9 if said else 2, 9
            frame.pts, frame.time_base, frame.pict_type = i, Fraction(1, 10), 0
            out.mux(video.encode(frame))
        out.mux(video.encode(None))


@pytest.mark.parametrize(("curve", "transfer"), [(pq, 16), (hlg, 18)])
@pytest.mark.parametrize("said", [True, False])
def test_hdr_is_shown_as_on_an_ordinary_screen(tmp_path: Path, curve: Any, transfer: int, said: bool) -> None:
    path = tmp_path / "a.mp4"
    write_hdr(path, curve, transfer, said=said)
    with av.open(path) as container:
        as_stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert abs(int(as_stored[32, 16, 0]) - 246) > 50
    assert "HDR" in "".join(probe(path).notes)
    cut(path, 0, 1, tmp_path / "cut.mp4")
    with av.open(tmp_path / "cut.mp4") as container:
        frame = next(container.decode(video=0))
        assert (frame.format.name, frame.color_trc, frame.color_primaries, frame.colorspace) == ("yuv420p", 1, 1, 1)
    for image in (frames(path)[0], opened(thumbnail(path, 0, width=160)), last_of(tmp_path / "cut.mp4")):
        for number, (name, colour) in enumerate(PATCHES.items()):
            found = image[image.shape[0] // 2, image.shape[1] // 5 * number + image.shape[1] // 10].astype(int)
            assert found == pytest.approx(colour, abs=6), name
