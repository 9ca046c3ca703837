"""What docs/scale.md shows is what its command prints, and the queue behind it is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.scale_sim import Machine, Rates, lengths, makespan, markdown, table, totals, work

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"


def test_the_tables_of_the_page_are_what_the_command_prints() -> None:
    shown = PAGE.read_text(encoding="utf-8")
    for rows in (totals(Rates(), Machine()), table(Rates(), Machine())):
        assert markdown(rows) in shown, "python -m benchmarks.scale_sim --table"


def test_a_queue_by_hand() -> None:
    """A: 3, then 4. B: 1, 1, 1, then 2."""
    assert makespan([3, 1, 1, 1, 4, 2], 2) == 7
    assert makespan([5, 1, 1], 3) == 5
    assert makespan([1, 1, 10], 2) == 11, "the long one comes last"
    assert makespan([10, 1, 1], 2) == 10


def test_lengths_are_as_they_were_measured() -> None:
    """The mean of the 14,926 videos of ActivityNet Captions is 117.6 s, their median 114.7 s."""
    drawn = lengths(10_000)
    assert drawn.sum() / 3600 == pytest.approx(10_000, rel=0.01)
    assert drawn.mean() == pytest.approx(117.6, rel=0.01)
    assert np.median(drawn) == pytest.approx(114.7, rel=0.01)
    assert (lengths(10) == lengths(10)).all(), "drawn the same every time"


def test_work_is_what_decoding_and_encoding_take() -> None:
    rates = Rates(decode=10, encode_s=0.2, file_s=1)
    np.testing.assert_allclose(work(np.array([10.0, 100.0]), rates), [1 + 1 + 2, 1 + 10 + 20])
