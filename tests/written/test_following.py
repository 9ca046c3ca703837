"""How seldom a film is looked at, and what becomes of lines over time; with the real networks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from prvr.speech.store import Utterance
from prvr.written.changes import grey_of, may_read_otherwise
from prvr.written.following import HELD, LOOK_S, QUIET, Follower
from prvr.written.reader import LOOK, Corners, Pixels, ReadLine, ScreenReader
from prvr.written.reading import joined
from tests.written.make import OnScreen, draw, ground, need_reader, planes_of

SIZE = (640, 360)


class Counting(ScreenReader):
    """The reader, and how often it was asked for what."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self.asked: Counter[str] = Counter()

    def find(self, picture: Pixels, side: int = LOOK) -> Corners:
        self.asked["look" if side == LOOK else "glance"] += 1
        return super().find(picture, side)

    def read(self, picture: Pixels, corners: Corners) -> ReadLine:
        self.asked["read"] += 1
        return super().read(picture, corners)


@pytest.fixture
def reader() -> Counting:
    need_reader()
    return Counting()


def follow(
    reader: Counting, kind: str, lines: list[OnScreen], seconds: int, size: tuple[int, int] = SIZE
) -> list[Utterance]:
    follower, behind = Follower(reader), ground(kind, size)
    for second in range(seconds):
        picture = behind(second)
        for line in lines:
            draw(picture, line, second)
        follower.see(planes_of(picture), second)
    return follower.end(seconds)[0]


def test_a_film_without_letters_is_never_looked_at(reader: Counting) -> None:
    assert follow(reader, "drift", [], 20) == []
    assert not reader.asked


def test_leaves_that_move_are_glanced_at_and_seldom_looked_at(reader: Counting) -> None:
    assert follow(reader, "leaves", [], 20) == []
    assert reader.asked["look"] <= 20 / LOOK_S + 1
    assert reader.asked["glance"] <= QUIET + 20 / HELD + 2
    assert not reader.asked["read"]


@pytest.mark.parametrize("size", [SIZE, (1280, 720)])
def test_what_comes_over_leaves_after_a_while_begins_when_it_came(reader: Counting, size: tuple[int, int]) -> None:
    """Pictures that were held back are seen after all."""
    lines = [OnScreen(17, 20, "Turn left at the church"), OnScreen(30, 32, "He goes home tonight")]
    found = follow(reader, "leaves", lines, 34, size)
    assert [(one.start_s, one.end_s, one.text) for one in found] == [(a, b, text) for a, b, text, _ in lines]


def test_a_text_that_stays_is_read_once(reader: Counting) -> None:
    found = follow(reader, "still", [OnScreen(2, 30, "Coffee is expensive again")], 25)
    assert [(one.start_s, one.end_s, one.text) for one in found] == [(2, 25, "Coffee is expensive again")]
    assert reader.asked["read"] == 1


def test_another_caption_at_the_same_place_is_another_one(reader: Counting) -> None:
    """After a pause, too; what was seen in the empty picture between them hides nothing."""
    lines = [OnScreen(0, 3, "Turn left at the church"), OnScreen(3, 6, "Turn right at the church")]
    lines += [OnScreen(8, 11, "Turn left at the school")]
    found = follow(reader, "drift", lines, 14)
    assert [(one.start_s, one.end_s, one.text) for one in found] == [(a, b, text) for a, b, text, _ in lines]


def test_small_letters_are_found_at_the_next_close_look(reader: Counting) -> None:
    """They cannot be seen at a glance."""
    follower, behind = Follower(reader), ground("still", (1280, 720))
    for second in range(25):
        picture = behind(second)
        draw(picture, OnScreen(3, 25, "batteries not included", "small"), second)
        draw(picture, OnScreen(1, 3, "The harbour opens"), second)
        follower.see(planes_of(picture), second)
    found = {one.text: one.start_s for one in follower.end(25)[0]}
    assert found.pop("The harbour opens") == 1
    (start_s,) = found.values()
    assert 3 <= start_s <= 3 + LOOK_S


def test_lines_of_one_caption_are_one_text(reader: Counting) -> None:
    follower = Follower(reader)
    picture = ground("still", SIZE)(0)
    draw(picture, OnScreen(0, 5, "The harbour opens\nat seven o'clock"), 0)
    follower.see(planes_of(picture), 0)
    (found,) = follower.end(1)[0]
    assert found.text == "The harbour opens at seven o'clock"
    assert [word.text for word in found.words] == ["The harbour opens", "at seven o'clock"]


def test_only_letters_that_change_are_worth_a_glance() -> None:
    need_reader()
    still, drift = ground("still", SIZE), ground("drift", SIZE)
    plain, letters = still(0), still(0)
    draw(letters, OnScreen(0, 1, "The harbour opens"), 0)
    a, b = (grey_of(planes_of(one)) for one in (plain, letters))
    assert not may_read_otherwise(None, a)
    assert may_read_otherwise(None, b)
    assert may_read_otherwise(a, b)
    assert may_read_otherwise(b, a), "they are gone"
    assert not may_read_otherwise(b, b)
    assert not may_read_otherwise(a, grey_of(planes_of(drift(5)))), "colours alone"
    assert may_read_otherwise(np.zeros((16, 16), np.int16), b), "another size"


def test_where_two_windows_meet_a_text_is_there_once() -> None:
    before = (Utterance(50.0, 60.0, "Coffee again", ()), Utterance(55.0, 58.0, "gone", ()))
    after = [Utterance(60.0, 63.0, "coffee again", ()), Utterance(60.0, 62.0, "gone", ())]
    rows = [(one.start_s, one.end_s, one.text) for one in joined(before, after)]
    assert rows == [(50.0, 63.0, "Coffee again"), (55.0, 58.0, "gone"), (60.0, 62.0, "gone")]
