"""A table or figure whose runs are made first, wherever that is, and then read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TypeVar

from prvr.data.folder import DataFolder
from prvr.evaluation.measured import Measured
from prvr.methods.recipe import Recipe
from prvr.ranker.ranker import Ranker
from prvr.reproduce.lab import Lab
from prvr.runs.many import Place, RunTask, run_all

T = TypeVar("T")


class NotYetError(Exception):
    """A run is needed that is still to be made."""


@dataclass(frozen=True, kw_only=True)
class Rehearsal(Lab):
    """The lab as it is before the runs: those that somebody asks for and that are not there are noted, none is made."""

    missing: dict[Path, RunTask] = field(default_factory=dict)  # by folder

    def measured(self, recipe: Recipe, data: DataFolder) -> list[Measured]:
        """Those that are there, if that is all of them; else none."""
        return [] if self._note(recipe, data) else super().measured(recipe, data)

    def run(self, recipe: Recipe, data: DataFolder) -> Ranker:
        """The run, if it is there. Raises NotYetError if it is not."""
        if recipe.objective is not None and not self._is_whole(recipe, data) and self._note(recipe, data):
            raise NotYetError
        return super().run(recipe, data)

    def _note(self, recipe: Recipe, data: DataFolder) -> bool:
        found = {task.folder: task for task in self.tasks(recipe, data)}
        self.missing.update(found)
        return bool(found)


def placed(lab: Lab, place: Place, make: Callable[[Lab], T]) -> tuple[T, Lab]:
    """What `make` makes of the lab, after all runs that it asks for were made in a place.

    A run that fails is left out, and the others go on; -> also the lab, which knows those (`Lab.failed`).
    """
    tried: set[Path] = set()
    while True:
        rehearsal = Rehearsal(**{one.name: getattr(lab, one.name) for one in fields(lab)})
        with contextlib.suppress(NotYetError):
            made = make(rehearsal)
            if not rehearsal.missing:
                return made, lab
        new = [task for folder, task in rehearsal.missing.items() if folder not in tried]
        if not new:
            return make(lab), lab
        tried.update(task.folder for task in new)
        lab = replace(lab, failed={**lab.failed, **run_all(new, place, say=lab.say)})
