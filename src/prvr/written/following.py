"""Lines over time: the same words, from picture to picture, are one line that stays, moves or rolls.

What costs little comes first. A picture in which nothing can have changed (`changes`) is not looked at; another is
glanced at, small; only where something is seen at a place that is not known, or a known line is another one, it is
looked at closely, and then only lines are read that are not just as they were. Since small letters cannot be seen at a
glance, a picture that has changed is looked at closely every `LOOK_S` seconds in any case.

Leaves and crowds change in every picture and look like letters. Where nothing was seen in `QUIET` glances, pictures are
held until `HELD` of them have come, and only the last is glanced at: where it shows something, the held ones are seen
after all, so that times are as right as ever. What stands still in two of them, and was not there before, is not held,
for leaves do not; so only a text of a second, or one of less than `HELD` that moves, may be missed there. Close looks
are then rarer too.

A line is kept where the mean over its letters' probabilities reaches `SURE` in one of its pictures, or `SURE_ONCE`
where there is one picture alone, and it has two letters or digits: of what is no letters, the model makes single signs
and doubts them. One of one picture that reads much like another one just before or after it is that one, misread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple

import numpy as np

from prvr.core.text import folded
from prvr.speech.store import SpokenWord, Utterance
from prvr.written.changes import OTHER, SIDE, Grey, grey_of, has_come_to_stay, may_read_otherwise
from prvr.written.reader import GLANCE, Corners, Pixels, ReadLine, ScreenReader

LOOK_S = 10.0  # between close looks at what seems to have no letters
QUIET, HELD = 4, 4  # pictures
SELDOM = 2  # times as long from one close look to the next that sees nothing, and again
LOST_S = 2.5  # that a line may be missed for, and still be the same
SURE, SURE_ONCE = 0.8, 0.9
EQUAL, ALIKE = 0.9, 0.8  # both so sure: letters must be equal; else so many of them


class Place(NamedTuple):
    """A rectangle, in shares of the picture's longer side."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        """From its top to its bottom."""
        return self.bottom - self.top

    def holds(self, other: Place) -> bool:
        """Whether the middle of another one, much as high, is in it or next to it."""
        x, y = (other.left + other.right) / 2, (other.top + other.bottom) / 2
        room = self.height / 2
        near = self.left - room <= x <= self.right + room and self.top - room <= y <= self.bottom + room
        return near and self.height < 2.5 * other.height


@dataclass(eq=False)
class _Line:
    """One that is on the screen, or was a moment ago."""

    start_s: float
    end_s: float  # when it was seen for the last time, and then the time of the picture that follows
    read: ReadLine  # the surest one
    corners: Corners
    place: Place
    patch: Grey
    pictures: int = 1
    here: bool = True  # in the last picture


class _Held(NamedTuple):
    """A picture that waits."""

    planes: Pixels
    grey: Grey
    at_s: float


