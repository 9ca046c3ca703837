"""The paper's tables: rows differ by what they are about, and stand beside the published numbers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from prvr.core.errors import ConfigError
from prvr.methods.msc import runs as msc
from prvr.methods.msc.loss import objective as msc_objective
from prvr.methods.recipe import Recipe
from prvr.reproduce import msc_tables as tables
from prvr.reproduce import published
from prvr.reproduce.published import Agreement, PrintedRow
from prvr.reproduce.tables import check_rows
from tests.methods.test_msc_runs import flat

Table = Callable[[Recipe], dict[str, Recipe]]


def changes(base: Recipe, row: Recipe) -> dict[str, Any]:
    before, after = flat(base.settings), flat(row.settings)
    return {name: after[name] for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("table", "numbers"),
    [
        (tables.table1, published.TABLE1),
        (tables.table2, published.TABLE2),
        (tables.table3a, published.TABLE3A),
        (tables.table3b, published.TABLE3B),
        (tables.table3c, published.TABLE3C),
        (tables.table3d, published.TABLE3D),
        (tables.table3e, published.TABLE3E),
        (tables.table3f, published.TABLE3F),
        *((tables.table_a1, numbers) for numbers in published.TABLE_A1.values()),
    ],
)
def test_rows_stand_beside_the_published_ones_and_one_is_the_full_method(
    table: Table, numbers: dict[str, PrintedRow]
) -> None:
    base = msc.charades() if table is tables.table_a1 else msc.qvhighlights()
    rows = table(base)
    assert list(rows) == list(numbers)
    assert all(row.title == title and row.target == base.target for title, row in rows.items())
    full = [title for title, row in rows.items() if not changes(base, row)]
    assert len(full) == (4 if table is tables.table3c else 1)
    if table is not tables.table_a1:
        assert numbers[full[0]].sum_r == 234.6


def test_table_1_adds_one_part_in_each_row() -> None:
    rows = list(tables.table1(msc.qvhighlights()).values())
    found = [changes(before, after) for before, after in pairwise(rows)]
    assert found == [
        {"loss.tcpl_distance": 15, "loss.tcpl_angle": 30},
        {"loss.cbva": 0.1},
        {"prepare.clips": "merged"},
        {"prepare.levels": (32, 20, 12, 8, 5)},
    ]
    base = msc_objective(rows[0].settings)
    assert set(base.terms) == {"nce_clip", "nce_frame", "triplet_clip", "triplet_frame"}


def test_rows_that_a_setting_makes_one_run_are_refused() -> None:
    rows = tables.table1(msc.qvhighlights())
    check_rows((), rows)
    check_rows((), tables.table3c(msc.qvhighlights()))  # its rows differ in their data
    one, other = list(rows)[1:3]  # with TCPL, and with CBVA besides
    with pytest.raises(
        ConfigError, match=rf"rows “\{one}” and “\{other}” are one and the same run under --set loss.cbva=0.1: "
    ):
        check_rows(("loss.cbva=0.1",), rows)


def test_the_other_tables_change_what_they_are_about() -> None:
    base = msc.qvhighlights()
    two = tables.table2(base)
    assert changes(two["TCPL baseline"], two["+ retrieved segment"]) == {"loss.vcpl": "retrieved"}
    assert changes(two["TCPL baseline"], two["+ uniform sampling"]) == {"loss.vcpl": "spread"}
    assert two["TCPL baseline"].settings == tables.table1(base)["+ TCPL"].settings
    assert changes(base, tables.table3a(base)["30, 15"]) == {"loss.tcpl_distance": 30, "loss.tcpl_angle": 15}
    assert changes(base, tables.table3d(base)["0.15"]) == {"loss.cbva": 0.15}
    assert changes(base, tables.table3e(base)["50"]) == {
        "prepare.schedule": (96, 72, 54, 40, 32),
        "prepare.levels": (32, 24, 18, 14, 10, 8, 6, 5),
    }
    assert changes(base, tables.table3f(base)["0.5"]) == {"prepare.similarity_threshold": 0.5}
    assert changes(msc.world(), tables.table1(msc.world())["+ TCPL"]).keys() >= {"loss.cbva"}


def test_published_recalls_add_up() -> None:
    tabled = [published.TABLE1, published.TABLE2, published.TABLE4, *published.TABLE5.values()]
    rows = [row for table in [*tabled, *published.TABLE_A1.values()] for row in table.values()]
    whole = [row for row in rows if row.r1 is not None]
    assert len(whole) == 4 + 4 + 6 + 25 + 15
    for row in whole:
        assert sum(value for value in row[:4] if value is not None) == pytest.approx(row.sum_r, abs=0.11)


def test_published_statistics_are_consistent() -> None:
    for table in (published.TABLE8_TEXT, published.TABLE8_VIDEO):
        for row in table.values():
            assert (row.intra - row.total) / (row.intra + row.total) == pytest.approx(row.difference, abs=2e-3)
    for agreement, r_at_k in ((published.TABLE_A2_R1, 35.1), (published.TABLE_A2_R10, 71.5)):
        assert isinstance(agreement, Agreement)
        assert sum(agreement) == 10_895
        assert 100 * (agreement.both + agreement.only_msc) / 10_895 == pytest.approx(r_at_k, abs=0.05)
    assert all(len(row.time_ms) == len(row.memory_mb) == 5 for row in published.TABLE6.values())
