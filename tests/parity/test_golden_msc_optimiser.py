"""BertAdam against parameters that the official code stepped (reference arrays i_bertadam and schedules)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from prvr.training.bert_adam import BertAdam, Schedule, warmup_cosine, warmup_linear


def test_msc_trajectory(golden: Path) -> None:
    with np.load(golden / "msc_gmmformer" / "i_bertadam.npz") as file:
        arrays = {name: file[name] for name in file.files}
    total, warmup = int(arrays["t_total"]), float(arrays["warmup"])
    ours = [warmup_linear(step / total, warmup) for step in range(len(arrays["lr_multiplier"]))]
    np.testing.assert_allclose(ours, arrays["lr_multiplier"], rtol=1e-12, atol=1e-15)

    decay, spared, idle = (nn.Parameter(torch.from_numpy(arrays[f"p_{n}"])) for n in ("decay", "nodecay", "nograd"))
    start = idle.detach().clone()
    groups = [
        {"params": [decay, idle], "weight_decay": float(arrays["weight_decay"])},
        {"params": [spared], "weight_decay": 0.0},
    ]
    optimizer = BertAdam(groups, lr=float(arrays["lr"]), total_steps=total, warmup=warmup)
    for step in range(int(arrays["steps"])):
        decay.grad = torch.from_numpy(arrays["grads_decay"][step])
        spared.grad = torch.from_numpy(arrays["grads_nodecay"][step])
        optimizer.step()
        np.testing.assert_allclose(decay.detach().numpy(), arrays["traj_decay"][step], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(spared.detach().numpy(), arrays["traj_nodecay"][step], rtol=1e-6, atol=1e-6)
    assert torch.equal(idle, start)


@pytest.mark.parametrize(("name", "schedule"), [("linear", warmup_linear), ("cosine", warmup_cosine)])
def test_both_schedules_and_their_trajectories(golden: Path, name: str, schedule: Schedule) -> None:
    """24 float64 steps. Past the last planned step the official cosine rises again; ours stays at 0."""
    total, warmup, lr = 300, 0.01, 0.01
    with np.load(golden / "common" / "schedules.npz") as file:
        multiplier = file[f"lambda/{name}_f64"]
        start, gradients, after = (
            {n: file[f"adam/{kind}_{n}_f64"] for n in ("w", "ln", "b")} for kind in ("init", "grad", name)
        )
    ours = np.array([schedule(step / total, warmup) for step in range(len(multiplier))])
    np.testing.assert_allclose(ours[: total + 1], multiplier[: total + 1], rtol=1e-12, atol=1e-15)
    assert not ours[total:].any()

    parameters = {n: nn.Parameter(torch.from_numpy(values.copy())) for n, values in start.items()}
    groups = [{"params": [p], "weight_decay": 0.01 if n == "w" else 0.0} for n, p in parameters.items()]
    optimizer = BertAdam(groups, lr=lr, total_steps=total, warmup=warmup, schedule=schedule)
    for step in range(len(gradients["w"])):
        for n, parameter in parameters.items():
            parameter.grad = torch.from_numpy(gradients[n][step].copy())
        optimizer.step()
        for n, parameter in parameters.items():
            np.testing.assert_allclose(parameter.detach().numpy(), after[n][step], rtol=1e-11, atol=1e-12)
