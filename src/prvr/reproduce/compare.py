"""Every system under one protocol: the same features, splits, seeds, early stopping and evaluator; one table of recalls
beside the published ones, one of costs, and what a point of SumR is bought with.
"""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import torch

from prvr.core.errors import ConfigError, PrvrError
from prvr.core.types import QueryAtVideo
from prvr.data.folder import DataFolder
from prvr.encoders.devices import pick_device
from prvr.evaluation.report import Report
from prvr.methods.recipe import Recipe
from prvr.ranker.ranker import Ranker
from prvr.reproduce import published
from prvr.reproduce.base import NAMES, one_run, stamp_of
from prvr.reproduce.efficiency import library, multiply_adds, parameters, query_costs, stored_bytes
from prvr.reproduce.figures import panels, save
from prvr.reproduce.lab import Lab
from prvr.reproduce.sheet import Cell, Line, Sheet
from prvr.reproduce.systems import DEFAULT, SMALL, System, has, recipe_for
from prvr.reproduce.tables import RECALLS, device_name, notes_of, recall_cells
from prvr.runs.many import Place, RunTask, here, run_all
from prvr.runs.measure import load_split

MOST_VIDEOS = 474
"""Videos of the library that a query is timed against, at most: those of QVHighlights, as in the paper's Table 6."""

_QUERIES = 20
COSTS = (
    *("parameters, M", "FLOPs, G", "time/epoch, s", "query, ms", "bytes/video", "index", "R1@0.5"),
    *("text diff.", "video diff.", "ρ, %"),
)
_DIGITS = (2, 2, 2, 2, 0, 0, 1, 3, 3, 1)


@dataclass(frozen=True, kw_only=True)
class ComparePlan:
    """What is to be compared."""

    systems: tuple[System, ...]
    budget: int | None = None  # epochs; None: what each system was published with
    settings: tuple[str, ...] = ()  # `--set`, each for the systems that have it


class Outcome(NamedTuple):
    """What came of one system."""

    system: System
    reports: tuple[Report, ...] = ()  # one a seed
    costs: Mapping[str, float] = MappingProxyType({})  # of the first seed, by the names of `COSTS`; "index" is 1 or 0
    error: str = ""  # why there is nothing

    @property
    def sum_r(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(report.fused.sum_r for report in self.reports)


class ComparedTables(NamedTuple):
    """The two tables, and what they were made of."""

    recalls: Sheet
    costs: Sheet
    outcomes: tuple[Outcome, ...]


def compare(lab: Lab, plan: ComparePlan, place: Place = here) -> ComparedTables:
    """Each system trained or read in a place, measured and timed here; one that cannot is a line that says why.

    Raises ConfigError for a setting that no system has, and for two systems that are one run.
    """
    benchmark, data = lab.only()
    _check_settings(plan, benchmark, data)
    _check_systems(plan, benchmark, data)
    lab = replace(lab, failed=run_all(_tasks(lab, plan, benchmark, data), place, say=lab.say))
    outcomes = []
    for system in plan.systems:
        try:
            recipe = recipe_for(system, benchmark, data, budget=plan.budget, settings=plan.settings)
            outcomes.append(_outcome(lab, system, recipe, data))
        except PrvrError as error:
            lab.say(f"{system.shown}: {error}")
            outcomes.append(Outcome(system, error=str(error)))
    name = f"compare-{benchmark}"
    of_data, stamps = notes_of(lab, benchmark, data), tuple(filter(None, [stamp_of(data)]))
    return ComparedTables(
        recalls=Sheet(
            name=name,
            caption=f"Systems on {NAMES.get(benchmark, 'own data')}: retrieval",
            columns=RECALLS,
            digits=1,
            lines=tuple(_recall_line(outcome, benchmark) for outcome in outcomes),
            notes=(*of_data, *_notes(plan, benchmark, outcomes)),
            stamps=stamps,
        ),
        costs=Sheet(
            name=f"{name}-costs",
            caption=f"Systems on {NAMES.get(benchmark, 'own data')}: what they cost, moments, collapse",
            columns=COSTS,
            digits=_DIGITS,
            lines=tuple(_cost_line(outcome, benchmark) for outcome in outcomes),
            notes=(*_cost_notes(lab, outcomes), *of_data),
            stamps=stamps,
        ),
        outcomes=tuple(outcomes),
    )


def draw(comparison: ComparedTables, path: Path) -> None:
    """SumR against the time of a query and against the bytes of a video.

    Raises PrvrError without matplotlib, or where no system could be measured.
    """
    shown = [outcome for outcome in comparison.outcomes if outcome.reports]
    if not shown:
        raise PrvrError(f"{path}: no system could be measured, so there is nothing to draw")
    figure, axes = panels(1, 2, comparison.recalls.caption, stamp="; ".join(comparison.recalls.stamps))
    figure.set_size_inches(11, 4.5)
    for axis, column, label in zip(
        axes[0], ("query, ms", "bytes/video"), ("one query, ms", "stored bytes a video (fp16)"), strict=True
    ):
        _scatter(axis, shown, column)
        axis.set_xscale("log")
        axis.set_xlabel(label, fontsize=8)
        axis.set_ylabel("SumR", fontsize=8)
        axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize=7)
    save(figure, path)


