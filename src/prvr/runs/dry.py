"""What a run would read, write and cost, found out by one step of it: nothing is written."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from prvr.core.errors import CheckpointError
from prvr.core.system import peak_memory
from prvr.core.types import Batch, Made, Query, TensorRecord
from prvr.data.annotations import group_by_video
from prvr.data.dataset import RetrievalSet, shuffled
from prvr.data.folder import DataFolder
from prvr.encoders.devices import pick_device
from prvr.kernels.dropout import drawn
from prvr.methods.recipe import Recipe, load_recipe
from prvr.parts.sampling import average_positions
from prvr.runs.train import Splits, check
from prvr.training.checkpoint import read_notes
from prvr.training.run_folder import LAST
from prvr.training.step import make_step

_MB = 1e6


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """One training step, the second of two, in a process of its own."""

    videos: int
    queries: int
    shapes: dict[str, tuple[int, ...]]  # of what goes into the network and of what comes out
    parts: dict[str, int]  # weights of each part of the network
    steps: int  # an epoch
    time_s: float
    peak_mb: float  # of the process on a CPU, of the allocator on a GPU
    before_mb: float  # of the same before the first step
    video_mb: float  # of one prepared video
    query_mb: float  # of one query's words, on average
    state_mb: float  # of the weights and of what the optimiser keeps

    @property
    def weights_mb(self) -> float:
        """Of the weights alone."""
        return 4 * sum(self.parts.values()) / _MB


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """All that `prvr train --dry-run` says."""

    recipe: str
    title: str
    device: str
    splits: dict[str, tuple[int, int]]  # what is learned from and what chooses the epoch -> videos, queries
    epochs: int
    schedule_epochs: int
    step: StepCost
    reads: tuple[str, ...]
    writes: dict[str, float]  # path -> MB, about
    standing: str  # what lies in the run's folder

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """The same for people."""
        step = self.step
        yield f"{self.title} ({self.recipe}) on {self.device}; nothing was written"
        for name, (videos, queries) in self.splits.items():
            yield f"  {name}: {videos:,} videos, {queries:,} queries"
        yield (
            f"  steps: {step.steps:,} an epoch, {self.epochs} epochs at most; the rate falls to 0 over "
            f"{self.schedule_epochs}"
        )
        yield f"  weights: {sum(step.parts.values()):,} ({step.weights_mb:.1f} MB)"
        yield from (f"    {name}: {count:,}" for name, count in step.parts.items())
        yield f"  one step, of {step.videos} videos with {step.queries} queries (the most of the first epoch):"
        yield from (f"    {name} {' x '.join(map(str, shape))}" for name, shape in step.shapes.items())
        yield (
            f"    {step.time_s:.2f} s, so {step.steps * step.time_s:,.0f} s of steps an epoch; "
            f"peak {step.peak_mb:,.0f} MB, of which {step.before_mb:,.0f} were there before"
        )
        yield "  would be read:"
        yield from (f"    {path}" for path in self.reads)
        yield "  would be written:"
        yield from (f"    {path}, about {size:,.1f} MB" for path, size in self.writes.items())
        yield f"  {self.standing}"


def dry_run(recipe: Recipe, data: DataFolder, folder: Path, *, clean: bool = False, device: str = "auto") -> DryRun:
    """Look at a run without making it: one step, measured, in a process of its own.

    Raises what `train_run` raises for a recipe or for data that do not fit.
    """
    check(recipe, data)
    splits, where = Splits(recipe, data, clean=clean), pick_device(device).name
    learned, chosen = splits.train_queries, splits.val_queries
    counts = {
        name: (len(group_by_video(items)), len(items))
        for name, items in (("learned from", learned), (f"chosen on ({splits.selected_on})", chosen))
    }
    step = step_cost(recipe, data, learned, device=where)
    number = [sum(column) for column in zip(*counts.values(), strict=True)]
    settings = recipe.settings
    return DryRun(
        recipe=recipe.target,
        title=recipe.title,
        device=where,
        splits=counts,
        epochs=settings.train.epochs,
        schedule_epochs=settings.schedule_epochs,
        step=step,
        reads=_reads(data),
        writes={
            f"{data.root / 'prepared'} (once, unless it is there)": number[0] * step.video_mb
            + number[1] * step.query_mb,
            f"{folder / 'model.safetensors'}": step.weights_mb,
            f"{folder / LAST}": step.state_mb,
        },
        standing=_standing(folder),
    )


def step_cost(recipe: Recipe, data: DataFolder, items: Sequence[Query], *, device: str) -> StepCost:
    """One step of the batch that has the most queries in the first epoch, after one to warm up."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_step, recipe.target, recipe.settings, data, items, pick_device(device).name).result()


