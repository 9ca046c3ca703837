"""Cues as broadcasters show them, and files of them that other programs read."""

from __future__ import annotations

from itertools import pairwise

from prvr.core.facts import Cue
from prvr.subtitles.cues import parse_subtitles, vtt
from prvr.subtitles.lines import LETTERS, LINES, shown_lines, srt

LONG = (
    "this sentence goes on and on, for somebody forgot to stop, and nobody could read it all on one screen before "
    "the next one begins, however fast"
)


def test_lines_are_short_and_no_word_is_lost() -> None:
    cues = [Cue(0.0, 2.0, "Short."), Cue(3.0, 10.0, LONG), Cue(11.0, 12.0, "x" * 90)]
    found = list(shown_lines(cues))
    assert all(len(line) <= LETTERS for cue in found for line in cue.text.split("\n"))
    assert all(cue.text.count("\n") < LINES for cue in found)
    said = " ".join(cue.text.replace("\n", " ") for cue in found[1:3])
    assert said == LONG
    assert (found[0], found[1].start_s, found[2].end_s) == (cues[0], 3.0, 10.0)
    assert all(a.end_s <= b.start_s + 1e-9 for a, b in pairwise(found))


def test_two_lines_are_about_as_long_as_each_other() -> None:
    (cue,) = shown_lines([Cue(0.0, 3.0, "It rained in the morning, and in the evening")])
    first, second = cue.text.split("\n")
    assert abs(len(first) - len(second)) < 8


def test_files_are_read_again_as_they_were_meant() -> None:
    cues = [Cue(1.0, 2.5, "One & <two>"), Cue(3661.25, 3662.0, LONG)]
    for write, name in ((srt, "a.srt"), (vtt, "a.vtt")):
        notes: list[str] = []
        again = list(parse_subtitles(write(shown_lines(cues)), name=name, notes=notes))
        assert not notes
        assert " ".join(cue.text for cue in again) == f"One & <two> {LONG}"
        assert (again[0].start_s, again[-1].end_s) == (1.0, 3662.0)
    assert srt([Cue(3661.25, 3662.0, "x")]) == "1\n01:01:01,250 --> 01:01:02,000\nx\n\n"
