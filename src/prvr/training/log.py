"""What a run says about itself: a line of JSON an epoch, the same numbers as a table (CSV), and to trackers."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from prvr.core.errors import CheckpointError
from prvr.core.files import appending, write_whole
from prvr.training.trackers import Put

METRICS = "metrics.jsonl"
TABLE = "metrics.csv"


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One epoch, counted from 0 as the objective sees it."""

    epoch: int
    steps: int
    loss: float  # mean over the steps
    terms: Mapping[str, float]  # the objective's parts, means over the steps
    lr: float  # of the last step
    train_s: float
    validation_s: float
    validation: Mapping[str, float]
    best: bool  # whether the weights of this epoch were the best so far


class RunLog:
    """Appends epochs to a run folder; what a run that was interrupted wrote beyond epoch `keep` is forgotten."""

    def __init__(self, folder: Path, *, keep: int, trackers: Sequence[Put] = ()) -> None:
        self.path = folder / METRICS
        self._forget(keep)
        self._trackers = trackers

    def write(self, record: EpochRecord) -> None:
        """One more epoch. Raises CheckpointError when the disk is full or read-only."""
        line = asdict(record)
        # JSON has no NaN; a metric that is not defined is null.
        line["validation"] = {
            name: value if math.isfinite(value) else None for name, value in line["validation"].items()
        }
        try:
            with appending(self.path) as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            table = self.path.with_name(TABLE)
            if table.is_symlink():  # of whoever the folder is from
                table.unlink()
            table.write_bytes(table_of(self.path.read_bytes()))
        except OSError as error:
            raise _unwritable(self.path, error) from error
        scalars = {"train/loss": record.loss, "train/lr": record.lr}
        scalars |= {f"train/{name}": value for name, value in record.terms.items()}
        scalars |= {f"validation/{name}": value for name, value in record.validation.items()}
        for put in self._trackers:
            put(record.epoch, scalars)

    def _forget(self, keep: int) -> None:
        if not self.path.exists():
            return
        lines = self.path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if _epoch_of(line) < keep]
        if kept != lines:
            try:
                write_whole(self.path, b"".join(kept))
            except OSError as error:
                raise _unwritable(self.path, error) from error


def table_of(lines: bytes) -> bytes:
    """The content of `metrics.jsonl` -> a CSV table, a row an epoch, terms and validation under names of their own."""
    rows = [json.loads(line) for line in lines.splitlines()]
    parts = {"terms": "train", "validation": "validation"}
    flat = [
        {name: value for name, value in row.items() if name not in parts}
        | {f"{parts[part]}/{name}": value for part in parts for name, value in row[part].items()}
        for row in rows
    ]
    text = io.StringIO()
    table = csv.DictWriter(text, list(dict.fromkeys(name for row in flat for name in row)), lineterminator="\n")
    table.writeheader()
    table.writerows(flat)
    return text.getvalue().encode()


def _epoch_of(line: bytes) -> float:
    """The epoch of a line; infinite where a kill left half a line."""
    try:
        return float(json.loads(line)["epoch"]) if line.endswith(b"\n") else float("inf")
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _unwritable(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"{path}: cannot be written ({error.strerror}); free some space or choose another folder, "
        "then run the same command again"
    )
