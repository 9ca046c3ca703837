"""A recipe trained on the split `train`, into a folder that says what it is of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

from torch import nn

from prvr.core.config import fingerprint, to_dict
from prvr.core.errors import CheckpointError, ConfigError
from prvr.core.files import write_whole
from prvr.core.types import Batch, FeatureSpec, Query, RetrievalModel
from prvr.data.benchmarks import hold_out
from prvr.data.dataset import RetrievalSet
from prvr.data.folder import DataFolder
from prvr.encoders.devices import pick_device
from prvr.kernels.dropout import drawn
from prvr.methods.recipe import Recipe
from prvr.parts.sampling import average_positions
from prvr.ranker.ranker import ABOUT, CONFIG, FORMAT, SEAL, read_about
from prvr.runs.measure import recalls
from prvr.training.distributed import joined
from prvr.training.loop import TrainProgress, TrainResult, train

HELD_OUT = 0.1  # share of the training videos that chooses the epoch under the clean protocol


def train_run(
    recipe: Recipe,
    data: DataFolder,
    folder: Path,
    *,
    clean: bool = False,
    device: str = "auto",
    trackers: Sequence[str] = (),
    on_progress: Callable[[TrainProgress], None] | None = None,
) -> TrainResult:
    """Train a recipe on the split `train`; goes on where it was interrupted.

    The epoch is chosen on `val`, which the four benchmarks also report on (the published protocol), or, `clean`, on a
    seeded part of the training videos that is held out. Raises ConfigError for a recipe that has nothing to train or
    does not fit the features, DataError and FeatureError for data that do not fit together, CheckpointError for a
    folder that holds another run.
    """
    check(recipe, data)
    assert recipe.objective is not None
    assert recipe.optimizer is not None
    settings, where = recipe.settings, pick_device(device).name
    splits = Splits(recipe, data, clean=clean)
    model = recipe.build()
    with joined(where) as ranks, drawn(settings.train.dropout):
        # prepared before any epoch is seeded: bringing an encoder draws random numbers
        num_videos = ranks.from_first(splits.prepare)
        config = described(recipe, data.spec, selected_on=splits.selected_on, selected_by=splits.val.digest)
        ranks.from_first(partial(describe, folder, config))
        return train(
            model,
            learn=recipe.objective(settings),
            batches=partial(_epoch, splits, settings),
            optimizer=recipe.optimizer(settings, model, -(-num_videos // settings.batch_videos)),
            validate=partial(_validate, splits=splits, device=where),
            folder=folder,
            config=settings.train,
            metadata={
                "recipe": recipe.target,
                "features": " taught by ".join(x.name for x in (data.spec, data.spec.teacher) if x)
                + f" {data.content}",
                "settings": json.dumps(recipe.identity),
                "selected_on": splits.selected_on,
            },
            device=where,
            trackers=trackers,
            on_progress=on_progress,
            ranks=ranks,
        )


def summary(title: str, result: TrainResult, folder: Path) -> str:
    """What came of a run, in a line."""
    return f"{title}: {result.new_epochs} epochs, best {result.best:.1f} at epoch {result.best_epoch}, in {folder}"


def check(recipe: Recipe, data: DataFolder) -> None:
    """Raises ConfigError for a recipe that has nothing to train, or that does not fit the features."""
    recipe.fit(data.spec)
    if recipe.objective is None or recipe.optimizer is None:
        raise ConfigError(f"{recipe.target}: has nothing to train; measure it with `prvr evaluate zero-shot`")
    if recipe.trainable:
        recipe.trainable(recipe.settings, data.spec)


class Splits:
    """What training reads: the queries learned from, and those that choose the epoch; prepared when first asked for."""

    def __init__(self, recipe: Recipe, data: DataFolder, *, clean: bool = False) -> None:
        self._recipe, self._data = recipe, data
        self._seed = recipe.settings.train.seed
        self._clean = clean

    @property
    def selected_on(self) -> str:
        """The queries that choose the epoch, for people and for reports."""
        return f"{HELD_OUT:.0%} of train, held out" if self._clean else self._data.chooses

    def prepare(self) -> int:
        """Bring both to the disk, where other processes find them; -> videos to learn from."""
        return len(self.train) if len(self.val) else 0

    @cached_property
    def train(self) -> RetrievalSet:
        """What is learned from."""
        return self._data.taught(self._load("train", self.train_queries), average_positions)

    @cached_property
    def val(self) -> RetrievalSet:
        """What chooses the epoch."""
        return self._load("train, held out" if self._clean else self._data.chooses, self.val_queries)

    @property
    def train_queries(self) -> list[Query]:
        """What was asked of the videos that are learned from."""
        items = self._data.queries("train")
        return hold_out(items, share=HELD_OUT, seed=self._seed)[0] if self._clean else items

    @property
    def val_queries(self) -> list[Query]:
        """What was asked of those that choose the epoch."""
        if not self._clean:
            return self._data.queries(self._data.chooses)
        return hold_out(self._data.queries("train"), share=HELD_OUT, seed=self._seed)[1]

    def _load(self, name: str, items: Sequence[Query]) -> RetrievalSet:
        return self._data.load(name, items, self._recipe.prepared)


def described(recipe: Recipe, features: FeatureSpec, *, selected_on: str, selected_by: str | None) -> dict[str, Any]:
    """What a run's folder says of itself: `ranker.open_run` reads the method and its settings, people the rest."""
    return {
        "format": FORMAT,
        "recipe": recipe.target,
        "method": recipe.method.name,
        "title": recipe.title,
        "settings": to_dict(recipe.settings),
        "features": to_dict(features),
        "selected_on": selected_on,
        "selected_by": selected_by,
    }


def note(folder: Path, *, name: str | None, notes: str | None) -> None:
    """Write down how people call a run and what they say of it, in place of what stood there; None leaves that.

    No part of the run itself, so that it may change at any time. Raises CheckpointError where it cannot be written.
    """
    said = {key: value for key, value in (("name", name), ("notes", notes)) if value is not None}
    if said:
        _put(folder / ABOUT, json.dumps(read_about(folder) | said, indent=1, ensure_ascii=False))


def describe(folder: Path, config: Mapping[str, Any]) -> None:
    """Write down what a run is of, unless it is. Raises CheckpointError where that cannot be written."""
    if not (folder / CONFIG).exists():
        _put(folder / CONFIG, json.dumps({**config, SEAL: fingerprint(config)}, indent=1))


def _put(file: Path, said: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, said.encode())
    except OSError as error:
        raise CheckpointError(f"{file.parent}: cannot be written ({error.strerror}); choose another folder") from error


def _epoch(splits: Splits, settings: Any, epoch: int) -> Iterator[Batch[Any]]:
    return splits.train.batches(settings.batch_videos, seed=settings.train.seed, epoch=epoch)


def _validate(model: nn.Module, *, splits: Splits, device: str) -> Mapping[str, float]:
    return recalls(cast(RetrievalModel, model), splits.val, device=device)
