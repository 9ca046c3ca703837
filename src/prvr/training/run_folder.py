"""The folder of a run: how far it has come, and whose it is."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prvr.core.errors import CheckpointError
from prvr.core.weights import WEIGHTS, read_metadata
from prvr.training.checkpoint import read_notes

LAST = "last.safetensors"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far a run has come: all that going on and early stopping need to know."""

    epochs: int = 0  # finished
    best: float = -math.inf
    best_epoch: int = -1
    metrics: Mapping[str, float] = field(default_factory=dict)  # of the best epoch

    def after(self, value: float, metrics: Mapping[str, float]) -> Standing:
        """One epoch later. Only a strictly higher value is better."""
        if value > self.best:
            return Standing(epochs=self.epochs + 1, best=value, best_epoch=self.epochs, metrics=dict(metrics))
        return Standing(epochs=self.epochs + 1, best=self.best, best_epoch=self.best_epoch, metrics=self.metrics)

    @property
    def is_best(self) -> bool:
        """Whether the last finished epoch is the best."""
        return self.best_epoch == self.epochs - 1

    def finished(self, *, epochs: int, patience: int) -> bool:
        """Whether all epochs are done, or more than `patience` of them in a row brought nothing."""
        return self.epochs >= epochs or self.epochs - 1 - self.best_epoch > patience


def read_standing(folder: Path, settings: dict[str, Any]) -> Standing:
    """How far the run in `folder` has come. Raises CheckpointError for a run of other settings."""
    if not (folder / LAST).exists():
        if (folder / WEIGHTS).exists():
            raise CheckpointError(
                f"{folder}: holds {WEIGHTS} but no {LAST}, so it can neither go on nor be overwritten; "
                "choose another folder"
            )
        return Standing()
    notes = read_notes(folder / LAST)
    for part, ours in settings.items():
        difference = _difference("", notes[part], ours)
        if difference:
            raise CheckpointError(
                f"{folder}: holds a run of other settings ({part}{difference}); choose another folder, "
                "or the settings that it was begun with"
            )
    return Standing(**notes["standing"])


def _difference(name: str, theirs: Any, ours: Any) -> str | None:
    """The first setting that differs, looked for inside texts that are JSON objects too."""
    theirs, ours = _opened(theirs), _opened(ours)
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(theirs.keys() | ours.keys()):
            found = _difference(f"{name}.{key}", theirs.get(key), ours.get(key))
            if found:
                return found
        return None
    return None if theirs == ours else f"{name} is {_short(theirs)} there and {_short(ours)} here"


def _opened(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("{"):
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def has_best(folder: Path, standing: Standing) -> bool:
    """Whether model.safetensors is there and of the best epoch."""
    path = folder / WEIGHTS
    return path.exists() and read_metadata(path).get("epoch") == str(standing.best_epoch)
