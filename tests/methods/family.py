"""Made-up batches, and what every system is asked, for the tests of the systems that MSC is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prvr.core.types import Batch, Outputs, QueryBatch, VideoBatch, VideoFeatures
from prvr.parts.uniform import UniformConfig, prepare_uniform
from prvr.parts.videos import cat_videos
from tests.parts.make import video_features

VIDEO, TEXT, FRAMES, CLIPS = 10, 6, 12, 5
Prepare = Callable[[VideoFeatures, UniformConfig], VideoBatch]
Model = TypeVar("Model", bound=nn.Module)
Loss = Callable[[Outputs, Batch, int], tuple[Tensor, dict[str, Tensor]]]


def roused(model: Model) -> Model:
    """With weights large enough that every part of it matters, in eval mode."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def batch(
    lengths: Sequence[int] = (30, 12, 7, 3),
    queries: int = 9,
    *,
    frames: int = FRAMES,
    clips: int = CLIPS,
    text: int = TEXT,
    prepare: Prepare = prepare_uniform,
) -> Batch:
    """Videos longer and shorter than the limit, queries of 1 to 5 words; every video has a query."""
    config = UniformConfig(frames=frames, clips=clips)
    valid = torch.arange(5) < torch.arange(queries)[:, None] % 5 + 1
    words = F.normalize(torch.randn(queries, 5, text), dim=-1) * valid[..., None]
    return Batch(
        videos=cat_videos([prepare(video_features(torch.randn(n, VIDEO)), config) for n in lengths]),
        queries=QueryBatch(words=words, valid=valid, sentence=F.normalize(torch.randn(queries, text), dim=-1)),
        video_of_query=torch.arange(queries) % len(lengths),
    )


def padded(given: Batch, more: int = 2) -> Batch:
    """Rubbish behind every video and every query."""
    videos, queries = given.videos, given.queries

    def rubbish(x: Tensor) -> Tensor:
        return torch.cat([x, torch.full_like(x[:, :more], 7)], dim=1)

    return Batch(
        videos=replace(
            videos,
            frames=rubbish(videos.frames),
            frame_valid=F.pad(videos.frame_valid, (0, more)),
            frame_spans=rubbish(videos.frame_spans),
            slot=F.pad(videos.slot, (0, more)),
            clips=rubbish(videos.clips),
            clip_size=F.pad(videos.clip_size, (0, more)),
            segment=F.pad(videos.segment, (0, more)),
        ),
        queries=replace(queries, words=rubbish(queries.words), valid=F.pad(queries.valid, (0, more))),
        video_of_query=given.video_of_query,
    )


def shuffled(given: Batch, videos: Tensor, queries: Tensor) -> Batch:
    """The same batch in another order: row i is what was at videos[i], queries[i]."""
    return Batch(
        videos=VideoBatch(**{name: x[videos] for name, x in vars(given.videos).items()}),
        queries=QueryBatch(**{name: x[queries] for name, x in vars(given.queries).items()}),
        video_of_query=videos.argsort()[given.video_of_query][queries],
    )


def only(given: Batch, video: int) -> Batch:
    """One video with its queries."""
    return shuffled_rows(given, torch.tensor([video]), (given.video_of_query == video).nonzero().squeeze(1))


def shuffled_rows(given: Batch, videos: Tensor, queries: Tensor) -> Batch:
    """Some videos with some queries, which must all be theirs."""
    place = torch.full((len(given.videos),), -1)
    place[videos] = torch.arange(len(videos))
    return Batch(
        videos=VideoBatch(**{name: x[videos] for name, x in vars(given.videos).items()}),
        queries=QueryBatch(**{name: x[queries] for name, x in vars(given.queries).items()}),
        video_of_query=place[given.video_of_query[queries]],
    )


def check_padding(model: nn.Module, loss: Loss, given: Batch) -> None:
    """Loss, its parts and all gradients are those of the batch without padding."""
    found = []
    for one in (given, padded(given)):
        total, parts = loss(model(one), one, 0)
        gradients = torch.autograd.grad(total, list(model.parameters()), allow_unused=True)
        found.append((parts, gradients))
    (parts, gradients), (padded_parts, padded_gradients) = found
    torch.testing.assert_close(padded_parts, parts)
    for one_grad, other in zip(gradients, padded_gradients, strict=True):
        torch.testing.assert_close(one_grad, other, atol=1e-4, rtol=1e-4)


def check_order(model: nn.Module, loss: Loss, given: Batch) -> None:
    """Loss terms do not depend on the order of the batch."""
    videos, queries = torch.randperm(len(given.videos)), torch.randperm(len(given.queries))
    _, parts = loss(model(given), given, 0)
    other = shuffled(given, videos, queries)
    _, moved = loss(model(other), other, 0)
    torch.testing.assert_close(moved, parts, atol=1e-4, rtol=1e-4)


def check_small_batches(model: nn.Module, loss: Loss, given: Batch) -> None:
    """One video with several queries, one with one: finite losses and gradients, for every parameter that it has."""
    for one in (only(given, 0), shuffled_rows(given, torch.tensor([1]), torch.tensor([1]))):
        model.zero_grad()
        total, parts = loss(model(one), one, 30)
        assert all(part.isfinite() for part in parts.values())
        torch.autograd.backward(total)
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def without_gradient(model: nn.Module, loss: Loss, given: Batch) -> list[str]:
    """Parameters that the loss does not reach."""
    model.zero_grad()
    torch.autograd.backward(loss(model(given), given, 0)[0])
    return [name for name, parameter in model.named_parameters() if parameter.grad is None]
