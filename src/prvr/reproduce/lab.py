"""Recipes trained and measured, each once: what was finished before is read, what was interrupted goes on."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path

from prvr.core.config import fingerprint, to_dict
from prvr.core.errors import CheckpointError, DataError
from prvr.core.files import write_whole
from prvr.data.folder import DataFolder
from prvr.evaluation.measured import Measured
from prvr.evaluation.report import Report
from prvr.methods.recipe import Recipe
from prvr.ranker.ranker import Ranker, open_run
from prvr.runs.many import RunTask
from prvr.runs.measure import evaluate_run, untrained
from prvr.runs.train import check, summary, train_run
from prvr.training.checkpoint import read_notes
from prvr.training.loop import TrainProgress
from prvr.training.run_folder import LAST, Standing, has_best


@dataclass(frozen=True, kw_only=True)
class Lab:
    """How runs are made, and where they are kept."""

    root: Path  # runs and reports lie below it
    data: Mapping[str, DataFolder]  # by the benchmark's name, or `own`
    seeds: int = 1  # runs a row, from the recipe's own seed upwards
    settings: tuple[str, ...] = ()  # `--set` for every recipe that is trained
    clean: bool = False  # choose the epoch on a held-out part of train
    device: str = "auto"
    teachers: Mapping[str, Path] = field(default_factory=dict)  # text packs by the names of Table 3c
    others: Path = Path("compared")  # where `prvr compare` keeps the runs of other systems
    failed: Mapping[Path, str] = field(default_factory=dict)  # why runs could not be made, by their folders
    say: Callable[[str], None]
    training: Callable[[str], AbstractContextManager[Callable[[TrainProgress], None]]]

    def folder(self, benchmark: str) -> DataFolder | None:
        """The data of a benchmark, or None where the user has not got them."""
        return self.data.get(benchmark)

    def only(self) -> tuple[str, DataFolder]:
        """The data for a table that needs no benchmark by name: the first that was given."""
        return next(iter(self.data.items()))

    def recipes(self, recipe: Recipe) -> list[Recipe]:
        """The recipe with the user's settings, one a seed."""
        if recipe.objective is None:
            return [recipe]
        changed = recipe.with_settings(self.settings)
        first = changed.settings.train.seed
        return [changed.with_settings([f"train.seed={first + i}"]) for i in range(self.seeds)]

    def run(self, recipe: Recipe, data: DataFolder) -> Ranker:
        """One recipe, trained unless it is already."""
        if recipe.objective is None:
            return untrained(recipe, data.spec)
        folder = self.place(recipe, data)
        if folder in self.failed:
            raise CheckpointError(self.failed[folder])
        with self.training(_shown(recipe)) as on_progress:
            result = train_run(recipe, data, folder, clean=self.clean, device=self.device, on_progress=on_progress)
        if result.new_epochs:
            self.say(summary(_shown(recipe), result, folder))
        return open_run(folder, method=recipe.method)

    def measured(self, recipe: Recipe, data: DataFolder) -> list[Measured]:
        """One recipe measured on the reported split, once a seed; without those whose run could not be made."""
        return [self._measured(one, data) for one in self.recipes(recipe) if self.place(one, data) not in self.failed]

    def reports(self, recipe: Recipe, data: DataFolder) -> list[Report]:
        """The same without the ranks of single queries."""
        return [one.report for one in self.measured(recipe, data)]

    def compared(self) -> Lab:
        """The lab of `prvr compare`, whose recipes have the user's settings already."""
        return replace(self, root=self.others, settings=())

    def finished(self, recipe: Recipe, data: DataFolder) -> list[Report]:
        """The same where every seed's run is whole; nothing is trained, and none where one is missing."""
        if not all(self._is_whole(one, data) for one in self.recipes(recipe)):
            return []
        return self.reports(recipe, data)

    def epoch_seconds(self, recipe: Recipe, data: DataFolder) -> list[float]:
        """Training time of every epoch of the runs that exist."""
        found = []
        for one in self.recipes(recipe):
            log = self.place(one, data) / "metrics.jsonl"
            rows = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
            found += [float(json.loads(row)["train_s"]) for row in rows]
        return found

    def place(self, recipe: Recipe, data: DataFolder) -> Path:
        """The folder of one recipe's run."""
        return self.root / "runs" / _name(recipe, data, clean=self.clean)

    def tasks(self, recipe: Recipe, data: DataFolder) -> Iterator[RunTask]:
        """What is left to do before one recipe is measured: a task a seed that is not there yet and has not failed.

        Raises ConfigError for a recipe that has nothing to train or does not fit the features.
        """
        for one in self.recipes(recipe):
            folder = self.place(one, data)
            if folder in self.failed or self._is_measured(one, data):
                continue
            if one.objective:
                check(one, data)
            yield RunTask(
                name=_shown(one),
                folder=folder,
                log=self.root / "logs" / f"{folder.name}.log",
                do=partial(_measure, self._in_a_task(), one, data),
            )

    def kept(
        self, what: str, recipe: Recipe, data: DataFolder, make: Callable[[Ranker], Mapping[str, float]]
    ) -> Mapping[str, float]:
        """Numbers of one trained recipe, made once and then read; `what` names the folder that they lie in.

        Raises DataError for a file that is damaged or cannot be written.
        """
        trained = self.run(recipe, data)
        made_of = fingerprint([trained.fingerprint, data.source.content], length=8)
        path = self.root / what / f"{_name(recipe, data, clean=self.clean)}-{made_of}.json"
        if path.exists():
            try:
                return {str(name): float(value) for name, value in json.loads(path.read_bytes()).items()}
            except (ValueError, TypeError, AttributeError) as error:
                raise DataError(f"{path}: is damaged ({error}); delete it, and it is made again") from error
        made = make(trained)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(made, indent=1).encode())
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error
        return made

    def _is_whole(self, recipe: Recipe, data: DataFolder) -> bool:
        if recipe.objective is None:
            return data.spec.comparable
        folder, train = self.place(recipe, data), recipe.settings.train
        if not (folder / LAST).exists():
            return False
        standing = Standing(**read_notes(folder / LAST)["standing"])
        return standing.finished(epochs=train.epochs, patience=train.patience) and has_best(folder, standing)

    def _is_measured(self, recipe: Recipe, data: DataFolder) -> bool:
        if recipe.objective is None:
            trained = untrained(recipe, data.spec)
        elif self._is_whole(recipe, data):
            trained = open_run(self.place(recipe, data), method=recipe.method)
        else:
            return False
        return self._report(trained, recipe, data).exists()

    def _in_a_task(self) -> Lab:
        """The lab as another process needs it, which is told its data with the recipe."""
        kept = {one.name: getattr(self, one.name) for one in fields(Lab)}
        return Lab(**{**kept, "data": {}, "failed": {}})

    def _measured(self, recipe: Recipe, data: DataFolder) -> Measured:
        trained = self.run(recipe, data)
        path = self._report(trained, recipe, data)
        if path.exists():
            return Measured.load(path)
        made = evaluate_run(trained, data, data.reported, device=self.device)
        made.save(path)
        return made

    def _report(self, trained: Ranker, recipe: Recipe, data: DataFolder) -> Path:
        """Where the report of a run is kept, or will be."""
        split = data.reported
        queries = [[query.query_id, query.text] for query in data.queries(split)]
        made_of = fingerprint([trained.fingerprint, data.source.content, queries], length=8)
        return self.root / "reports" / f"{_name(recipe, data, clean=self.clean)}-{split}-{made_of}.json"


