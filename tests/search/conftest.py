"""A library that is large enough to be calibrated: the first videos of a generated world, without files."""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

import pytest
import torch

from prvr.core.types import Bank, Query
from prvr.data.world import iter_world, world_queries
from prvr.encoders.world import WorldEncoder, load_world_encoder
from prvr.parts.sampling import frame_spans

VIDEOS = 48


class Made(NamedTuple):
    """Videos as the bare encoder sees them, and what is true of them."""

    encoder: WorldEncoder
    banks: dict[str, Bank]
    durations: dict[str, float]
    queries: dict[str, list[Query]]  # of each video, in order of time


@pytest.fixture(scope="session")
def made() -> Made:
    encoder = load_world_encoder()
    banks, durations = {}, {}
    for video in islice(iter_world("demo", 0), VIDEOS):
        features = encoder.encode_images(encoder.prepare(video.frames))
        tokens = torch.nn.functional.normalize(features, dim=1)
        banks[video.video_id] = Bank(tokens, frame_spans(video.times, video.duration_s).float(), len(tokens))
        durations[video.video_id] = video.duration_s
    queries: dict[str, list[Query]] = {video_id: [] for video_id in banks}
    for query in (query for split in ("train", "val", "test") for query in world_queries("demo", 0, split)):
        if query.video_id in queries:
            queries[query.video_id].append(query)
    return Made(encoder, banks, durations, queries)
