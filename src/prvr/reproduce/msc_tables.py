"""The rows of the paper's tables as recipes: title -> what to train.

Each function takes the recipe of a benchmark, the full method as `prvr.methods.msc.runs` (or a private module) makes
it, and changes only what the row is about. Titles are those of the published numbers in `prvr.reproduce.published`. The
paper has Tables 1 to 3 on QVHighlights, Table A1 on the three others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from prvr.methods.msc.loss import MSCSettings
from prvr.methods.msc.merging import merge_steps
from prvr.methods.msc.runs import without_tcpl
from prvr.methods.recipe import Recipe

TEACHERS = ("CLIP-B", "CLIP-L", "OpenCLIP-B", "OpenCLIP-L")


def table1(base: Recipe) -> dict[str, Recipe]:
    """The parts of the method, one added in each row.

    (a) is the same network and the retrieval loss alone, on uniform clips; naïve CBVA aligns each of those clips;
    OP-ToMe makes the clips by order-preserving merging; adaptive CBVA lets alike clips be one segment.
    """
    full: MSCSettings = base.settings
    merged = replace(full, prepare=replace(full.prepare, levels=full.prepare.levels[:1]))
    naive = replace(merged, prepare=replace(merged.prepare, clips="uniform"))
    tcpl = replace(naive, loss=replace(naive.loss, cbva=0.0))
    baseline = replace(tcpl, loss=without_tcpl(tcpl.loss))
    rows = {
        "baseline": baseline,
        "+ TCPL": tcpl,
        "+ naïve CBVA": naive,
        "+ OP-ToMe": merged,
        "+ adaptive CBVA": full,
    }
    return _titled(base, rows)


def table2(base: Recipe) -> dict[str, Recipe]:
    """Relations of video tokens in place of CBVA, on top of row (b) of Table 1; and the full method.

    `retrieved` relates, in both branches, the token that each query retrieves in its own video; `uniform` relates four
    evenly spread tokens of each video. Their weights are those of TCPL, since the paper gives none.
    """
    tcpl = table1(base)["+ TCPL"]
    settings: MSCSettings = tcpl.settings
    rows = {
        "TCPL baseline": settings,
        "+ retrieved segment": replace(settings, loss=replace(settings.loss, vcpl="retrieved")),
        "+ uniform sampling": replace(settings, loss=replace(settings.loss, vcpl="spread")),
        "MSC": base.settings,
    }
    return _titled(base, rows)


def table3a(base: Recipe) -> dict[str, Recipe]:
    """λ_E : λ_A."""
    return _tcpl_weights(base, [(15, 15), (30, 15), (15, 30)])


def table3b(base: Recipe) -> dict[str, Recipe]:
    """λ_E and λ_A together, 1 : 2."""
    return _tcpl_weights(base, [(5, 10), (10, 20), (15, 30), (20, 40)])


def table3c(base: Recipe) -> dict[str, Recipe]:
    """The teacher of TCPL. The recipe is the same in all rows: the data folder is given other text features.

    The teacher is `batch.teacher.sentence`, whose width need not be that of the words.
    """
    return _titled(base, dict.fromkeys(TEACHERS, base.settings))


def table3d(base: Recipe) -> dict[str, Recipe]:
    """λ_CBVA."""
    return _sweep(base, "loss", "cbva", [0.1, 0.15, 0.2])


def table3e(base: Recipe) -> dict[str, Recipe]:
    """The share of pairs that one step of merging fuses, in percent, for clips and for segments alike (Eq. 9).

    75 is the released ladder, whose numbers differ slightly from the rule.
    """
    full: MSCSettings = base.settings
    first, last = full.prepare.levels[0], full.prepare.levels[-1]
    half = replace(
        full.prepare,
        schedule=merge_steps(full.prepare.frames, first, 50),
        levels=(first, *merge_steps(first, last, 50)),
    )
    return _titled(base, {"50": replace(full, prepare=half), "75": full})


def table3f(base: Recipe) -> dict[str, Recipe]:
    """τ, on QVHighlights."""
    return _sweep(base, "prepare", "similarity_threshold", [0.5, 0.6, 0.7, 0.8])


def table_a1(base: Recipe) -> dict[str, Recipe]:
    """τ, on the three other benchmarks."""
    return _sweep(base, "prepare", "similarity_threshold", [0.7, 0.75, 0.8, 0.85, 0.9])


def _tcpl_weights(base: Recipe, pairs: list[tuple[int, int]]) -> dict[str, Recipe]:
    full: MSCSettings = base.settings
    rows = {
        f"{distance}, {angle}": replace(
            full, loss=replace(full.loss, tcpl_distance=float(distance), tcpl_angle=float(angle))
        )
        for distance, angle in pairs
    }
    return _titled(base, rows)


def _sweep(base: Recipe, group: str, name: str, values: list[float]) -> dict[str, Recipe]:
    """A row for each value of one setting; titles as the shell would write the number."""
    full: Any = base.settings
    rows = {f"{value:g}": replace(full, **{group: replace(getattr(full, group), **{name: value})}) for value in values}
    return _titled(base, rows)


def _titled(base: Recipe, rows: dict[str, MSCSettings]) -> dict[str, Recipe]:
    return {title: replace(base, title=title, settings=settings) for title, settings in rows.items()}