def _measure(lab: Lab, recipe: Recipe, data: DataFolder) -> str:
    """What a task of the lab does, wherever that is; -> what was trained for it."""
    lines: list[str] = []
    replace(lab, say=lines.append)._measured(recipe, data)
    return "\n".join(lines)


def _shown(recipe: Recipe) -> str:
    """One run for people."""
    return f"{recipe.title}, seed {recipe.settings.train.seed}" if recipe.objective else recipe.title


def benchmark_of(data: DataFolder) -> str:
    """The name of the benchmark that a folder holds; `own` for any other."""
    found = data.annotations.benchmark
    return found.name if found else "own"


def by_benchmark(folders: Sequence[DataFolder]) -> dict[str, DataFolder]:
    """Folders by the benchmark that they hold. Raises DataError where two hold the same."""
    named: dict[str, DataFolder] = {}
    for folder in folders:
        name = benchmark_of(folder)
        if name in named:
            raise DataError(f"{folder.root}: holds {name!r}, as does {named[name].root}; give one folder a benchmark")
        named[name] = folder
    return named


def _name(recipe: Recipe, data: DataFolder, *, clean: bool) -> str:
    """Legal, readable, and another for every other run; the length of a run is none of its identity."""
    features = {k: v for k, v in to_dict(data.spec).items() if k not in data.spec.REMARKS}
    features["revision"] = data.content
    identity = fingerprint([recipe.target, recipe.identity, features, str(data.teacher), clean], length=8)
    plain = unicodedata.normalize("NFKD", recipe.title.lower()).encode("ascii", "ignore").decode()
    title = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    seed = f"-seed{recipe.settings.train.seed}" if recipe.objective else ""
    return f"{benchmark_of(data)}-{title}{seed}-{identity}"