def _scatter(axis: Any, outcomes: Sequence[Outcome], column: str) -> None:
    for served, marker, label in ((1, "o", "an index can serve it"), (0, "x", "needs the query at the video")):
        found = [one for one in outcomes if one.costs["index"] == served]
        axis.scatter([one.costs[column] for one in found], [one.sum_r for one in found], marker=marker, label=label)
    for one in outcomes:
        axis.annotate(
            one.system.shown, (one.costs[column], one.sum_r), fontsize=6, xytext=(4, 3), textcoords="offset points"
        )


def _tasks(lab: Lab, plan: ComparePlan, benchmark: str, data: DataFolder) -> Iterator[RunTask]:
    """What has to be done before the systems can be told of."""
    for system in plan.systems:
        with contextlib.suppress(PrvrError):  # said again when its turn comes
            recipe = recipe_for(system, benchmark, data, budget=plan.budget, settings=plan.settings)
            yield from lab.tasks(recipe, data)


def _outcome(lab: Lab, system: System, recipe: Recipe, data: DataFolder) -> Outcome:
    failed = [lab.failed[folder] for one in lab.recipes(recipe) if (folder := lab.place(one, data)) in lab.failed]
    if failed:
        return Outcome(system, error="; ".join(failed))
    device, reports = pick_device(lab.device).name, lab.reports(recipe, data)
    first = lab.recipes(recipe)[0]

    def costs(trained: Ranker) -> dict[str, float]:
        return _costs(trained, data, device)

    found = dict(lab.kept(f"costs-{device}", first, data, costs))
    epochs = lab.epoch_seconds(recipe, data)
    return Outcome(system, tuple(reports), found | ({"time/epoch, s": statistics.fmean(epochs)} if epochs else {}))


@torch.no_grad()
def _costs(trained: Ranker, data: DataFolder, device: str) -> dict[str, float]:
    """What is measured here and once; the time of an epoch lies in the runs' logs."""
    model, items = trained.model, load_split(trained.prepared, data, data.reported)
    queries = items.queries.batch(torch.arange(min(_QUERIES, len(items.queries))))
    counted = multiply_adds(model, items.videos, queries)
    tokens = library(model, items, device=device, most=MOST_VIDEOS)
    query = query_costs(model, queries, tokens, [len(tokens.frames)], device=device)[0]
    return {
        "parameters, M": parameters(cast(torch.nn.Module, model)) / 1e6,
        "FLOPs, G": counted / 1e9,
        "query, ms": query.time_ms,
        "videos": query.num_videos,
        "bytes/video": stored_bytes(model, tokens),
        "index": float(not isinstance(model, QueryAtVideo)),
    }


def _recall_line(outcome: Outcome, benchmark: str) -> Line:
    printed = published.TABLE4 if benchmark == "qvhighlights" else published.TABLE5.get(benchmark, {})
    return Line(outcome.system.shown, recall_cells(outcome.reports, printed.get(outcome.system.title)))


