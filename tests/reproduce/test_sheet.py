from __future__ import annotations

import json
from pathlib import Path

import pytest

from prvr.core.errors import DataError
from prvr.reproduce.sheet import Cell, Line, Sheet, cells, latex, markdown, write

SHEET = Sheet(
    name="table0",
    caption="Table 0: by hand",
    columns=("R@1", "SumR"),
    digits=(1, 2),
    lines=(
        Line("A & B", (Cell((10.0, 12.0, 14.0), 11.25), Cell((), 230.6))),
        Line("ours alone", (Cell((1234.56,)), Cell((7.0,)))),
    ),
    notes=("50 % of λ_A",),
)


def test_ours_and_the_papers_side_by_side_by_hand() -> None:
    assert markdown(SHEET).splitlines() == [
        "Table 0: by hand",
        "",
        "|            |       |        R@1 |   SumR |",
        "| ---------- | ----- | ---------: | -----: |",
        "| A & B      | ours  | 12.0 ± 2.0 |    n/a |",
        "|            | paper |       11.2 | 230.60 |",
        "| ours alone | ours  |    1,234.6 |   7.00 |",
        "",
        "50 % of λ_A",
    ]


def test_latex_has_nothing_that_latex_would_stumble_over() -> None:
    lines = latex(SHEET).splitlines()
    assert r"A \& B & ours & 12.0 $\pm$ 2.0 & n/a \\" in lines
    assert r"\par\small 50 \% of $\lambda$\_A" in lines
    assert lines[2] == r"\begin{tabular}{llrr}"
    assert sum(line.startswith(r"\begin") for line in lines) == sum(line.startswith(r"\end") for line in lines)


def test_cells_leave_out_what_a_seed_or_the_paper_lacks() -> None:
    ours = [{"R@1": 1.0, "R@5": 2.0}, {"R@1": 3.0}]
    assert cells(("R@1", "R@5"), ours, {"R@5": 9.0}) == (Cell((1.0, 3.0), None), Cell((2.0,), 9.0))


def test_three_forms_are_written_and_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    paths = write(SHEET, tmp_path / "out")
    assert [path.name for path in paths] == ["table0.md", "table0.tex", "table0.json"]
    assert json.loads(paths[2].read_text())["lines"][0]["ours"] == [[10.0, 12.0, 14.0], []]
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file: cannot be written"):
        write(SHEET, tmp_path / "file")
