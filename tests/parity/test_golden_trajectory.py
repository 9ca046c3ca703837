"""Steps of the authors' own training of MSC, beside ours: losses, their terms, the first gradient, the last weights.

Sizes and settings come from the files. Their weights, batches, draws and Gaussian tables go in; loss, schedule,
clipping, decay and the updates are ours, all in float64.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from prvr.core.types import Batch, Loss
from prvr.methods.family import bert_adam
from prvr.methods.msc.loss import LossConfig, MSCSettings, objective
from prvr.methods.msc.network import MSC
from prvr.methods.msc.official import OFFICIAL, undecayed
from prvr.methods.msc.prepare import MSCVideos, PrepareConfig
from prvr.methods.recipe import OptimConfig
from tests.parity.arrays import Arrays
from tests.parity.msc import their_batch, their_network

TERMS = {
    "clip_nce": ["nce_clip"],
    "clip_trip": ["triplet_clip"],
    "frame_nce": ["nce_frame"],
    "frame_trip": ["triplet_frame"],
    "vidlvlctl": ["cbva"],
    "txt_rkd": ["tcpl_distance", "tcpl_angle"],
}
"""A column of their log -> the terms of ours that it adds up."""


@dataclass(frozen=True)
class Walk:
    """What every step said, by the names of their log, and what was left at the end."""

    log: dict[str, Tensor]  # (steps,) each
    gradient: dict[str, Tensor]  # of the first step, by the authors' names
    weights: dict[str, Tensor]  # after the last step, by the authors' names


def loss_and_terms(settings: MSCSettings, model: MSC, batch: Batch[MSCVideos], epoch: int) -> Loss:
    """One step up to its loss, and the weighted terms by name: all that this file knows of how a step is made."""
    learned = objective(settings)
    total, terms = learned(model.embed(batch), batch, epoch)
    return Loss(total, {name: learned.weights[name] * term for name, term in terms.items()})


def their_settings(weights: dict[str, Tensor], meta: dict[str, Any]) -> MSCSettings:
    return MSCSettings(
        model=their_network(weights, heads=meta["heads"], sft_factor=meta["sft"]),
        prepare=PrepareConfig(similarity_threshold=meta["tau"]),
        loss=LossConfig(
            tcpl_distance=meta["d"], tcpl_angle=meta["a"], cbva=meta["vl"], hard_from_epoch=meta["hard_from_epoch"]
        ),
        optim=OptimConfig(
            lr=meta["lr"], warmup=meta["warmup"], schedule_epochs=meta["epochs"], weight_decay=meta["wd"]
        ),
    )


def walk(inputs: Arrays, meta: dict[str, Any], patch: pytest.MonkeyPatch) -> Walk:
    """As many of our steps as they made, from the same weights and with the same draws."""
    weights = inputs.below("sd/")
    settings = their_settings(weights, meta)
    model = MSC(settings.model).double()
    model.load_state_dict(OFFICIAL.read(weights))
    model.frame_mixture.tables.copy_(inputs["gauss/frame"])
    model.clip_mixture.tables.copy_(inputs["gauss/clip"])
    optimizer = bert_adam(settings, model, meta["steps"], undecayed=undecayed)
    log: dict[str, list[Tensor]] = {name: [] for name in ("loss", *TERMS)}
    gradient: dict[str, Tensor] = {}
    for step in range(len([name for name in inputs if name.startswith("draws")])):
        put_draws(patch, inputs[f"draws{step}"])
        batch = their_batch(in_float64(inputs.below(f"batch{step}/")), threshold=meta["tau"])
        total, terms = loss_and_terms(settings, model, batch, step // meta["steps"])
        log["loss"].append(total.detach())
        for name, ours in TERMS.items():
            log[name].append(torch.stack([terms.get(one, total.new_zeros(())) for one in ours]).sum())
        optimizer.zero_grad()
        torch.autograd.backward(total)
        if not gradient:
            found = {
                name: p.grad if p.grad is not None else torch.zeros_like(p) for name, p in model.named_parameters()
            }
            gradient = {name: value.clone() for name, value in OFFICIAL.write(found).items()}
        optimizer.step()
    return Walk(
        {name: torch.stack(values) for name, values in log.items()}, gradient, OFFICIAL.write(model.state_dict())
    )


def in_float64(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.double() if value.is_floating_point() else value for name, value in arrays.items()}


def put_draws(patch: pytest.MonkeyPatch, draws: Tensor) -> None:
    """Row r of every draw of negatives takes the r-th of the given uniform numbers: queries and videos, both branches.

    The rank that a number stands for is worked out by the product: only the numbers come from elsewhere.
    """

    def rand(rows: int, **_: object) -> Tensor:
        return draws[:rows]

    patch.setattr(torch, "rand", rand)


@pytest.fixture(scope="module", params=["base", "tcpl", "full"])
def walked(request: pytest.FixtureRequest, golden: Path) -> tuple[Walk, Arrays, dict[str, Tensor]]:
    """Our walk, their results, and the weights that both began with."""
    folder = golden / "trajectory"
    inputs = Arrays(folder / "trajectory_full.npz")
    theirs = Arrays(folder / f"trajectory_{request.param}.npz")
    with pytest.MonkeyPatch.context() as patch:
        ours = walk(inputs, json.loads(str(theirs.arrays["meta"])), patch)
    return ours, theirs, inputs.below("sd/")


def test_every_loss_is_theirs(walked: tuple[Walk, Arrays, dict[str, Tensor]]) -> None:
    """They add 1e-8 inside the denominators of CBVA, which is a tenth of the loss or less."""
    ours, theirs, _ = walked
    log = theirs.below("log/")
    for names, rtol in ((ours.log.keys() - {"vidlvlctl"}, 1e-8), ({"vidlvlctl"}, 1e-7)):
        got, want = ({name: side[name] for name in names} for side in (ours.log, log))
        torch.testing.assert_close(got, want, rtol=rtol, atol=0)


def test_the_first_gradient_is_theirs(walked: tuple[Walk, Arrays, dict[str, Tensor]]) -> None:
    """Where a gradient is nothing but rounding (a bias in front of a softmax), both are."""
    ours, theirs, _ = walked
    got = {name: value.norm() for name, value in ours.gradient.items()}
    torch.testing.assert_close(got, theirs.below("norm/grad0/"), rtol=1e-6, atol=1e-12)


def test_the_last_weights_are_theirs(walked: tuple[Walk, Arrays, dict[str, Tensor]]) -> None:
    """Measured against how far they moved. The optimiser scales up a gradient that is rounding alone."""
    ours, theirs, first = walked
    last = theirs.below("end/")
    assert last.keys() == first.keys() == ours.weights.keys()
    apart = torch.stack([(ours.weights[name] - last[name]).norm() for name in last]).norm()
    moved = torch.stack([(last[name] - first[name].double()).norm() for name in last]).norm()
    assert apart < 2e-5 * moved
