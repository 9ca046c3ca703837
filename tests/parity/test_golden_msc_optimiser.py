"""BertAdam against parameters that the official code stepped (reference arrays i_bertadam)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from prvr.parts.bert_adam import BertAdam, warmup_linear
from tests.parity.arrays import Arrays


def test_msc_trajectory(golden: Path) -> None:
    file = Arrays(golden / "msc_gmmformer" / "i_bertadam.npz")
    total, warmup = int(file.number("t_total")), file.number("warmup")
    multiplier = file["lr_multiplier"]
    ours = [warmup_linear(step / total, warmup) for step in range(len(multiplier))]
    torch.testing.assert_close(torch.tensor(ours, dtype=multiplier.dtype), multiplier, rtol=1e-12, atol=1e-15)

    decay, spared, idle = (nn.Parameter(file[f"p_{name}"].clone()) for name in ("decay", "nodecay", "nograd"))
    groups = [
        {"params": [decay, idle], "weight_decay": file.number("weight_decay")},
        {"params": [spared], "weight_decay": 0.0},
    ]
    optimizer = BertAdam(groups, lr=file.number("lr"), total_steps=total, warmup=warmup)
    for step in range(int(file.number("steps"))):
        decay.grad, spared.grad = file["grads_decay"][step].clone(), file["grads_nodecay"][step].clone()
        optimizer.step()
        torch.testing.assert_close(decay.detach(), file["traj_decay"][step], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(spared.detach(), file["traj_nodecay"][step], rtol=1e-6, atol=1e-6)
    assert torch.equal(idle.detach(), file["p_nograd"])
