"""The loop: epochs of steps, validation, the best weights kept, a stop when nothing improves.

A run folder holds `model.safetensors` (the best weights), `last.safetensors` (where to go on), `metrics.jsonl`,
`metrics.csv`, and what was asked of `prvr.training.trackers`. Epochs are counted from 0 everywhere. torch's random
numbers are seeded anew from (seed, epoch), so a run that is interrupted and started again ends with the bits of one
that was not, without the state of any generator being saved (on a CPU; GPU kernels that add in no fixed order may
differ in the last bit).

On several ranks (see `prvr.training.distributed`) all learn; the first alone validates, decides, writes and reports.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from prvr.core.errors import CheckpointError, ConfigError, DataError
from prvr.core.files import only_writer
from prvr.core.method import Learn, TrainConfig
from prvr.core.types import Batch
from prvr.core.weights import WEIGHTS, save_weights
from prvr.training.checkpoint import load_state, restore, save_state
from prvr.training.distributed import ALONE, Ranks
from prvr.training.feeding import feed
from prvr.training.log import EpochRecord, RunLog
from prvr.training.run_folder import LAST, Standing, has_best, read_standing
from prvr.training.step import Step, far_apart, make_step
from prvr.training.trackers import Tracked, open_trackers


@dataclass(frozen=True, kw_only=True)
class TrainProgress:
    """Where a run is, after every step and every epoch."""

    epoch: int  # under way, or `epochs` at the end
    epochs: int  # at most
    step: int  # steps done in this epoch
    steps: int | None  # steps an epoch, once one is finished
    loss: float | None = None  # mean over the last finished epoch
    metrics: Mapping[str, float] = field(default_factory=dict)  # validation after the last finished epoch
    best: float | None = None
    best_epoch: int | None = None


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """How a run ended."""

    best: float  # the primary metric of the best epoch
    best_epoch: int
    metrics: Mapping[str, float]  # validation of the best epoch
    epochs: int  # finished in all
    new_epochs: int  # finished by this call; 0 when the run was complete before


class _Losses(NamedTuple):
    steps: int
    loss: float
    terms: dict[str, float]


def train(
    model: nn.Module,
    *,
    learn: Learn,
    batches: Callable[[int], Iterable[Batch[Any]]],
    optimizer: Optimizer,
    validate: Callable[[nn.Module], Mapping[str, float]],
    folder: Path,
    config: TrainConfig,
    metadata: Mapping[str, str],
    device: str = "cpu",
    ranks: Ranks = ALONE,
    trackers: Sequence[str] = (),
    on_progress: Callable[[TrainProgress], None] | None = None,
) -> TrainResult:
    """Train until the last epoch or until more than `patience` epochs in a row brought nothing; keep the best weights.

    `batches(epoch)` must depend on the epoch alone. `validate` gets the model in eval mode and without gradients.
    `trackers` are told every epoch, too (`prvr.training.trackers`). `metadata` is stored with the weights and says what
    the run is of: a folder with other metadata is refused. A run that was interrupted goes on after its last finished
    epoch, a complete one returns at once. Afterwards `model` holds the weights of the latest epoch that was trained
    here; the best ones are in `folder`/model.safetensors. On several `ranks` each makes this call with the same
    arguments and gets the same result; their number may change when a run goes on.

    Raises CheckpointError for a folder that cannot be used, for numbers that are no longer finite and for a rank that
    stopped; the weights and the state of the last good epoch are then still on disk.
    """
    numerics = {name: getattr(config, name) for name in ("seed", "primary", "precision", "compile")}
    settings = {"metadata": dict(metadata), "train": numerics}
    standing, complete = ranks.from_first(lambda: _found(folder, settings, config))
    if complete:
        return _result(standing, new_epochs=0)
    step = make_step(
        model.to(device),
        learn,
        device=device,
        precision=config.precision,
        compiled=config.compile,
        seed=config.seed,
        ranks=ranks,
    )
    run = _Run(model, step, batches, optimizer, validate, folder, config, settings, device, ranks, tuple(trackers))
    show = _Reporter(on_progress if ranks.is_first else None, config.epochs)
    with contextlib.ExitStack() as held:
        standing = begun = _taken_up(run, show, held)
        while not standing.finished(epochs=config.epochs, patience=config.patience):
            standing = _one_epoch(run, standing, show)
    return _result(standing, new_epochs=standing.epochs - begun.epochs)


@runtime_checkable
class Averages(Protocol):
    """An optimiser that knows better weights than those it works on: a running mean of them."""

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Those in the place of the model's, for as long as the block lasts: they are judged and kept."""
        ...


