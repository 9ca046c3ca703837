from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prvr.core.errors import DataError
from prvr.evaluation.highlights import tied_precision
from prvr.evaluation.qvhighlights import Prediction, Truth, evaluate, highlights_of, percent, precision_of, recall_of


def windows(*rows: tuple[float, ...]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1) if rows else np.empty((0, 3))


RIGHT = Truth(1, windows((0, 8)), 150.0)
LONG = Truth("two", windows((40, 60), (100, 148)), 150.0)


def test_groups_by_hand() -> None:
    """Query 1 is found at rank 2; of query two the middle window is found first, the long one not at all."""
    given = [Prediction(1, windows((20, 30, 0.5), (0, 8, 0.4))), Prediction("two", windows((40, 60, 0.1)))]
    found = evaluate(given, [RIGHT, LONG]).to_dict()
    assert found["short"]["MR-mAP"]["0.5"] == 50.0
    assert found["middle"]["MR-mAP"]["0.95"] == 100.0
    assert found["long"]["MR-mAP"]["average"] == 0.0
    assert found["full"]["MR-mAP"]["average"] == 50.0
    assert found["full"]["MR-R1"]["0.7"] == found["brief"]["MR-full-R1@0.7"] == 50.0
    assert found["brief"]["MR-middle-mAP"] == 100.0
    assert "HL-min-Fair" not in found


def test_what_the_published_code_stumbles_over_is_said() -> None:
    answered = Prediction(1, windows((0, 8, 1)))
    with pytest.raises(DataError, match=r"1 annotated queries have no prediction .*two.*--lenient"):
        evaluate([answered], [RIGHT, LONG])
    with pytest.raises(DataError, match=r"length group 'middle' .* has no annotated window"):
        evaluate([answered], [RIGHT])
    with pytest.raises(DataError, match="query 1: has no predicted or no annotated window"):
        recall_of([Prediction(1, windows())], [RIGHT])
    with pytest.raises(DataError, match="query 1: has no predicted saliency"):
        highlights_of([answered], [RIGHT])


def test_not_strict_counts_what_is_missing_as_wrong_and_says_so() -> None:
    given = [Prediction(1, windows((0, 8, 1))), Prediction(77, windows((0, 8, 1))), Prediction(3, windows())]
    empty = Truth(5, windows(), 150.0)
    asked = [RIGHT, LONG, empty, Truth(3, windows((1, 5)), 150.0)]
    found = evaluate(given, asked, strict=False)
    assert found.moments is not None
    full, short, middle = (found.moments[name] for name in ("full", "short", "middle"))
    assert full is not None
    assert short is not None
    assert middle is not None
    assert (full.num_queries, short.num_queries) == (3, 2)
    assert [full.precision[0], full.recall[0]] == pytest.approx([1 / 3, 1 / 3])
    assert (short.recall[0], middle.recall[0]) == (0.5, 0.0)
    assert found.left_out.notes() == [
        "3 annotated queries were not answered",
        "1 annotated queries have no window and are left out of the moments",
        "1 predictions are of queries that are not annotated and are ignored",
    ]
    nobody = evaluate([], [RIGHT], strict=False)
    assert nobody.to_dict() == {"brief": {}}
    alone = evaluate(given[:1], [RIGHT], strict=False).to_dict()
    assert alone["brief"]["MR-long-mAP"] is None
    assert alone["long"]["MR-R1"]["0.5"] is None


def test_not_strict_two_windows_of_no_length_do_not_match() -> None:
    given, asked = [Prediction(1, windows((5, 5, 1)))], [Truth(1, windows((5, 5)), 150.0)]
    assert precision_of(given, asked)[0] == 1
    assert precision_of(given, asked, strict=False)[0] == 0


def test_ten_windows_a_line_count_and_two_lines_are_one() -> None:
    many = windows(*((start, start + 1, 0.5) for start in range(50, 60)), (0, 8, 0.9))
    assert precision_of([Prediction(1, many)], [RIGHT])[0] == 0
    assert precision_of([Prediction(1, many)], [RIGHT], most=None)[0] == 1
    assert precision_of([Prediction(1, many), Prediction(1, windows((0, 8, 0.9)))], [RIGHT])[0] == 1
    assert recall_of([Prediction(1, windows((0, 8, 0.9))), Prediction(1, many)], [RIGHT])[0] == 0


def test_percent_is_rounded_as_it_is_printed() -> None:
    assert percent(0.125125) == float("12.51")
    assert percent(1 / 3) == 33.33


def test_highlights_by_hand() -> None:
    """Four clips; the highest score is clip 1, very good to one annotator; the fifth score is beyond the end."""
    truth = Truth(1, windows(), 8.9, np.array([1.0, 3]), np.array([[4.0, 2, 2], [2, 2, 0]]))
    given = Prediction(1, None, np.array([0.2, 0.9, 0.1, 0.3, 0.5]))
    found = highlights_of([given], [truth])
    assert found["VeryGood"].mean_precision == pytest.approx((1 + 0 + 0) / 3)
    assert found["Fair"].mean_precision == pytest.approx((1 + 1 + 1) / 3)
    assert [found[level].hit for level in ("Fair", "Good", "VeryGood")] == [1, 1, 1]
    beyond = highlights_of([given._replace(saliency=np.array([0.2, 0.9, 0.1, 0.3, 5]))], [truth])
    assert (beyond["Fair"].hit, beyond["Fair"].mean_precision) == (0, found["Fair"].mean_precision)
    short = highlights_of([given._replace(saliency=np.array([-1.0]))], [truth])  # what is missing is 0, three of a tie
    assert short["Fair"].mean_precision == pytest.approx((2 / 3 + 2 / 3 + 1 / 3) / 3)
    not_rated = evaluate([given], [truth._replace(clips=None)], strict=False)
    assert not_rated.left_out.without_ratings == 1
    assert not_rated.to_dict()["HL-min-Fair"] == {"HL-mAP": None, "HL-Hit1": None}


def slow_tied(scores: list[float], positive: list[bool]) -> float:
    if not any(positive):
        return 0.0
    steps = sorted(set(scores), reverse=True)
    hits = [sum(p for s, p in zip(scores, positive, strict=True) if s >= step) for step in steps]
    precision = [hit / sum(s >= step for s in scores) for hit, step in zip(hits, steps, strict=True)]
    rising = [max(precision[at:]) for at in range(len(steps)) if hits[at] > (hits[at - 1] if at else 0)]
    return sum(rising) / len(rising)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**31))
def test_tied_precision_equals_the_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    number = rng.integers(1, 9, 4)
    inside = np.arange(8) < number[:, None]
    scores, positive = rng.integers(-2, 3, (4, 8)).astype(float), rng.random((4, 3, 8)) < rng.random()
    found = tied_precision(scores, positive, inside)
    for row, length in enumerate(number):
        for who in range(3):
            want = slow_tied(scores[row, :length].tolist(), positive[row, who, :length].tolist())
            assert found[row, who] == pytest.approx(want, abs=1e-12)
