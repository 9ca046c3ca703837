"""What one of two processes does: started by test_distributed.py as torchrun would start it, and by torchrun itself.

Everything that a test compares is written to a folder. The runs are made of the published parts: MSC, its objective
with the world's weights, BertAdam; in double precision, so that what differs is a mistake and not a rounding.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.core.errors import CheckpointError, PrvrError
from prvr.core.method import TrainConfig
from prvr.core.types import Batch, Outputs, QueryBatch, VideoBatch
from prvr.core.weights import save_weights
from prvr.methods.msc import runs as msc
from prvr.methods.msc.network import MSC, MSCConfig
from prvr.methods.msc.official import stack_depth, undecayed
from prvr.parts.bert_adam import BertAdam, decay_groups
from prvr.training.distributed import ALONE, Ranks, joined
from prvr.training.loop import Objective, TrainResult, train
from prvr.training.step import make_step

E, T, C, W = 6, 8, 4, 5
SIZES = (5, 4, 1)  # videos of the batches of an epoch: uneven shares on two ranks, even ones, and none for one of them


def make_batch(videos: int, seed: int) -> Batch:
    """Videos of different lengths; queries in no order, one for the first video and more for the others."""
    torch.manual_seed(seed)
    owners = torch.cat([torch.arange(videos), torch.randint(videos, (2 * videos,))])[torch.randperm(3 * videos)]
    frame_valid = torch.arange(T) < torch.randint(5, T + 1, (videos, 1))
    clip_size = torch.full((videos, C), T / C) * (torch.arange(C) < torch.randint(3, C + 1, (videos, 1)))
    valid = torch.arange(W) < torch.randint(2, W + 1, (len(owners), 1))
    return Batch(
        videos=VideoBatch(
            frames=F.normalize(torch.randn(videos, T, E), dim=-1),
            frame_valid=frame_valid,
            clips=F.normalize(torch.randn(videos, C, E), dim=-1),
            clip_size=clip_size,
            slot=(torch.arange(T) * 3 // T).expand(videos, -1),
            segment=(torch.arange(C) // 2).expand(videos, -1),
            frame_spans=torch.zeros(videos, T, 2),
        ),
        queries=QueryBatch(
            words=F.normalize(torch.randn(len(owners), W, E), dim=-1) * valid[..., None],
            valid=valid,
            sentence=F.normalize(torch.randn(len(owners), E), dim=-1),
        ),
        video_of_query=owners,
    )


def batches(epoch: int) -> Iterator[Batch]:
    return (make_batch(size, 10 * epoch + i) for i, size in enumerate(SIZES))


def make_model(dropout: float) -> MSC:
    """Weights large enough for every one of them to matter."""
    torch.manual_seed(1)
    config = MSCConfig(
        video_width=E,
        text_width=E,
        hidden=8,
        heads=2,
        max_words=W,
        frames=T,
        clips=C,
        widths=(None, 1.0),
        dropout=dropout,
        input_dropout=dropout,
    )
    model = MSC(config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.4)
    return model


def make_optimizer(model: MSC) -> BertAdam:
    """As the authors use it, in few steps."""
    groups = decay_groups(model.named_parameters(), 0.01, undecayed=undecayed, stacked=stack_depth)
    return BertAdam(groups, lr=0.01, total_steps=30, warmup=0.1)


def world_objective() -> Objective:
    """All terms; random negatives in the first epoch, negatives from the pool of hard ones afterwards."""
    settings = msc.world().settings
    return msc.objective(dataclasses.replace(settings, loss=dataclasses.replace(settings.loss, hard_from_epoch=1)))


def validate(model: nn.Module) -> dict[str, float]:
    outputs = model(make_batch(6, 99))
    return {"SumR": float(outputs.cosine.fused(0.4).softmax(1).amax(1).mean()) + torch.rand(1).item()}


def run(
    folder: Path,
    *,
    ranks: Ranks = ALONE,
    epochs: int = 2,
    objective: Objective | None = None,
    model: MSC | None = None,
) -> TrainResult:
    """One call of `train`, from a model that always begins with the same weights."""
    model = model or make_model(0.0)
    return train(
        model,
        objective=objective or world_objective(),
        batches=batches,
        optimizer=make_optimizer(model),
        validate=validate,
        folder=folder,
        config=TrainConfig(epochs=epochs, seed=3),
        metadata={"recipe": "tests:ranks"},
        ranks=ranks,
    )


def gradients(ranks: Ranks, size: int) -> dict[str, Tensor]:
    """Of one step without an optimiser, with the loss."""
    model = make_model(0.0).train()
    torch.manual_seed(7)
    loss, _ = make_step(model, world_objective(), seed=3, ranks=ranks)(make_batch(size, 5), 0, 0)
    found = {name: x.grad for name, x in model.named_parameters() if x.grad is not None}
    return {"loss": loss.detach().reshape(1), **found}


def main(out: Path) -> None:
    """Every scene in turn; rank 1 dies in the last one."""
    torch.set_default_dtype(torch.float64)
    with joined("cpu") as ranks:
        group = weakref.ref(dist.group.WORLD)
        own = out / f"rank{ranks.rank}"
        own.mkdir(parents=True)
        for size in SIZES:
            save_weights(own / f"gradients{size}", gradients(ranks, size), {})
        run(out / "whole", ranks=ranks, epochs=3)
        for epochs in (1, 3):
            run(out / "parts", ranks=ranks, epochs=epochs)
        dropout(ranks, out, own)
        masks(ranks, own)
        mistakes(ranks, out, own)
        dies(ranks, out)
    assert group() is None, "gloo's threads live on, and abort the process when it ends"


def dropout(ranks: Ranks, out: Path, own: Path) -> None:
    """A whole run with dropout, and what its objective draws."""
    drawn: list[Tensor] = []

    def watched(outputs: Outputs, batch: Batch, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        drawn.append(torch.rand(1))
        return world_objective()(outputs, batch, epoch)

    model = make_model(0.5)
    result = run(out / "dropout", ranks=ranks, objective=watched, model=model)
    save_weights(own / "dropout", model.state_dict(), {"result": json.dumps(dataclasses.asdict(result))})
    save_weights(own / "draws", {"drawn": torch.cat(drawn)}, {})


def masks(ranks: Ranks, own: Path) -> None:
    """The same video and the same query for both ranks: only dropout can tell them apart."""
    one, model = make_batch(1, 0), make_model(0.5).train()
    twice = Batch(
        videos=dataclasses.replace(one.videos, **{k: v.expand(2, *v.shape[1:]) for k, v in vars(one.videos).items()}),
        queries=dataclasses.replace(one.queries, **{k: v[[0, 0]] for k, v in vars(one.queries).items()}),
        video_of_query=torch.tensor([0, 1]),
    )
    seen: list[Tensor] = []

    def look(outputs: Outputs, batch: Batch, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        seen.append(outputs.query.detach())
        return outputs.query.sum(), {}

    step = make_step(model, look, seed=3, ranks=ranks)
    for number in (0, 0, 1):
        step(twice, 0, number)
    save_weights(own / "masks", {"query": torch.stack(seen)}, {})


def mistakes(ranks: Ranks, out: Path, own: Path) -> None:
    """A loss that is no number stops both; so does a folder that the first rank may not use."""

    def broken(outputs: Outputs, batch: Batch, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        loss, parts = world_objective()(outputs, batch, epoch)
        return loss * (float("nan") if epoch else 1.0), parts

    messages = []
    for name, objective in (("broken", broken), ("parts", None)):
        try:
            run(out / name, ranks=ranks, objective=objective, epochs=4)
        except PrvrError as error:
            messages.append(f"{type(error).__name__}: {error}")
        if ranks.is_first:
            (out / "parts" / "last.safetensors").write_bytes(b"no state")
    (own / "mistakes").write_text("\n".join(messages))


def dies(ranks: Ranks, out: Path) -> None:
    """Rank 1 is killed in the second epoch, without a word."""

    def deadly(outputs: Outputs, batch: Batch, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        if epoch == 1 and not ranks.is_first:
            os.kill(os.getpid(), signal.SIGKILL)
        return world_objective()(outputs, batch, epoch)

    try:
        run(out / "killed", ranks=ranks, objective=deadly)
    except CheckpointError as error:
        (out / "killed" / "message").write_text(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
