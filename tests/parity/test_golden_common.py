"""What several systems share, against what their official code computed (reference arrays common)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prvr.core.vectors import unit_rows
from prvr.methods.dldkd.distillation import exponential_fade, linear_fade, sigmoid_fade, soft_label_fade
from prvr.parts.bert_adam import BertAdam, Schedule, warmup_cosine, warmup_linear
from prvr.parts.sampling import at_most, average_positions, interpolate_positions, position_edges
from tests.parity.arrays import Arrays, close

SAMPLINGS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "avg": average_positions,
    "uni": at_most,
    "pool": interpolate_positions,
}


@pytest.fixture(scope="module")
def preproc(golden: Path) -> Arrays:
    return Arrays(golden / "common" / "preproc.npz")


@pytest.fixture(scope="module")
def schedules(golden: Path) -> Arrays:
    return Arrays(golden / "common" / "schedules.npz")


def test_every_way_to_sample_a_video(preproc: Arrays) -> None:
    """Of a video of one frame the official interpolation has an axis too many; the values are the same."""
    checked = set()
    for name in preproc:
        video, _, made = name.partition("/")
        if not video.startswith("T") or made == "x":
            continue
        kind = made.removesuffix("_raw")
        word = kind.rstrip("0123456789")
        found = SAMPLINGS[word](preproc[f"{video}/x"], int(kind.removeprefix(word)))
        want = preproc[name]
        close(found if made.endswith("_raw") else unit_rows(found), want.squeeze(1) if want.ndim == 3 else want)
        checked.add(word)
    assert checked == SAMPLINGS.keys()


def test_which_frames_a_position_averages(preproc: Arrays) -> None:
    tables = preproc.matching(r"R(\d+)/T")
    assert tables
    for table in tables:
        positions = int(table[1])
        starts, counts = preproc[f"R{positions}/start"], preproc[f"R{positions}/count"]
        for length, start, count in zip(preproc[table[0]].tolist(), starts, counts, strict=True):
            edges = position_edges(length, positions)
            assert torch.equal(edges[:-1], start.long())
            assert torch.equal(edges.diff().clamp(min=1), count.long())


def test_positions_that_no_frame_reaches(preproc: Arrays) -> None:
    for name in [name for name in preproc if name.endswith("/zero_slots")]:
        positions = int(name.removeprefix("pool").removesuffix("/zero_slots"))
        for length, (left, right) in enumerate(preproc[name].tolist(), start=2):
            reached = interpolate_positions(torch.ones(length, 1), positions).flatten().nonzero().flatten()
            assert (int(reached[0]), positions - 1 - int(reached[-1])) == (left, right)


def test_how_a_teacher_fades(schedules: Arrays) -> None:
    for name, fade in (("exp", exponential_fade), ("linear", linear_fade), ("sigmoid", sigmoid_fade)):
        want = schedules[f"kd/{name}_f64"]
        close(torch.tensor([fade(epoch) for epoch in range(len(want))], dtype=want.dtype), want)
    want = schedules["pp/w_alpha_beta_f64"]
    found = [(exponential_fade(epoch), *soft_label_fade(epoch)) for epoch in range(len(want))]
    close(torch.tensor(found, dtype=want.dtype), want)


@pytest.mark.parametrize(("name", "schedule"), [("linear", warmup_linear), ("cosine", warmup_cosine)])
def test_schedules_and_the_steps_that_follow_them(schedules: Arrays, name: str, schedule: Schedule) -> None:
    """In float64. Past the last planned step the official cosine rises again; ours stays at 0."""
    settings = schedules.settings()
    total, warmup = settings["t_total"], settings["warmup"]
    multiplier = schedules.arrays[f"lambda/{name}_f64"]
    ours = np.array([schedule(step / total, warmup) for step in range(len(multiplier))])
    np.testing.assert_allclose(ours[: total + 1], multiplier[: total + 1], rtol=1e-12, atol=1e-15)
    assert not ours[total:].any()

    parameters = {n: nn.Parameter(schedules[f"adam/init_{n}_f64"].clone()) for n in ("w", "ln", "b")}
    groups = [{"params": [p], "weight_decay": 0.01 if n == "w" else 0.0} for n, p in parameters.items()]
    optimizer = BertAdam(
        groups,
        lr=settings["lr"],
        total_steps=total,
        warmup=warmup,
        schedule=schedule,
        betas=tuple(settings["betas"]),
        eps=settings["eps"],
        max_norm=settings["clip"],
    )
    for step in range(len(schedules["adam/grad_w_f64"])):
        for n, parameter in parameters.items():
            parameter.grad = schedules[f"adam/grad_{n}_f64"][step].clone()
        optimizer.step()
        for n, parameter in parameters.items():
            torch.testing.assert_close(
                parameter.detach(), schedules[f"adam/{name}_{n}_f64"][step], rtol=1e-11, atol=1e-12
            )