def _cost_line(outcome: Outcome, benchmark: str) -> Line:
    measured: dict[str, Sequence[float]] = {name: (value,) for name, value in outcome.costs.items() if name != "index"}
    reports = outcome.reports
    measured |= {
        "R1@0.5": [one.moments.r1_50 for one in reports if one.moments],
        "text diff.": [one.text.difference for one in reports if one.text],
        "video diff.": [one.video.difference for one in reports if one.video],
        "ρ, %": [100 * one.correlation_encoder for one in reports if one.correlation_encoder is not None],
    }
    printed = _printed(outcome.system.title) if benchmark == "qvhighlights" else {}
    word = {1.0: "yes", 0.0: "re-rank"}.get(outcome.costs.get("index", math.nan), "")
    row = [
        Cell(word=word) if name == "index" else Cell(tuple(measured.get(name, ())), printed.get(name)) for name in COSTS
    ]
    return Line(outcome.system.shown, tuple(row))


def _printed(title: str) -> dict[str, float]:
    """The paper's costs of a system on QVHighlights (one RTX A6000), as far as they are legible."""
    found: dict[str, float | None] = {"ρ, %": published.TABLE9.get(title)}
    if title in published.TABLE6:
        found["query, ms"] = published.TABLE6[title].time_ms[-1]
    if title in published.TABLE7:
        row = published.TABLE7[title]
        found |= {"parameters, M": row.parameters_m, "FLOPs, G": row.flops_g}
        found["time/epoch, s"] = row.epoch_ms and row.epoch_ms / 1000
    if title in published.TABLE8_TEXT:
        found["text diff."] = published.TABLE8_TEXT[title].difference
    return {name: value for name, value in found.items() if value is not None}


def _notes(plan: ComparePlan, benchmark: str, outcomes: Sequence[Outcome]) -> list[str]:
    """How the systems were set, which are not what their authors ran, and which failed."""
    notes = []
    if benchmark in NAMES:
        notes.append(
            "Every system with its published settings, as wide as the features; seeds and early stopping are MSC's."
        )
    else:
        small = ", ".join(f"{name}={value}" for name, value in SMALL.items())
        notes.append(
            "No settings were published for these data: the generated world's where a system has them, else those of "
            f"{NAMES[DEFAULT]}, all with {small}; seeds and early stopping are MSC's."
        )
    if plan.budget:
        notes.append(f"Budget {plan.budget} epochs: schedules and what begins at some epoch are scaled in proportion.")
    if plan.settings:
        notes.append(f"Changed by --set {' '.join(plan.settings)} where a system has the setting.")
    if any(outcome.system.reconstructed for outcome in outcomes):
        notes.append("[R]: parts were never published and are our reconstruction; no number here is its authors'.")
    return [*notes, *(f"{one.system.shown} failed: {one.error}" for one in outcomes if one.error)]


def _cost_notes(lab: Lab, outcomes: Sequence[Outcome]) -> list[str]:
    sizes = sorted({int(one.costs["videos"]) for one in outcomes if one.costs})
    return [
        f"On {device_name(pick_device(lab.device).name)}. FLOPs: multiply-accumulates of one video's way through the "
        f"network. Query: median from word features to the scores of {' or '.join(map(str, sizes)) or 'no'} videos. "
        "Bytes: tokens that ranking reads, as 16-bit numbers. Index: whether a bank of vectors serves it, or it can "
        "only re-rank. R1@0.5: the best moment in the right video. Diff.: (intra - total) / (intra + total) of queries "
        "and of frame tokens, exact. ρ: rank correlation with the encoder over pairs of queries."
    ]


def _check_systems(plan: ComparePlan, benchmark: str, data: DataFolder) -> None:
    """Raises ConfigError for two rows that are one and the same run: they would compare nothing."""
    recipes: dict[str, Recipe] = {}
    for system in plan.systems:
        with contextlib.suppress(PrvrError):  # said again when its turn comes
            recipes[system.name] = recipe_for(system, benchmark, data, budget=plan.budget, settings=plan.settings)
    for names in one_run(recipes):
        raise ConfigError(f"--systems: {' and '.join(names)} are one and the same run; leave one of them out")


def _check_settings(plan: ComparePlan, benchmark: str, data: DataFolder) -> None:
    """Raises ConfigError for a setting that no system has."""
    trained: list[Recipe] = []
    for system in plan.systems if plan.settings else ():
        with contextlib.suppress(PrvrError):  # said again when its turn comes
            recipe = recipe_for(system, benchmark, data)
            trained += [recipe] if recipe.objective else []
    for text in plan.settings:
        if any(has(recipe, text) for recipe in trained):
            continue
        for recipe in trained:
            recipe.with_settings([text])  # says what exists
        raise ConfigError(f"--set {text}: no system of the comparison has this setting")
