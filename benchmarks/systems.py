"""A training step of every system of the comparison at TVR's size, beside its loop form, in one run.

python -m benchmarks.systems                       # ten systems, 128 videos x 5 queries: about a quarter of an hour
python -m benchmarks.systems --only mssl bgmnet --repeats 5
python -m benchmarks.systems --videos 16           # seconds

Recipes are those of TVR on CLIP-L/14 (768 wide, D = 384), in the middle of their training: hard negatives, matched
moments, ambiguous pairs and soft labels are on. A step is the forward pass, the loss, the backward pass and the
optimiser. The loop form (`benchmarks.loops`) is written by us: textbook parts of torch, and the released code's loops
over videos and queries; ProtoPRVR-style and ARL-style, of which nothing was released, go video by video. Both forms
have the same weights and take turns in one process; medians; CPU seconds of all threads. No loop is extrapolated, but
the released network of MSC and GMMFormer v2 needs 17 GB at this size: it reads a quarter of the batch and counts four
times, while its losses read the whole.
`apart` is how far the two are from each other in loss and in the length of the whole gradient, at 12 videos without
dropout and with chance taken out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple, cast
from unittest.mock import patch

import torch
from torch import Tensor, nn

from benchmarks import loops, loops_styles
from benchmarks.training_step import apart
from prvr.core.types import Batch, QueryBatch, VideoFeatures
from prvr.methods.recipe import Recipe, load_recipe
from prvr.training.step import Embeds, Remembers

LARGE = 64  # videos
STEPS = 137  # an epoch of TVR
PARTS = {"gmmformer_v2": 4, "msc": 4}  # the loop form's network reads one of so many parts of a large batch
SYSTEMS: dict[str, tuple[str, Callable[..., loops.Twin]]] = {
    "mssl": ("prvr.methods.mssl.runs:tvr", loops.Moments),
    "dldkd": ("prvr.methods.dldkd.runs:tvr", loops.Students),
    "dldkd_plus": ("prvr.methods.dldkd.runs:tvr_plus", loops.Students),
    "gmmformer": ("prvr.methods.gmmformer.runs:tvr", loops.Averaged),
    "gmmformer_v2": ("prvr.methods.gmmformer_v2.runs:tvr", loops.Mixed),
    "amdnet": ("prvr.methods.amdnet.runs:tvr", loops.Windows),
    "bgmnet": ("prvr.methods.bgmnet.runs:tvr", loops.Moments),
    "protoprvr_style": ("prvr.methods.protoprvr_style.runs:tvr", loops_styles.Prototypes),
    "arl_style": ("prvr.methods.arl_style.runs:tvr", loops_styles.Pair),
    "msc": ("prvr.methods.msc.runs:tvr", loops.Mixed),
}


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is measured."""

    system: str
    videos: int = 128
    queries: int = 5  # of each video
    words: int = 24  # of the longest query
    frames: int = 228  # of a video's features: 76 s at 3 a second
    threads: int = 1
    repeats: int = 3


class Cost(NamedTuple):
    """CPU seconds of the parts of a step."""

    forward: float
    loss: float
    backward: float
    optimiser: float

    @property
    def step(self) -> float:
        """Of all."""
        return sum(self)


class Found(NamedTuple):
    """Of one system."""

    ours: Cost
    loop: Cost
    parameters: int
    apart: float