class _Run(NamedTuple):
    """What does not change from epoch to epoch."""

    model: nn.Module
    step: Step
    batches: Callable[[int], Iterable[Batch[Any]]]
    optimizer: Optimizer
    validate: Callable[[nn.Module], Mapping[str, float]]
    folder: Path
    config: TrainConfig
    settings: dict[str, Any]
    device: str
    ranks: Ranks
    trackers: tuple[str, ...]


def _found(folder: Path, settings: dict[str, Any], config: TrainConfig) -> tuple[Standing, bool]:
    """How far the run has come, and whether nothing is left to do."""
    standing = read_standing(folder, settings)
    finished = standing.finished(epochs=config.epochs, patience=config.patience)
    return standing, finished and has_best(folder, standing)


def _taken_up(run: _Run, show: _Reporter, held: contextlib.ExitStack) -> Standing:
    """How far the run has come, with its weights and the optimiser's state in place on every rank."""
    standing = run.ranks.from_first(lambda: _opened(run, show, held))
    if standing.epochs:
        state = run.ranks.from_first(lambda: load_state(run.folder / LAST))
        restore(state, run.model, run.optimizer, where=str(run.folder / LAST))
        run.ranks.from_first(lambda: _mend_best(run, standing))
    run.ranks.copy_first(run.model)
    return standing


def _opened(run: _Run, show: _Reporter, held: contextlib.ExitStack) -> Standing:
    """How far the run has come, read again now that nobody else can write."""
    held.enter_context(only_writer(run.folder, CheckpointError))
    standing = read_standing(run.folder, run.settings)
    told = open_trackers(run.trackers, Tracked(run.folder, standing.epochs, run.settings["metadata"]), held)
    show.log = RunLog(run.folder, keep=standing.epochs, trackers=told)
    return standing


class _Reporter:
    """Remembers what a step cannot know, for whoever draws the bar; on the first rank it has the log as well."""

    def __init__(self, on_progress: Callable[[TrainProgress], None] | None, epochs: int) -> None:
        self.on_progress, self.epochs = on_progress, epochs
        self.steps: int | None = None
        self.loss: float | None = None
        self.metrics: Mapping[str, float] = {}
        self.log: RunLog | None = None

    def __call__(self, standing: Standing, step: int) -> None:
        if self.on_progress is None:
            return
        any_best = standing.best_epoch >= 0
        self.on_progress(
            TrainProgress(
                epoch=standing.epochs,
                epochs=self.epochs,
                step=step,
                steps=self.steps,
                loss=self.loss,
                metrics=self.metrics,
                best=standing.best if any_best else None,
                best_epoch=standing.best_epoch if any_best else None,
            )
        )


def _one_epoch(run: _Run, standing: Standing, show: _Reporter) -> Standing:
    """Steps on every rank; then validation and files on the first, whose verdict counts for all."""
    torch.manual_seed(far_apart(run.config.seed, standing.epochs))
    began = time.perf_counter()
    losses = _steps(run, standing.epochs, lambda step: show(standing, step))
    train_s = time.perf_counter() - began
    after = run.ranks.from_first(lambda: _judged(run, standing, losses, train_s, show))
    show(after, 0)
    return after


def _judged(run: _Run, standing: Standing, losses: _Losses, train_s: float, show: _Reporter) -> Standing:
    """Validation, then everything onto disk; `last.safetensors` is what makes the epoch count."""
    began = time.perf_counter()
    metrics = _validation(run, standing.epochs)
    validation_s = time.perf_counter() - began
    after = standing.after(metrics[run.config.primary], metrics)
    group = run.optimizer.param_groups[0]
    assert show.log is not None, "the first rank has the log"
    show.log.write(
        EpochRecord(
            epoch=standing.epochs,
            steps=losses.steps,
            loss=losses.loss,
            terms=losses.terms,
            lr=float(group.get("rate", group["lr"])),
            train_s=round(train_s, 3),
            validation_s=round(validation_s, 3),
            validation=metrics,
            best=after.is_best,
        )
    )
    save_state(run.folder / LAST, run.model, run.optimizer, {**run.settings, "standing": asdict(after)})
    if after.is_best:
        _save_best(run, after)
    show.steps, show.loss, show.metrics = losses.steps, losses.loss, metrics
    return after


