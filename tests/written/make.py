"""Films in which something is written, and what it takes to read them; a test that needs that skips where it is not."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Size = tuple[int, int]
Drawing = Callable[[Image.Image, float], None]  # on a picture, at a second


class OnScreen(NamedTuple):
    """A line in a film."""

    start_s: float
    end_s: float
    text: str
    how: Literal["caption", "credits", "sign", "small", "faint"] = "caption"


def need_reader() -> None:
    for name in ("rapidocr", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not here: `make test-all` installs it")


def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The one that Pillow brings."""
    return ImageFont.load_default(size=size)


def ground(kind: str, size: Size) -> Callable[[float], Image.Image]:
    """What is behind the letters at a second: `still`, `drift` (a slope of colours) or `leaves`, which move."""
    width, height = size
    y, x = np.mgrid[:height, : 2 * width]
    if kind == "leaves":
        noise = np.random.default_rng(0).normal(size=(height, 2 * width))
        spread = ((noise - noise.min()) / np.ptp(noise) * 255).astype(np.uint8)
        soft = np.asarray(Image.fromarray(spread).filter(ImageFilter.GaussianBlur(2))).astype(float)
        grey = (soft - soft.mean()) / soft.std() * 45 + 110
        colours = np.clip(np.stack([0.6 * grey, grey, 0.5 * grey], 2), 0, 255)
    else:
        wave = 90 + 60 * np.sin(x / width * np.pi)
        colours = np.stack([wave, 60 + 80 * y / height, 200 - wave / 2], 2)
    wide = Image.fromarray(colours.astype(np.uint8))
    speed = 0 if kind == "still" else 24

    def at(second: float) -> Image.Image:
        left = int(second * speed) % width
        return wide.crop((left, 0, left + width, height))

    return at


def draw(picture: Image.Image, line: OnScreen, second: float) -> None:
    """A line as it is shown at a second; nothing before and after it."""
    if not line.start_s <= second < line.end_s:
        return
    width, height = picture.size
    pen = ImageDraw.Draw(picture)
    if line.how == "caption":
        pen.text(
            (width / 2, height * 0.9), line.text, anchor="mm", font=font(height / 18), fill="white",
            stroke_width=height // 360, stroke_fill="black",
        )  # fmt: skip
    elif line.how == "credits":  # once up the screen
        share = (second - line.start_s) / (line.end_s - line.start_s)
        pen.text(
            (width / 2, height * (1.05 - 1.1 * share)), line.text, anchor="mm", font=font(height / 20), fill="white"
        )
    elif line.how == "sign":
        angle = 12 + sum(map(ord, line.text)) % 20
        letters = font(height / 15)
        board = Image.new("RGBA", (round(letters.getlength(line.text)) + 40, height // 9), (20, 60, 150, 255))
        at = (board.width / 2, board.height / 2)
        ImageDraw.Draw(board).text(at, line.text, anchor="mm", font=letters, fill="white")
        turned = board.rotate(angle, expand=True, resample=Image.Resampling.BICUBIC)
        picture.paste(turned, ((width - turned.width) // 2, height // 8), turned)
    elif line.how == "small":
        pen.text((width * 0.05, height * 0.06), line.text, anchor="lm", font=font(height / 45), fill="white")
    else:
        x, y = width * 0.1, height * 0.45
        patch = np.asarray(picture.crop((int(x), int(y) - 10, int(x) + 100, int(y) + 10))).reshape(-1, 3)
        r, g, b = (int(value) + 30 for value in patch.mean(0))
        pen.text((x, y), line.text, anchor="lm", font=font(height / 20), fill=(r, g, b))


def write_film(
    path: Path,
    lines: Sequence[OnScreen] = (),
    *,
    duration_s: float,
    kind: str = "drift",
    size: Size = (1280, 720),
    rate: int = 5,
) -> Path:
    """A film of pictures with letters."""
    behind = ground(kind, size)
    with av.open(path, "w") as out:
        video = out.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "23", "threads": "1"})
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        for number in range(round(duration_s * rate)):
            picture = behind(number / rate)
            for line in lines:
                draw(picture, line, number / rate)
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.asarray(picture))))
        out.mux(video.encode(None))
    return path


def planes_of(picture: Image.Image) -> NDArray[np.uint8]:
    """(3, h, w), as pictures come out of a film."""
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


def captions(
    texts: Sequence[str], *, each_s: float = 3.0, gap_s: float = 1.0, from_s: float = 1.0
) -> Iterator[OnScreen]:
    """Texts one after another."""
    for number, text in enumerate(texts):
        start_s = from_s + number * (each_s + gap_s)
        yield OnScreen(start_s, start_s + each_s, text)
