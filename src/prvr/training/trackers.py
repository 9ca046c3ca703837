"""Programs that draw curves of runs: TensorBoard, Weights & Biases, MLflow; each only where it was asked for by name.

All write below the run's folder and reach no network: W&B is offline and MLflow keeps a file of SQLite, unless the
user's own `WANDB_MODE` or `MLFLOW_TRACKING_URI` says otherwise. A run that goes on goes on there, too.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

from prvr.core.config import fingerprint
from prvr.core.errors import CheckpointError, ConfigError

Tracker = Literal["tensorboard", "wandb", "mlflow"]

Put = Callable[[int, Mapping[str, float]], None]
"""(epoch, scalars by name), once an epoch."""

_HOW = {
    "tensorboard": ("torch.utils.tensorboard", "pip install 'prvr[tensorboard]'"),
    "wandb": ("wandb", "pip install wandb"),
    "mlflow": ("mlflow", "pip install mlflow"),
}
TRACKERS = tuple(_HOW)

_QUIET = {  # what they send or print by themselves
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}


def check_trackers(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once. Raises ConfigError for one that is unknown or not installed."""
    for name in names:
        if name not in _HOW:
            raise ConfigError(f"--log {name}: choose from {', '.join(TRACKERS)}")
        _bring(name)
    return tuple(dict.fromkeys(names))


class Tracked(NamedTuple):
    """The run that is told of."""

    folder: Path
    keep: int  # epochs that it has; what was said of later ones is said again
    settings: Mapping[str, str]

    @property
    def identity(self) -> str:
        """Of its folder: there a run goes on."""
        return fingerprint(str(self.folder.resolve()))


def open_trackers(names: Sequence[str], run: Tracked, held: ExitStack) -> list[Put]:
    """What to call with every epoch; `held` closes them. Raises CheckpointError where the folder cannot be written."""
    opened = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}
    try:
        return [opened[name](_bring(name), run, held) for name in names]
    except OSError as error:
        raise CheckpointError(f"{run.folder}: cannot be written ({error.strerror}); choose another folder") from error


def _bring(name: str) -> ModuleType:
    module, how = _HOW[name]
    for variable, value in _QUIET.items():
        os.environ.setdefault(variable, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of their own dependencies
        try:
            return importlib.import_module(module)
        except ImportError as error:
            raise ConfigError(
                f"--log {name}: is not installed ({error}); `{how}`, or leave it out: metrics.csv has the same numbers"
            ) from error


def _tensorboard(module: ModuleType, run: Tracked, held: ExitStack) -> Put:
    board = module.SummaryWriter(str(run.folder / "tensorboard"), purge_step=run.keep)
    held.callback(board.close)

    def put(epoch: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            board.add_scalar(name, value, epoch)
        board.flush()

    return put


def _wandb(module: ModuleType, run: Tracked, held: ExitStack) -> Put:
    told = module.init(
        project="prvr",
        name=run.folder.resolve().name,
        dir=str(run.folder),
        id=run.identity,
        resume="allow",
        mode=os.environ.get("WANDB_MODE", "offline"),
        config=dict(run.settings),
        reinit="create_new",
        settings=module.Settings(console="off", save_code=False, disable_git=True),
    )
    held.callback(told.finish)
    return lambda epoch, scalars: told.log(dict(scalars), step=epoch)


def _mlflow(module: ModuleType, run: Tracked, held: ExitStack) -> Put:
    kept = run.folder.resolve() / "mlflow"
    kept.mkdir(exist_ok=True)
    where = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{kept / 'mlflow.db'}"
    client = module.MlflowClient(tracking_uri=where)
    experiment = client.get_experiment_by_name("prvr")
    number = experiment.experiment_id if experiment else client.create_experiment("prvr")
    found = client.search_runs([number], filter_string=f"tags.folder = '{run.identity}'")
    told: Any = (
        found[0]
        if found
        else client.create_run(
            number, run_name=run.folder.resolve().name, tags={"folder": run.identity, **run.settings}
        )
    )
    client.update_run(told.info.run_id, status="RUNNING")
    held.callback(client.set_terminated, told.info.run_id)

    def put(epoch: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            client.log_metric(told.info.run_id, name.replace("@", "_at_"), value, step=epoch)

    return put
