"""Made-up batches, and what every system is asked, for the tests of the systems that MSC is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.core.method import Learn
from prvr.core.types import Batch, Loss, QueryBatch, VideoFeatures, Videos
from prvr.parts.objective import Objective
from prvr.parts.uniform import UniformConfig, prepare_uniform
from prvr.training.step import Embeds
from tests.parts.make import video_features

VIDEO, TEXT, FRAMES, CLIPS = 10, 6, 12, 5
# a network of these tests: room for more frames than a batch has, and no chance in it
TINY: dict[str, Any] = {
    "video_width": VIDEO,
    "text_width": TEXT,
    "hidden": 16,
    "heads": 2,
    "max_words": 7,
    "frames": FRAMES + 2,
    "input_dropout": 0.0,
    "dropout": 0.0,
}
Prepare = Callable[[Sequence[VideoFeatures], UniformConfig], Videos]
Model = TypeVar("Model", bound=nn.Module)
Seen = TypeVar("Seen")


def roused(model: Model) -> Model:
    """With weights large enough that every part of it matters, in eval mode."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def learned(learn: Learn, model: nn.Module, given: Batch[Any], epoch: int = 0) -> Loss:
    """What a batch costs."""
    return learn(cast(Embeds, model).embed(given), given, epoch)


def seen(objective: Objective[Any, Seen], model: nn.Module, given: Batch[Any], epoch: int = 0) -> Seen:
    """What the terms read of a batch."""
    return objective.see(cast(Embeds, model).embed(given), given, epoch)


def batch(
    lengths: Sequence[int] = (30, 12, 7, 3),
    queries: int = 9,
    *,
    frames: int = FRAMES,
    clips: int = CLIPS,
    text: int = TEXT,
    prepare: Prepare = prepare_uniform,
) -> Batch[Any]:
    """Videos longer and shorter than the limit, queries of 1 to 5 words; every video has a query."""
    config = UniformConfig(frames=frames, clips=clips)
    valid = torch.arange(5) < torch.arange(queries)[:, None] % 5 + 1
    words = F.normalize(torch.randn(queries, 5, text), dim=-1) * valid[..., None]
    return Batch(
        videos=prepare([video_features(torch.randn(n, VIDEO)) for n in lengths], config),
        queries=QueryBatch(words=words, valid=valid, sentence=F.normalize(torch.randn(queries, text), dim=-1)),
        video_of_query=torch.arange(queries) % len(lengths),
    )


def padded(given: Batch[Any], more: int = 2) -> Batch[Any]:
    """Rubbish wherever there is no frame and no word, and behind every video and every query."""

    def longer(x: Tensor) -> Tensor:
        """Features and seconds get rubbish; what else there is gets places not valid, of size 0, of the first clip."""
        return F.pad(x, (0, 0, 0, more), value=7.0) if x.ndim == 3 else F.pad(x, (0, more))

    videos, queries = given.videos, given.queries
    frames, words = (
        x.masked_fill(~valid[..., None], 7.0)
        for x, valid in ((videos.frames, videos.frame_valid), (queries.words, queries.valid))
    )
    return replace(
        given,
        videos=replace(videos, frames=frames).each(longer),
        queries=replace(queries, words=longer(words), valid=longer(queries.valid)),
    )


def shuffled(given: Batch[Any], videos: Tensor, queries: Tensor) -> Batch[Any]:
    """Some videos with some queries, which must all be theirs: row i is what was at videos[i], queries[i]."""
    place = torch.full((len(given.videos),), -1)
    place[videos] = torch.arange(len(videos))
    return Batch(
        videos=given.videos.take(videos),
        queries=given.queries.each(lambda x: x[queries]),
        video_of_query=place[given.video_of_query[queries]],
    )


def only(given: Batch[Any], video: int) -> Batch[Any]:
    """One video with its queries."""
    return shuffled(given, torch.tensor([video]), (given.video_of_query == video).nonzero().squeeze(1))


def worth(
    learn: Learn, model: nn.Module, given: Batch[Any], epoch: int
) -> tuple[Mapping[str, Tensor], tuple[Tensor | None, ...]]:
    """The parts of a loss, and the gradients of all parameters; None: the loss does not reach it."""
    total, parts = learned(learn, model, given, epoch)
    return parts, torch.autograd.grad(total, list(model.parameters()), allow_unused=True)


def check_padding(model: nn.Module, learn: Learn, given: Batch[Any], epoch: int = 0, *, more: int = 2) -> None:
    """Loss, its parts and all gradients are those of the batch without padding."""
    (parts, gradients), (others, moved) = (worth(learn, model, x, epoch) for x in (given, padded(given, more)))
    torch.testing.assert_close(others, parts)
    torch.testing.assert_close(moved, gradients, atol=1e-4, rtol=1e-4)


def check_order(model: nn.Module, learn: Learn, given: Batch[Any], epoch: int = 0) -> None:
    """Loss, its parts and all gradients do not depend on the order of the batch."""
    other = shuffled(given, torch.randperm(len(given.videos)), torch.randperm(len(given.queries)))
    (parts, gradients), (others, moved) = (worth(learn, model, x, epoch) for x in (given, other))
    torch.testing.assert_close(others, parts, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(moved, gradients, atol=1e-4, rtol=1e-4)


def check_small_batches(model: nn.Module, learn: Learn, given: Batch[Any]) -> None:
    """One video with several queries, one with one: finite losses and gradients, for every parameter that it has."""
    for one in (only(given, 0), shuffled(given, torch.tensor([1]), torch.tensor([1]))):
        model.zero_grad()
        total, parts = learned(learn, model, one, 30)
        assert all(part.isfinite() for part in parts.values())
        torch.autograd.backward(total)
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def without_gradient(model: nn.Module, learn: Learn, given: Batch[Any]) -> list[str]:
    """Parameters that the loss does not reach."""
    model.zero_grad()
    torch.autograd.backward(learned(learn, model, given).total)
    return [name for name, parameter in model.named_parameters() if parameter.grad is None]
