"""What the reader sees in pictures that Pillow draws, with the real networks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from prvr.core.errors import EncoderError
from prvr.written import reader as reading
from prvr.written.following import alike, letters_of
from prvr.written.reader import LOOK, ReadLine, ScreenReader, shrunk
from tests.written.make import OnScreen, draw, font, ground, need_reader


@pytest.fixture(scope="module")
def reader() -> ScreenReader:
    need_reader()
    return ScreenReader(threads=1)


def read_all(reader: ScreenReader, picture: Image.Image) -> list[ReadLine]:
    pixels = np.asarray(picture)
    return [reader.read(pixels, corners) for corners in reader.find(pixels)]


@pytest.mark.parametrize("height", [1080, 2160])
def test_small_letters_of_a_large_picture_are_seen(reader: ScreenReader, height: int) -> None:
    """18 pixels of 1080, 36 of 2160: rapidocr's own settings see neither, for they make no large picture smaller."""
    picture = ground("still", (height * 16 // 9, height))(0)
    draw(picture, OnScreen(0, 1, "fares are lower on Sunday", "small"), 0)
    assert [letters_of(one.text) for one in read_all(reader, picture)] == ["faresareloweronsunday"]


def test_a_sign_at_an_angle_and_a_faint_line_are_read(reader: ScreenReader) -> None:
    picture = ground("drift", (1280, 720))(0)
    draw(picture, OnScreen(0, 1, "Willow Street", "sign"), 0)
    draw(picture, OnScreen(0, 1, "a pale promise", "faint"), 0)
    found = read_all(reader, picture)
    assert {letters_of(one.text) for one in found} == {"willowstreet", "apalepromise"}
    assert all(type(one.p) is float and 0.9 < one.p <= 1 for one in found)


def test_nothing_is_nothing_and_what_was_asked_before_stays_nowhere(reader: ScreenReader) -> None:
    empty = np.asarray(ground("still", (640, 360))(0))
    assert reader.find(empty).shape == (0, 4, 2)
    corners = np.array([[10, 10], [200, 10], [200, 40], [10, 40]], np.float32)
    assert not letters_of(reader.read(empty, corners).text)
    assert reader.find(empty).shape == (0, 4, 2)


def test_what_is_no_picture_of_bytes_is_refused(reader: ScreenReader) -> None:
    """Of floats, of sixteen bits and of four colours rapidocr says that nothing is written in them."""
    for wrong in (np.zeros((40, 60, 3)), np.zeros((40, 60, 3), np.uint16), np.zeros((40, 60, 4), np.uint8)):
        with pytest.raises(ValueError, match="must be"):
            reader.find(wrong)  # type: ignore[arg-type]


def test_colours_are_not_changed_about(reader: ScreenReader) -> None:
    """Blue on a red that is as bright can be read only while red is red: both sides would be the same grey."""
    picture = Image.new("RGB", (640, 200), (190, 0, 0))
    ImageDraw.Draw(picture).text((40, 60), "blue on red", font=font(48), fill=(0, 90, 255))
    assert [letters_of(one.text) for one in read_all(reader, picture)] == ["blueonred"]


def test_a_picture_is_made_smaller_by_means() -> None:
    need_reader()
    wide = np.zeros((100, 2 * LOOK, 3), np.uint8)
    wide[:, ::2] = 200
    small = shrunk(wide, LOOK)
    assert small.shape == (50, LOOK, 3)
    assert set(np.unique(small)) == {100}
    assert shrunk(small, LOOK) is small


def test_the_package_is_named_where_it_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "rapidocr" else real(name))
    with pytest.raises(EncoderError, match=r"rapidocr.*pip install 'prvr\[ocr\]'"):
        reading.models_folder()
    need = importlib.util.spec_from_file_location("rapidocr", tmp_path / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: need)
    with pytest.raises(EncoderError, match=r"came without PP-OCRv6_det_small.onnx.*3\.10"):
        reading.models_folder()


def test_two_sure_readings_are_alike_by_their_letters_alone() -> None:
    assert alike(ReadLine("Coffee, again!", 0.99), ReadLine("coffee again", 0.98))
    assert not alike(ReadLine("He goes home", 0.99), ReadLine("She goes home", 0.99))
    assert alike(ReadLine("Lights Erik Sund", 0.99), ReadLine("Liahts Erik Sund", 0.85))
    assert not alike(ReadLine("Platform 7", 0.99), ReadLine("Platform 8", 0.7)), "digits are never guessed"
    assert not alike(ReadLine("...", 0.6), ReadLine("words", 0.6))
