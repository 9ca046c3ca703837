"""A whole objective with the pool that is published: which negatives it takes, before and after they become hard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.core.types import Batch, Loss
from prvr.methods.gmmformer import loss as gmmformer_loss
from prvr.methods.gmmformer.network import GMMFormer
from prvr.methods.msc import loss as msc_loss
from prvr.methods.msc.network import MSC
from prvr.methods.msc.prepare import PrepareConfig
from prvr.parts.uniform import UniformConfig
from tests.methods import family, make, test_gmmformer

VIDEOS, QUERIES, POOL, HARD_FROM, MARGIN = 26, 40, 20, 3, 0.2


@dataclass(frozen=True)
class Learned:
    """What is compared, all that this file knows of how a step is made."""

    triplets: dict[str, Tensor]  # by branch, as the objective of one step has them
    cosine: dict[str, Tensor]  # (Q, V) by branch, a query and a video at a time
    own: Tensor  # (Q,) the video of each query


def msc(epoch: int) -> Learned:
    model = make.network()
    loss = msc_loss.LossConfig(hard_from_epoch=HARD_FROM, hard_pool=POOL)
    settings = msc_loss.MSCSettings(model=model.config, prepare=PrepareConfig(), loss=loss)
    batch = make.batch(VIDEOS, QUERIES)
    return learned(model, batch, msc_loss.objective(settings)(model.embed(batch), batch, epoch))


def gmmformer(epoch: int) -> Learned:
    model = family.roused(GMMFormer(test_gmmformer.SMALL))
    loss = gmmformer_loss.GMMFormerLoss(hard_from_epoch=HARD_FROM, hard_pool=POOL)
    settings = gmmformer_loss.Settings(model=model.config, prepare=UniformConfig(), loss=loss)
    batch = family.batch([3 + v % 9 for v in range(VIDEOS)], QUERIES)
    return learned(model, batch, gmmformer_loss.objective(settings)(model.embed(batch), batch, epoch))


def learned(model: MSC | GMMFormer, batch: Batch[Any], loss: Loss) -> Learned:
    query, video = model.encode_queries(batch.queries), model.encode_videos(batch.videos)
    branches = {"frame": (video.frames, video.frame_valid), "clip": (video.clips, video.clip_valid)}
    cosine = {
        name: torch.stack(
            [
                torch.stack([F.cosine_similarity(q, x[there], dim=1).max() for x, there in zip(*tokens, strict=True)])
                for q in query
            ]
        )
        for name, tokens in branches.items()
    }
    return Learned({name: loss.terms[f"triplet_{name}"] for name in branches}, cosine, batch.video_of_query)


def loop(cosine: Tensor, own: Tensor, draws: Tensor, *, hard: bool) -> float:
    """Both directions, a query and a video at a time: of the first `POOL` negatives, or of all, the drawn one."""

    def hinge(right: float, wrong: list[float], draw: float, most: int) -> float:
        best_first = sorted(wrong, reverse=True)[:most]
        return max(0.0, MARGIN + best_first[int(draw * len(best_first))] - right)

    table, video_of = cosine.tolist(), own.tolist()
    queries, videos = [], []
    for q, row in enumerate(table):
        wrong = [score for v, score in enumerate(row) if v != video_of[q]]
        queries.append(hinge(row[video_of[q]], wrong, float(draws[q]), POOL if hard else len(wrong)))
    for v in range(VIDEOS):
        mine = [row[v] for q, row in enumerate(table) if video_of[q] == v]
        others = [row[v] for q, row in enumerate(table) if video_of[q] != v]
        videos.append(hinge(sum(mine) / len(mine), others, float(draws[v]), 1 if hard else len(others)))
    return sum(queries) / QUERIES + sum(videos) / VIDEOS


@pytest.mark.parametrize("make_learned", [msc, gmmformer])
@pytest.mark.parametrize("epoch", [HARD_FROM - 1, HARD_FROM])
def test_a_query_draws_from_the_pool_and_a_video_takes_the_hardest(
    make_learned: Callable[[int], Learned], epoch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = torch.rand(max(QUERIES, VIDEOS))
    assert int((draws * POOL).int().count_nonzero()) > QUERIES / 2, "most draws must not be of the hardest"
    with monkeypatch.context() as patch:
        patch.setattr(torch, "rand", lambda rows, **_: draws[:rows])
        found = make_learned(epoch)
    for name, value in found.triplets.items():
        want = loop(found.cosine[name], found.own, draws, hard=epoch >= HARD_FROM)
        assert float(value) == pytest.approx(want, rel=1e-5), name