def _step(target: str, settings: Any, data: DataFolder, items: Sequence[Query], device: str) -> StepCost:
    recipe = replace(load_recipe(target), settings=settings)
    assert recipe.objective is not None
    assert recipe.optimizer is not None
    with TemporaryDirectory() as nowhere:
        some = largest(recipe, data, items, cache=Path(nowhere))
        batch = some.select(torch.arange(len(some))).to(device)
    model = recipe.build().to(device).train()
    steps = -(-len(group_by_video(items)) // settings.batch_videos)
    optimizer = recipe.optimizer(settings, model, steps)
    step = make_step(model, recipe.objective(settings), device=device, precision=settings.train.precision)
    before, times = _in_use(device), []
    with drawn(settings.train.dropout):
        for _ in range(2):
            began = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            loss = step(batch, settings.train.epochs, 0)  # late enough for every term
            optimizer.step()
            float(loss.total.detach())  # waits for a GPU
            times.append(time.perf_counter() - began)
        peak = _in_use(device)
        with torch.no_grad():
            made = model.embed(batch)  # type: ignore[operator]
    return StepCost(
        videos=len(batch.videos),
        queries=len(batch.queries),
        shapes=_shapes(batch, made),
        parts=_parts(model),
        steps=steps,
        time_s=times[-1],
        peak_mb=peak / _MB,
        before_mb=before / _MB,
        video_mb=_bytes(x for _, x in _tensors("", batch.videos)) / len(batch.videos) / _MB,
        query_mb=(int(batch.queries.valid.sum()) * batch.queries.words.shape[-1] * 4) / len(batch.queries) / _MB,
        state_mb=_bytes((*model.state_dict().values(), *_kept(optimizer))) / _MB,
    )


def _kept(optimizer: Optimizer) -> Iterator[Tensor]:
    """What an optimiser keeps from step to step."""
    for kept in optimizer.state.values():
        yield from (x for x in kept.values() if isinstance(x, Tensor))


def _shapes(batch: Batch[Any], made: Made[Any, Any]) -> dict[str, tuple[int, ...]]:
    sides = {"videos": batch.videos, "queries": batch.queries, "made.queries": made.queries, "made.videos": made.videos}
    return {name: tuple(x.shape) for side, value in sides.items() for name, x in _tensors(side, value)}


def largest(recipe: Recipe, data: DataFolder, items: Sequence[Query], *, cache: Path) -> RetrievalSet:
    """The batch of the first epoch that has the most queries, as a split of its own; `cache` is written to, and nothing
    else.
    """
    groups, settings = group_by_video(items), recipe.settings
    ids = list(groups)
    order = shuffled(len(ids), seed=settings.train.seed, epoch=0)
    lots = [[ids[v] for v in lot] for lot in torch.split(order, settings.batch_videos)]
    chosen = max(lots, key=lambda lot: sum(len(groups[video_id]) for video_id in lot))
    data = replace(data, scratch=cache)
    said = [query for video_id in chosen for query in groups[video_id]]
    source = data.source
    place = {video_id: v for v, video_id in enumerate(chosen)}
    found = RetrievalSet(
        name="train",
        items=tuple(said),
        video_ids=tuple(chosen),
        videos=recipe.prepared.make([source.read(video_id) for video_id in chosen]),
        queries=source.texts(said),
        video_of_query=torch.tensor([place[query.video_id] for query in said]),
        digest="",
        content="",
    )
    return data.taught(found, average_positions)


def _parts(model: nn.Module) -> dict[str, int]:
    """Weights by the network's own parts, in its order."""
    found: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        part = name.partition(".")[0]
        found[part] = found.get(part, 0) + parameter.numel()
    return found


def _tensors(name: str, side: Any) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of one side of a batch, or of what was made of it, with a name that says where it lies."""
    if isinstance(side, Tensor):
        yield name, side
    elif isinstance(side, tuple):
        for field, value in zip(getattr(side, "_fields", range(len(side))), side, strict=True):
            yield from _tensors(f"{name}.{field}", value)
    elif isinstance(side, TensorRecord):
        for field, value in vars(side).items():
            yield from _tensors(f"{name}.{field}", value)


def _bytes(tensors: Any) -> int:
    return sum(x.numel() * x.element_size() for x in tensors)


def _in_use(device: str) -> int:
    """Bytes that were taken at most until now."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return peak_memory()


def _reads(data: DataFolder) -> tuple[str, ...]:
    splits = dict.fromkeys(("train", data.chooses))
    files = [data.annotations.source(split) for split in splits]
    return (*dict.fromkeys(map(str, files)), str(data.source.place), *([str(data.teacher)] if data.teacher else []))


def _standing(folder: Path) -> str:
    """What lies where the run would."""
    if not (folder / LAST).exists():
        return f"{folder} holds no run yet"
    with suppress(CheckpointError, KeyError, json.JSONDecodeError):
        return f"{folder} holds a run of {read_notes(folder / LAST)['standing']['epochs']} epochs, which would go on"
    return f"{folder} holds a run that cannot be read"
