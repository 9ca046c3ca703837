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
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from prvr.core.errors import CheckpointError, PrvrError
from prvr.core.method import Learn, TrainConfig
from prvr.core.types import Batch, Loss, Made, QueryBatch, VideoTokens
from prvr.core.weights import save_weights
from prvr.methods.msc import runs as msc
from prvr.methods.msc.loss import objective as msc_objective
from prvr.methods.msc.loss import see
from prvr.methods.msc.network import MSC, Aligned, MSCConfig
from prvr.methods.msc.official import undecayed
from prvr.methods.msc.prepare import MSCVideos
from prvr.methods.official import stack_depth
from prvr.parts.bert_adam import BertAdam, decay_groups
from prvr.training.distributed import ALONE, Ranks, joined
from prvr.training.loop import TrainResult, train
from prvr.training.step import make_step

E, T, C, W = 6, 8, 4, 5
SIZES = (5, 4, 1)  # videos of the batches of an epoch: uneven shares on two ranks, even ones, and none for one of them


def make_batch(videos: int, seed: int) -> Batch[MSCVideos]:
    """Videos of different lengths; queries in no order, one for the first video and more for the others."""
    torch.manual_seed(seed)
    owners = torch.cat([torch.arange(videos), torch.randint(videos, (2 * videos,))])[torch.randperm(3 * videos)]
    frame_valid = torch.arange(T) < torch.randint(5, T + 1, (videos, 1))
    clip_size = torch.full((videos, C), T / C) * (torch.arange(C) < torch.randint(3, C + 1, (videos, 1)))
    valid = torch.arange(W) < torch.randint(2, W + 1, (len(owners), 1))
    return Batch(
        videos=MSCVideos(
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


def batches(epoch: int) -> Iterator[Batch[MSCVideos]]:
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


def world_objective() -> Learn:
    """All terms; random negatives in the first epoch, negatives from the pool of hard ones afterwards."""
    settings = msc.world().settings
    return msc_objective(dataclasses.replace(settings, loss=dataclasses.replace(settings.loss, hard_from_epoch=1)))


def validate(model: nn.Module) -> dict[str, float]:
    assert isinstance(model, MSC)
    batch = make_batch(6, 99)
    cosine = see(model.embed(batch), batch, 0).cosine
    return {"SumR": float(cosine.fused(0.4).softmax(1).amax(1).mean()) + torch.rand(1).item()}


def run(
    folder: Path,
    *,
    ranks: Ranks = ALONE,
    epochs: int = 2,
    learn: Learn | None = None,
    model: MSC | None = None,
) -> TrainResult:
    """One call of `train`, from a model that always begins with the same weights."""
    model = model or make_model(0.0)
    return train(
        model,
        learn=learn or world_objective(),
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
    loss = make_step(model, world_objective(), seed=3, ranks=ranks)(make_batch(size, 5), 0, 0).total
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
        for size in SIZES:
            save_weights(own / f"nested{size}", nested(ranks, size), {})
        mistakes(ranks, out, own)
        dies(ranks, out)
    assert group() is None, "gloo's threads live on, and abort the process when it ends"


def dropout(ranks: Ranks, out: Path, own: Path) -> None:
    """A whole run with dropout, and what its objective draws."""
    drawn: list[Tensor] = []

    def watched(made: Made[Tensor, Aligned], batch: Batch[MSCVideos], epoch: int) -> Loss:
        drawn.append(torch.rand(1))
        return world_objective()(made, batch, epoch)

    model = make_model(0.5)
    result = run(out / "dropout", ranks=ranks, learn=watched, model=model)
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

    def look(made: Made[Tensor, Aligned], batch: Batch[MSCVideos], epoch: int) -> Loss:
        seen.append(made.queries.detach())
        return Loss(made.queries.sum(), {})

    step = make_step(model, look, seed=3, ranks=ranks)
    for number in (0, 0, 1):
        step(twice, 0, number)
    save_weights(own / "masks", {"query": torch.stack(seen)}, {})


class Pair(NamedTuple):
    """Something learned from, something that is not there, a mask and whole numbers."""

    rows: Tensor
    absent: Tensor | None
    valid: Tensor  # bool
    number: Tensor  # int64


class Asked(NamedTuple):
    """The queries' side: a tensor beside a record, and a side of it that is no tensor at all."""

    query: Tensor  # (Q, D)
    nothing: None
    words: Pair  # (Q, ...)


class Shown(NamedTuple):
    """The videos' side, two levels deep."""

    tokens: VideoTokens  # (V, ...)
    frames: Pair  # (V, ...)
    clips: Pair


class Deep(nn.Module):
    """Makes records within records, and remembers what it is given of every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.video = nn.Linear(E, 3), nn.Linear(E, 3)
        self.remembered: list[Made[Asked, Shown]] = []

    def embed(self, batch: Batch[MSCVideos]) -> Made[Asked, Shown]:
        videos, queries = batch.videos, batch.queries
        words, frames, clips = self.query(queries.words), self.video(videos.frames), self.video(videos.clips)
        clip_valid = videos.clip_size > 0
        return Made(
            Asked(words.mean(1), None, Pair(words, None, queries.valid, queries.valid.sum(1))),
            Shown(
                VideoTokens(frames, videos.frame_valid, clips, clip_valid),
                Pair(frames.tanh(), None, videos.frame_valid, videos.slot),
                Pair(clips.tanh(), videos.clip_size, clip_valid, videos.segment),
            ),
        )

    def remember(self, made: Made[Asked, Shown]) -> None:
        self.remembered.append(made)


def read_all(made: Made[Asked, Shown], batch: Batch[MSCVideos], epoch: int) -> Loss:
    """A loss that every tensor of both sides counts in, and the row that each stands in."""
    asked, shown = made
    best = torch.einsum("qd,vtd->qvt", asked.query, shown.tokens.frames)
    best = best.masked_fill(~shown.tokens.frame_valid, -torch.inf).amax(2)
    parts = {"nce": F.cross_entropy(best, batch.video_of_query)}
    for name, pair in zip(("words", "frames", "clips"), (asked.words, shown.frames, shown.clips), strict=True):
        place = torch.arange(1, len(pair.rows) + 1).to(pair.rows)[:, None, None]
        parts[name] = (pair.rows.square() * pair.valid[..., None] * place).mean() + (
            pair.rows.mean(1) * pair.number.reshape(len(pair.rows), -1)[:, :1]
        ).sum()
    return Loss(torch.stack(list(parts.values())).sum(), parts)


def nested(ranks: Ranks, size: int) -> dict[str, Tensor]:
    """Of one step: the loss, the gradients, and all that was remembered, leaf by leaf."""
    torch.manual_seed(2)
    model = Deep()
    loss = make_step(model, read_all, seed=3, ranks=ranks)(make_batch(size, 5), 0, 0)
    (made,) = model.remembered
    leaves = {f"made{i}": leaf.detach() for i, leaf in enumerate(tree_leaves(made)) if leaf is not None}
    grads = {name: x.grad for name, x in model.named_parameters() if x.grad is not None}
    return {"loss": loss.total.detach().reshape(1), **grads, **leaves}


def mistakes(ranks: Ranks, out: Path, own: Path) -> None:
    """A loss that is no number stops both; so does a folder that the first rank may not use."""

    def broken(made: Made[Tensor, Aligned], batch: Batch[MSCVideos], epoch: int) -> Loss:
        loss = world_objective()(made, batch, epoch)
        return loss._replace(total=loss.total * (float("nan") if epoch else 1.0))

    messages = []
    for name, learn in (("broken", broken), ("parts", None)):
        try:
            run(out / name, ranks=ranks, learn=learn, epochs=4)
        except PrvrError as error:
            messages.append(f"{type(error).__name__}: {error}")
        if ranks.is_first:
            (out / "parts" / "last.safetensors").write_bytes(b"no state")
    (own / "mistakes").write_text("\n".join(messages))


def dies(ranks: Ranks, out: Path) -> None:
    """Rank 1 is killed in the second epoch, without a word."""

    def deadly(made: Made[Tensor, Aligned], batch: Batch[MSCVideos], epoch: int) -> Loss:
        if epoch == 1 and not ranks.is_first:
            os.kill(os.getpid(), signal.SIGKILL)
        return world_objective()(made, batch, epoch)

    try:
        run(out / "killed", ranks=ranks, learn=deadly)
    except CheckpointError as error:
        (out / "killed" / "message").write_text(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
