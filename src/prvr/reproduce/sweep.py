"""One recipe under many settings: each point of a grid is a run, in a folder whose name says which."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

from prvr.core.config import fingerprint
from prvr.core.errors import ConfigError
from prvr.data.folder import DataFolder
from prvr.methods.recipe import Recipe
from prvr.reproduce.base import one_run, stamp_of
from prvr.reproduce.sheet import Cell, Line, Sheet, cells
from prvr.reproduce.tables import RECALLS
from prvr.runs.many import Place, RunTask, run_all
from prvr.runs.train import Splits, check, note, summary, train_run
from prvr.training.checkpoint import read_notes
from prvr.training.loop import TrainProgress
from prvr.training.run_folder import LAST, Standing

LONGEST = 100  # letters of a folder's name


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """What is to be trained, and how."""

    recipe: Recipe
    data: DataFolder
    out: Path  # a folder a run, and the table
    grid: tuple[str, ...]  # `optim.lr=1e-4,3e-4`
    clean: bool = False
    device: str = "auto"
    trackers: tuple[str, ...] = ()
    title: str  # how tables call the runs, before their settings
    training: Callable[[str], AbstractContextManager[Callable[[TrainProgress], None]]]


class Swept(NamedTuple):
    """What came of it."""

    sheet: Sheet
    best: Path | None  # the folder of the run that is best on validation
    failed: Mapping[Path, str]


def points(grid: Sequence[str]) -> list[tuple[str, ...]]:
    """`["optim.lr=1e-4,3e-4", "batch_videos=8,16"]` -> each choice of a value for every name, as `--set` takes them.

    Values that have commas themselves stand between semicolons. Raises ConfigError for a name without values.
    """
    axes: dict[str, list[str]] = {}
    for text in grid:
        name, _, values = (part.strip() for part in text.partition("="))
        found = [value.strip() for value in values.split(";" if ";" in values else ",")]
        if not name or not all(found):
            raise ConfigError(f"--grid {text}: expected NAME=VALUE,VALUE,…, such as optim.lr=1e-4,3e-4")
        if name in axes:
            raise ConfigError(f"--grid {text}: {name} has values already; name all of them in one --grid")
        axes[name] = [f"{name}={value}" for value in found]
    return list(product(*axes.values()))


def sweep(plan: SweepPlan, place: Place, *, say: Callable[[str], None]) -> Swept:
    """Each point trained in a place, unless it is already; one that cannot be is a line that says why.

    Raises ConfigError for settings that do not exist or make no sense, and for two points that are one run.
    """
    rows = {", ".join(point): plan.recipe.with_settings(point) for point in points(plan.grid)}
    for titles in one_run(rows):
        raise ConfigError(f"--grid: {' and '.join(titles)} are one and the same run; leave one of them out")
    for recipe in rows.values():
        check(recipe, plan.data)
    tasks = {title: _task(plan, title, recipe) for title, recipe in rows.items()}
    failed = run_all(tasks.values(), place, say=say)
    stood = {
        title: Standing(**read_notes(task.folder / LAST)["standing"])
        for title, task in tasks.items()
        if task.folder not in failed
    }
    best = max(stood, key=lambda title: stood[title].best, default=None)
    columns = tuple(dict.fromkeys((*RECALLS, plan.recipe.settings.train.primary)))
    chosen = Splits(plan.recipe, plan.data, clean=plan.clean).selected_on
    notes = [f"Each run's best epoch on {chosen}, which chose it: numbers to choose settings by, not to report."]
    notes += [f"Best: {best}, in {tasks[best].folder}."] if best else []
    sheet = Sheet(
        name="grid",
        caption=f"{plan.title}: {' × '.join(plan.grid)}",
        columns=(*columns, "epoch"),
        digits=(*(1,) * len(columns), 0),
        lines=tuple(Line(title, _cells(stood.get(title), columns)) for title in rows),
        notes=(*notes, *(f"Failed: {why}" for why in failed.values())),
        stamps=tuple(filter(None, [stamp_of(plan.data)])),
    )
    return Swept(sheet, tasks[best].folder if best else None, failed)


def _cells(standing: Standing | None, columns: Sequence[str]) -> tuple[Cell, ...]:
    found = [standing] if standing else []
    epoch = Cell(tuple(float(one.best_epoch) for one in found))
    return (*cells(columns, [one.metrics for one in found], {}), epoch)


def _task(plan: SweepPlan, title: str, recipe: Recipe) -> RunTask:
    name = _file_name(title)
    folder = plan.out / name
    return RunTask(
        name=title,
        folder=folder,
        log=plan.out / "logs" / f"{name}.log",
        do=partial(_train, plan, title, recipe, folder),
    )


def _train(plan: SweepPlan, title: str, recipe: Recipe, folder: Path) -> str:
    """What a task does, wherever that is."""
    note(folder, name=f"{plan.title}, {title}", notes=None)
    with plan.training(title) as on_progress:
        result = train_run(
            recipe,
            plan.data,
            folder,
            clean=plan.clean,
            device=plan.device,
            trackers=plan.trackers,
            on_progress=on_progress,
        )
    return summary(title, result, folder) if result.new_epochs else ""


def _file_name(title: str) -> str:
    """`optim.lr=1e-4, batch_videos=8` -> the same as a folder's name, legal and not too long."""
    plain = title.replace(", ", ",")
    legal = re.sub(r"[^\w.=,+-]+", "_", plain)
    short = legal == plain and len(legal) <= LONGEST
    return legal if short else f"{legal[:LONGEST]}-{fingerprint(title, length=8)}"