class Follower:
    """Shown the pictures of a stretch of film in their order."""

    def __init__(self, reader: ScreenReader) -> None:
        self._reader = reader
        self._grey: Grey | None = None  # of the picture that was glanced at last
        self._lines: list[_Line] = []
        self._gone: list[_Line] = []
        self._blank: list[Place] = []  # where something was seen in which nothing could be read
        self._due_s = 0.0  # when to look closely again
        self._look_s = LOOK_S  # from one close look to the next
        self._looked_s: float | None = None  # the last one
        self._owed = False  # something has changed since, and was only glanced at
        self._quiet = 0  # pictures in which nothing was seen, up to now
        self._held: list[_Held] = []

    def see(self, planes: Pixels, at_s: float) -> None:
        """One picture more, planes (3, h, w) RGB; it may be changed afterwards."""
        grey = grey_of(planes)
        if self._may_wait(grey, at_s):
            self._held.append(_Held(planes.copy(), grey, at_s))
        else:
            self._see_held(_Held(planes, grey, at_s))

    def _may_wait(self, grey: Grey, at_s: float) -> bool:
        """Whether a picture need not be glanced at before more have come."""
        if self._grey is None or self._lines or self._quiet < QUIET:
            return False
        if self._held and has_come_to_stay(self._grey, self._held[-1].grey, grey):
            self._due_s = min(self._due_s, (self._looked_s or 0.0) + LOOK_S)  # it may be small
            self._quiet = 0  # nor do those that are held wait, or the next ones: a single glance may miss it
            return False
        return len(self._held) + 1 < HELD and at_s < self._due_s

    def _see_held(self, now: _Held) -> None:
        """A picture, and those that wait for it, if there is something in it."""
        held, self._held = self._held, []
        picture = np.ascontiguousarray(now.planes.transpose(1, 2, 0))
        seen = [_place(one, picture) for one in self._reader.find(picture, GLANCE)] if held else None
        for one in held if seen or not self._quiet else ():
            self._see(*one)
        self._see(*now, seen)

    def _see(self, planes: Pixels, grey: Grey, at_s: float, seen: list[Place] | None = None) -> None:
        """`seen`: what a glance at it shows, where there was one."""
        self._until(at_s)
        due = at_s >= self._due_s
        if not may_read_otherwise(self._grey, grey) and not (due and self._owed):
            self._still()
            return
        self._grey = grey
        picture = np.ascontiguousarray(planes.transpose(1, 2, 0))
        if seen is None or due:
            seen = [] if due else [_place(one, picture) for one in self._reader.find(picture, GLANCE)]
        self._quiet = 0 if seen or self._lines else self._quiet + 1
        self._owed = not due and self._is_known(seen, picture, grey)
        if self._owed:
            self._still()
        else:
            self._look(picture, grey, at_s)
            self._blank += [one for one in seen if not self._is_read(one)]

    def end(self, at_s: float) -> tuple[list[Utterance], int]:
        """What was written in it until this second, lines of one place together; and how many lines were left out."""
        if self._held:
            self._see_held(self._held.pop())
        self._until(at_s)
        every = [*self._gone, *self._lines]
        kept = [line for line in every if is_sure(line.read, line.pictures)]
        return blocks(line for line in kept if not _is_misread(line, kept)), len(every) - len(kept)

    def _is_known(self, seen: Sequence[Place], picture: Pixels, grey: Grey) -> bool:
        """Whether what was seen at a glance is what is on the screen already, or nothing that can be read."""
        known = all(self._is_read(one) or any(place.holds(one) for place in self._blank) for one in seen)
        return known and all(self._is_same(line, picture, grey) for line in self._here())

    def _is_read(self, seen: Place) -> bool:
        return any(line.place.holds(seen) for line in self._here())

    def _here(self) -> list[_Line]:
        return [line for line in self._lines if line.here]

    def _until(self, at_s: float) -> None:
        """What was in the last picture stayed until this one; what was not for long is over."""
        for line in self._here():
            line.end_s = at_s
        self._gone += [line for line in self._lines if at_s - line.end_s > LOST_S]
        self._lines = [line for line in self._lines if at_s - line.end_s <= LOST_S]

    def _still(self) -> None:
        for line in self._here():
            line.pictures += 1

    def _is_same(self, line: _Line, picture: Pixels, grey: Grey) -> bool:
        """Whether a line is still there: nothing has changed at its place, or it reads alike."""
        if _unchanged(line, grey):
            return True
        read = self._reader.read(picture, line.corners)
        if not alike(read, line.read):
            return False
        line.read, line.patch = max(line.read, read, key=lambda one: one.p), _patch(line.place, grey)
        return True

    def _look(self, picture: Pixels, grey: Grey, at_s: float) -> None:
        """Find every line of a picture, and read those that are not just as they were."""
        before, self._blank = list(self._lines), []
        for line in before:
            line.here = False
        for corners in self._reader.find(picture):
            place = _place(corners, picture)
            known = next((one for one in before if one.place.holds(place) and place.holds(one.place)), None)
            if known is None or not _unchanged(known, grey):
                read = self._reader.read(picture, corners)
                if not read.text:
                    self._blank.append(place)
                    continue
                known = next((one for one in before if alike(one.read, read)), None)
                self._seen(known, read, corners, place, grey, at_s)
            if known:
                before.remove(known)
                known.here, known.pictures, known.end_s = True, known.pictures + 1, at_s
        again = self._looked_s is not None and not self._lines and not self._blank
        self._look_s = self._look_s * SELDOM if again else LOOK_S
        self._looked_s, self._due_s = at_s, at_s + self._look_s

    def _seen(
        self, line: _Line | None, read: ReadLine, corners: Corners, place: Place, grey: Grey, at_s: float
    ) -> None:
        """A line was read at a place: one that is known, or another one."""
        if line is None:
            line = _Line(at_s, at_s, read, corners, place, _patch(place, grey))
            self._lines.append(line)
        line.read = max(line.read, read, key=lambda one: one.p)
        line.corners, line.place, line.patch = corners, place, _patch(place, grey)


