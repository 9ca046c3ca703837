from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from prvr.core.text import clock
from prvr.core.types import Hit
from prvr.search.confidence import CONFIDENT, NOTHING, RELATED, UNCALIBRATED
from prvr.search.listing import answer, hit_table


def hit(confidence: str, *, name: str = "a.mp4", p: float | None = 0.41, **more: object) -> Hit:
    values = {"moments": ((75.25, 80.0), (3.0, 4.0)), "score": 0.3125, "duration_s": 100.0, **more}
    return Hit(video_id=name, confidence=confidence, p_topic=p, **values)  # type: ignore[arg-type]


def test_a_table_by_hand() -> None:
    rows = hit_table([hit(CONFIDENT), hit(NOTHING, name="b.mp4", moments=((0.0, 1.0),))]).splitlines()
    assert rows == [
        " #  match     score   moment               video",
        " 1  good       0.312  1:15.2 - 1:20.0      a.mp4  (+1 more)",
        " 2  weak       0.312  0:00.0 - 0:01.0      b.mp4",
    ]


def test_without_calibration_nothing_is_said_of_it() -> None:
    rows = hit_table([hit(UNCALIBRATED, p=None)]).splitlines()
    assert rows == [
        " #  score   moment               video",
        " 1   0.312  1:15.2 - 1:20.0      a.mp4  (+1 more)",
    ]
    assert answer([hit(UNCALIBRATED, p=None)]) == "\n".join(rows)


def test_an_answer_stops_where_guessing_begins() -> None:
    both = [hit(RELATED), hit(NOTHING, name="b.mp4"), hit(NOTHING, name="c.mp4")]
    shown = answer(both).splitlines()
    assert len(shown) == 3
    assert shown[-1] == "Show 2 weak matches too: --all"
    assert answer(both, everything=True) == hit_table(both)


def test_nothing_found_is_said_honestly() -> None:
    said = answer([hit(NOTHING), hit(NOTHING, p=0.2)])
    assert said.startswith("No good match: of 100 unrelated sentences, 20 would score this high in this library.")
    assert said.endswith("--all")
    assert "none that fits these filters" in answer([])


def test_steps_and_what_is_said_stand_behind() -> None:
    row = hit_table([hit(RELATED, moments=((1.0, 9.0),), steps=((1.0, 2.0), (7.0, 9.0)), quote="hello")]).splitlines()[
        1
    ]
    assert row.endswith('a.mp4  (0:01.0 then 0:07.0; "hello")')


def test_copies_stand_under_the_first_by_name() -> None:
    both = [hit(RELATED), hit(RELATED, name="b.mp4"), hit(RELATED, name="c.mp4", same_as="a.mp4")]
    rows = hit_table([*both, hit(RELATED, name="d.mp4", same_as="c.mp4")]).splitlines()
    assert [row[:2].strip() for row in rows] == ["#", "1", "", "2"]
    assert rows[2] == "    +2 similar: #3 c.mp4, #4 d.mp4"  # so that no rank is missing
    assert len(rows) == 4, "scores that do not rise need no word"


def test_a_score_that_rises_and_a_file_that_is_gone_are_said(tmp_path: Path) -> None:
    low, high = (
        replace(hit(RELATED), score=0.1),
        replace(hit(RELATED, name="b.mp4"), score=0.9, path=tmp_path / "b.mp4"),
    )
    rows = hit_table([low, high]).splitlines()
    assert "b.mp4 (missing)" in rows[2]
    assert rows[3] == "The order also counts names and subtitles, so scores need not fall"


def test_times_of_people() -> None:
    assert [clock(value) for value in (0, 59.99, 75.25, 3600, 3725.9)] == [
        "0:00.0",
        "0:59.9",
        "1:15.2",
        "1:00:00.0",
        "1:02:05.9",
    ]