def _steps(run: _Run, epoch: int, tick: Callable[[int], None]) -> _Losses:
    """One pass over the batches. Nothing waits for the device: losses are read once, at the end."""
    run.model.train()
    names: tuple[str, ...] = ()
    rows: list[Tensor] = []
    for step, batch in enumerate(feed(run.batches(epoch), run.device)):
        run.optimizer.zero_grad(set_to_none=True)
        loss = run.step(batch, epoch, step)
        run.optimizer.step()
        assert not names or names == tuple(loss.terms), f"the terms changed: {names}, then {tuple(loss.terms)}"
        names = tuple(loss.terms)
        rows.append(torch.stack([part.detach().float() for part in (*loss.terms.values(), loss.total)]))
        tick(step + 1)
    if not rows:
        raise DataError(f"{run.folder}: epoch {epoch} has no batches; the training split is empty")
    table = torch.stack(rows).cpu()  # (steps, terms + 1)
    _check_losses(table, names, run, epoch)
    means = table.double().mean(0).tolist()
    return _Losses(len(rows), means[-1], dict(zip(names, means, strict=False)))


def _check_losses(table: Tensor, names: tuple[str, ...], run: _Run, epoch: int) -> None:
    broken = (~table.isfinite()).nonzero()
    if len(broken):
        step, column = broken[0].tolist()
        what = f"loss term {names[column]!r}" if column < len(names) else "the loss"
        raise _diverged(run, f"epoch {epoch}, step {step}: {what} is {table[step, column]:g}", epoch)
    norms = torch._foreach_norm([parameter.detach().float() for parameter in run.model.parameters()])
    if not torch.stack(list(norms)).isfinite().all():
        raise _diverged(run, f"epoch {epoch}, step {len(table) - 1}: the weights are no longer finite", epoch)


def _ranking(run: _Run) -> contextlib.AbstractContextManager[None]:
    """The weights that rank in the place of those that learn."""
    return run.optimizer.averaged() if isinstance(run.optimizer, Averages) else contextlib.nullcontext()


def _validation(run: _Run, epoch: int) -> dict[str, float]:
    run.model.eval()
    with torch.no_grad(), _ranking(run):
        metrics = {name: float(value) for name, value in run.validate(run.model).items()}
    primary = run.config.primary
    if primary not in metrics:
        raise ConfigError(f"train.primary={primary}: validation gives {', '.join(metrics)}; choose one of them")
    if not math.isfinite(metrics[primary]):
        raise _diverged(run, f"epoch {epoch}: validation {primary} is {metrics[primary]:g}", epoch)
    return metrics


def _diverged(run: _Run, what: str, epoch: int) -> CheckpointError:
    kept = f"epoch {epoch - 1} stays in {run.folder}" if epoch else f"nothing is saved yet in {run.folder}"
    return CheckpointError(f"{what}; {kept}. Train into another folder with a smaller learning rate or another seed")


def _save_best(run: _Run, standing: Standing) -> None:
    about = {**run.settings["metadata"], "epoch": str(standing.best_epoch), run.config.primary: repr(standing.best)}
    with _ranking(run):
        save_weights(run.folder / WEIGHTS, run.model.state_dict(), about)


def _mend_best(run: _Run, standing: Standing) -> None:
    """A kill between the two files of an epoch leaves older weights: the state has them, if that epoch was the last."""
    if has_best(run.folder, standing):
        return
    if not standing.is_best:
        raise CheckpointError(
            f"{run.folder / WEIGHTS}: the weights of the best epoch ({standing.best_epoch}) are gone; "
            "take them from a copy, or train into another folder"
        )
    _save_best(run, standing)


def _result(standing: Standing, *, new_epochs: int) -> TrainResult:
    return TrainResult(
        best=standing.best,
        best_epoch=standing.best_epoch,
        metrics=standing.metrics,
        epochs=standing.epochs,
        new_epochs=new_epochs,
    )