def is_sure(read: ReadLine, pictures: int) -> bool:
    """Whether a line is kept (see the head of this file)."""
    letters = sum(sign.isalnum() for sign in read.text)
    return letters >= 2 and read.p >= (SURE if pictures > 1 else SURE_ONCE)


def alike(a: ReadLine, b: ReadLine) -> bool:
    """Whether two readings are of the same words.

    Where the model is sure of both, their letters must be equal, so that *He goes* does not become *She goes*; digits
    must be in any case.
    """
    if letters_of(a.text) == letters_of(b.text):
        return True
    return min(a.p, b.p) < EQUAL and _nearly(a, b)


def _is_misread(line: _Line, every: Sequence[_Line]) -> bool:
    """Whether another line is the same but for some letters, and was there a moment before or after."""
    touching = (one for one in every if line.start_s == one.end_s or line.end_s == one.start_s)
    return line.pictures == 1 and any(one.pictures > 1 and _nearly(line.read, one.read) for one in touching)


def _nearly(a: ReadLine, b: ReadLine) -> bool:
    one, other = (letters_of(read.text) for read in (a, b))
    digits = ["".join(filter(str.isdigit, text)) for text in (one, other)]
    return digits[0] == digits[1] and SequenceMatcher(None, one, other, autojunk=False).ratio() >= ALIKE


def letters_of(text: str) -> str:
    """Letters and digits alone, without case: what the model gets right before it gets spaces and signs right."""
    return "".join(sign for sign in folded(text) if sign.isalnum())


def blocks(lines: Iterable[_Line]) -> list[Utterance]:
    """Lines that come and go together, one under the other, as one; what is there twice at a time, once."""
    found: list[list[_Line]] = []
    for line in sorted(lines, key=lambda one: (one.start_s, one.place.top, one.place.left)):
        group = next((group for group in found if _follows(group[-1], line)), None)
        if group:
            group.append(line)
        elif not any(_says_too(group, line) for group in found):
            found.append([line])
    return [_utterance(group) for group in found]


def _follows(line: _Line, below: _Line) -> bool:
    """Whether one line is the next one of the same block."""
    a, b = line.place, below.place
    together = line.start_s == below.start_s and line.end_s == below.end_s
    high, low = max(a.height, b.height), min(a.height, b.height)
    close = -0.5 * low < b.top - a.bottom < 0.8 * low and high < 1.7 * low
    return together and close and b.left < a.right and a.left < b.right


def _says_too(group: Sequence[_Line], line: _Line) -> bool:
    return len(group) == 1 and alike(group[0].read, line.read) and line.start_s <= group[0].end_s


def _utterance(group: Sequence[_Line]) -> Utterance:
    words = tuple(
        SpokenWord(round(one.start_s, 3), round(one.end_s, 3), one.read.text, round(one.read.p, 3)) for one in group
    )
    return Utterance(words[0].start_s, words[0].end_s, " ".join(word.text for word in words), words)


def _place(corners: Corners, picture: Pixels) -> Place:
    (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
    side = max(picture.shape[:2])
    return Place(left / side, top / side, right / side, bottom / side)


def _patch(place: Place, grey: Grey) -> Grey:
    """What is at a place."""
    left, top, right, bottom = (round(value * SIDE) for value in place)
    return grey[max(0, top) : bottom + 1, max(0, left) : right + 1]


def _unchanged(line: _Line, grey: Grey) -> bool:
    now = _patch(line.place, grey)
    same = now.shape == line.patch.shape and bool(now.size)
    return same and float(np.abs(now - line.patch).mean()) <= OTHER