def make_batch(recipe: Recipe, size: Size) -> Batch[Any]:
    """Videos of scenes, random but alike within a scene, as the recipe prepares them; queries of 8 words and more."""
    width, text = recipe.settings.model.video_width, recipe.settings.model.text_width
    times, videos = torch.arange(size.frames) / 3, []
    for _ in range(size.videos):
        scene = torch.randn(8, width)[torch.arange(size.frames) * 8 // size.frames]
        videos.append(VideoFeatures(scene + 0.5 * torch.randn(size.frames, width), times, size.frames / 3))
    number = size.videos * size.queries
    valid = torch.arange(size.words) < torch.randint(min(8, size.words), size.words + 1, (number, 1))
    words = nn.functional.normalize(torch.randn(number, size.words, text), dim=-1) * valid[..., None]
    sentence = nn.functional.normalize(torch.randn(number, text), dim=-1)
    own = torch.arange(size.videos).repeat_interleave(size.queries)
    prepared = recipe.prepared.make(videos)
    return Batch(videos=prepared, queries=QueryBatch(words=words, valid=valid, sentence=sentence), video_of_query=own)


def make_pair(recipe: Recipe, make_twin: Callable[..., loops.Twin]) -> tuple[nn.Module, loops.Twin]:
    """Ours, its weights moved a little so that every part matters, and its twin; both in training."""
    model = recipe.build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        if hasattr(model, "means"):  # ARL's memory of an epoch
            means = cast(Tensor, model.means)
            means.copy_(0.05 * torch.randn_like(means))
    return model.train(), make_twin(model, recipe.settings).train()


def step_of(
    forward: Callable[[Batch[Any]], Any],
    loss: Callable[[Any, Batch[Any]], Tensor],
    optimiser: torch.optim.Optimizer | loops.LoopAdam,
    batch: Batch[Any],
) -> Cost:
    """One step."""
    marks = [time.process_time()]
    outputs = forward(batch)
    marks.append(time.process_time())
    total = loss(outputs, batch)
    marks.append(time.process_time())
    torch.autograd.backward(total)
    marks.append(time.process_time())
    optimiser.step()
    marks.append(time.process_time())
    return Cost(*(after - before for before, after in pairwise(marks)))


def parted(twin: loops.Twin, optimiser: loops.LoopAdam, batch: Batch[Any], parts: int) -> Cost:
    """One step of the loop form whose network reads one part of the batch; the losses read as much as the whole makes.

    Forward and backward of the network count `parts` times.
    """
    few = len(batch.videos) // parts
    mine = batch.video_of_query < few
    part = Batch(
        videos=batch.videos.take(torch.arange(few)),
        queries=batch.queries.each(lambda x: x[mine]),
        video_of_query=batch.video_of_query[mine],
    )
    marks = [time.process_time()]
    made = twin(part)
    marks.append(time.process_time())
    leaves = tuple(torch.cat([x.detach()] * parts).requires_grad_() for x in made)
    marks.append(time.process_time())
    total = twin.loss(leaves, batch)
    marks.append(time.process_time())
    torch.autograd.backward(total)
    marks.append(time.process_time())
    ends = [(x, leaf.grad[: len(x)]) for x, leaf in zip(made, leaves, strict=True) if leaf.grad is not None]
    torch.autograd.backward([x for x, _ in ends], [flow for _, flow in ends])
    marks.append(time.process_time())
    optimiser.step()
    marks.append(time.process_time())
    forward, _, loss, of_loss, of_network, step = (b - a for a, b in pairwise(marks))
    return Cost(parts * forward, loss, of_loss + parts * of_network, step)


def measure(size: Size) -> Found:
    """One system in this process, the two forms in turns; the first step of each is a warm-up."""
    torch.set_num_threads(size.threads)
    difference = compare(size)
    torch.manual_seed(0)
    target, make_twin = SYSTEMS[size.system]
    recipe = load_recipe(target)
    assert recipe.objective is not None
    assert recipe.optimizer is not None
    batch, (model, twin) = make_batch(recipe, size), make_pair(recipe, make_twin)
    learn, settings = recipe.objective(recipe.settings), recipe.settings

    def loss(made: Any, given: Batch[Any]) -> Tensor:
        if isinstance(model, Remembers):
            model.remember(made)
        return learn(made, given, loops.EPOCH).total

    optimiser = recipe.optimizer(settings, model, STEPS), loops.LoopAdam(twin, settings.optim.lr)
    parts = PARTS.get(size.system, 1) if size.videos >= LARGE else 1
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    for _ in range(size.repeats + 1):
        model.zero_grad()
        costs[0].append(step_of(cast(Embeds, model).embed, loss, optimiser[0], batch))
        model.zero_grad()
        if parts > 1:
            costs[1].append(parted(twin, optimiser[1], batch, parts))
        else:
            costs[1].append(step_of(twin, lambda out, given: twin.loss(out, given), optimiser[1], batch))
        twin.zero_grad()
    ours, loop = (Cost(*map(median, zip(*one[1:], strict=True))) for one in costs)
    return Found(ours, loop, sum(p.numel() for p in model.parameters()), difference)


def compare(size: Size) -> float:
    """The larger relative difference of the two forms' losses and of the lengths of their gradients."""
    torch.manual_seed(1)
    target, make_twin = SYSTEMS[size.system]
    recipe = load_recipe(target).with_settings(["model.dropout=0", "model.input_dropout=0"])
    assert recipe.objective is not None
    batch = make_batch(recipe, replace(size, videos=12))
    (model, twin), learn = make_pair(recipe, make_twin), recipe.objective(recipe.settings)
    found = []
    with patch.object(torch, "rand", _zeros):  # of several the first is drawn, and videos are mixed
        torch.manual_seed(2)
        found.append((learn(cast(Embeds, model).embed(batch), batch, loops.EPOCH).total, model))
        torch.manual_seed(2)
        found.append((twin.loss(twin(batch), batch), twin))
    numbers: list[tuple[float, float]] = []
    for total, form in found:
        torch.autograd.backward(total)
        squares = [p.grad.double().square().sum() for p in form.parameters() if p.grad is not None]
        numbers.append((float(total.detach()), float(torch.stack(squares).sum().sqrt())))
    return max(abs(a - b) / abs(a) for a, b in zip(numbers[0], numbers[1], strict=True))


def _zeros(*shape: Any, **_: object) -> Tensor:
    return torch.zeros(*shape)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="default: all")
    for name in ("videos", "words", "threads", "repeats"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Size, name), help="default: %(default)s")
    given = vars(parser.parse_args())
    systems = given.pop("only")
    sizes = [Size(system=system, **given) for system in systems]
    print(
        f"{sizes[0].videos} videos x {Size.queries} queries, {sizes[0].threads} thread(s), CPU seconds a step: ", end=""
    )
    print("forward + loss + backward + optimiser")
    print(f"{'':<16} {'weights':>8}  {'ours':>36}  {'loop form':>36}  {'ratio':>7} {'apart':>8}")
    for size in sizes:
        found = apart(measure, size)
        columns = [
            f"{' + '.join(f'{part:.2f}' for part in cost):>28} {cost.step:7.2f}" for cost in (found.ours, found.loop)
        ]
        weights = f"{found.parameters / 1e6:6.1f} M"
        ratio = found.loop.step / found.ours.step
        print(f"{size.system:<16} {weights}  {columns[0]}  {columns[1]}  {ratio:5.2f} x {found.apart:8.0e}", flush=True)


if __name__ == "__main__":
    main()
