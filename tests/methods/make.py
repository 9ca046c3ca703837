"""Made-up batches for tests."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from prvr.core.types import Batch, QueryBatch
from prvr.methods.msc.loss import MSCSeen, see
from prvr.methods.msc.network import MSC, MSCConfig
from prvr.methods.msc.prepare import MSCVideos
from tests.methods.family import roused

SMALL = MSCConfig(
    video_width=10, text_width=6, hidden=16, heads=2, max_words=7, frames=12, clips=5, input_dropout=0.0, dropout=0.0
)


def network(config: MSCConfig = SMALL) -> MSC:
    """With weights large enough that every part of it matters."""
    torch.manual_seed(4)
    return roused(MSC(config))


def seen(model: MSC, given: Batch[MSCVideos]) -> MSCSeen:
    """What its loss reads of a batch."""
    return see(model.embed(given), given, 0)


def video_batch(count: int = 4, *, config: MSCConfig = SMALL) -> MSCVideos:
    """Clips of random size, neighbours merged; every video full."""
    t, c = config.frames, config.clips
    cuts = torch.stack([torch.randperm(t - 1)[: c - 1].sort().values + 1 for _ in range(count)])  # (V, C-1)
    slot = (torch.arange(t)[None, :, None] >= cuts[:, None]).sum(2)
    return MSCVideos(
        frames=F.normalize(torch.randn(count, t, config.video_width), dim=-1),
        frame_valid=torch.ones(count, t, dtype=torch.bool),
        clips=F.normalize(torch.randn(count, c, config.video_width), dim=-1),
        clip_size=F.one_hot(slot, c).sum(1).float(),
        slot=slot,
        segment=torch.tensor([0, 0, 1, 2, 2]).expand(count, c),
        frame_spans=torch.zeros(count, t, 2),
    )


def query_batch(count: int = 9, *, words: int = 5, config: MSCConfig = SMALL) -> QueryBatch:
    """Queries of 1 to `words` words."""
    lengths = torch.arange(count) % words + 1
    valid = torch.arange(words) < lengths[:, None]
    features = F.normalize(torch.randn(count, words, config.text_width), dim=-1) * valid[..., None]
    return QueryBatch(words=features, valid=valid, sentence=features[torch.arange(count), lengths - 1])


def batch(videos: int = 4, queries: int = 9, *, config: MSCConfig = SMALL) -> Batch[MSCVideos]:
    """Each video with at least one query."""
    return Batch(
        videos=video_batch(videos, config=config),
        queries=query_batch(queries, config=config),
        video_of_query=torch.arange(queries) % videos,
    )
