from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from prvr.core.errors import ConfigError, FeatureError
from prvr.core.types import VideoFeatures
from prvr.core.vectors import unit_rows
from prvr.methods.msc.merging import LevelRule, connected_share, direct_share, merge_ladder, segment_clips
from prvr.methods.msc.prepare import MSCVideos, PrepareConfig, prepare_videos
from prvr.parts.sampling import average_positions, position_edges
from prvr.parts.videos import cat_videos
from tests.parts.make import video_features

SMALL = PrepareConfig(frames=16, schedule=(10, 6), levels=(6, 4, 2))


def prepared(video: VideoFeatures, config: PrepareConfig) -> MSCVideos:
    return prepare_videos([video], config)


@pytest.mark.parametrize("num_frames", [1, 3, 16, 50])
@pytest.mark.parametrize("clips", ["merged", "uniform"])
def test_shapes_and_invariants(num_frames: int, clips: Any) -> None:
    batch = prepared(video_features(torch.randn(num_frames, 5)), replace(SMALL, clips=clips))
    assert batch.frames.shape == (1, 16, 5)
    assert batch.clips.shape == (1, 6, 5)
    assert batch.frame_valid.all()
    torch.testing.assert_close(batch.frames.norm(dim=-1), torch.ones(1, 16), atol=1e-4, rtol=0)
    assert batch.slot[0].bincount(minlength=6).tolist() == batch.clip_size[0].tolist()
    assert batch.segment.shape == (1, 6)
    assert batch.frame_spans.shape == (1, 16, 2)
    assert batch.frame_spans.max() <= num_frames


def test_half_precision_is_that_of_the_published_packs() -> None:
    """Means, dot products and merged tokens are rounded to float16, as torch rounds them; what follows is not."""
    half = replace(SMALL, precision="fp16")
    torch.manual_seed(3)
    videos = [(10 + 0.2 * torch.randn(40, 64)).half() for _ in range(20)]  # much alike, so that roundings decide
    differ = 0
    for x in videos:
        batch, full = (prepared(video_features(x.float()), config) for config in (half, SMALL))
        edges = position_edges(len(x), 16).tolist()
        means = torch.stack([x[a:b].mean(0) if a < b else x[a] for a, b in pairwise(edges)])  # torch's own, in float16
        assert torch.equal(batch.frames[0], unit_rows(means).float())
        want = merge_ladder(means[None], SMALL.schedule)
        assert torch.equal(batch.slot, want.slot)
        assert torch.equal(batch.clips, unit_rows(want.tokens).float())
        assert {batch.frames.dtype, batch.clips.dtype, batch.clip_size.dtype} == {torch.float32}
        differ += not torch.equal(batch.slot, full.slot)
    assert differ
    with pytest.raises(ConfigError, match=r"prepare\.precision"):
        replace(SMALL, precision="fp8")  # type: ignore[arg-type]


def test_a_still_video_is_one_that_is_wholly_alike() -> None:
    batch = prepared(video_features(torch.ones(20, 5)), SMALL)
    assert int(batch.segment.max()) + 1 == 2
    lone = prepared(video_features(torch.ones(20, 5)), replace(SMALL, levels=(6,)))
    assert lone.segment.tolist() == [[0, 1, 2, 3, 4, 5]]


def test_merging_happens_before_normalising() -> None:
    features = torch.randn(16, 5) * torch.rand(16, 1) * 10
    batch = prepared(video_features(features), SMALL)
    for clip in range(6):
        mean = features[:15][(batch.slot[0] == clip)[:15]]  # position 15 is frame 15, used once
        if len(mean) and not (batch.slot[0] == clip)[15]:
            torch.testing.assert_close(batch.clips[0, clip], mean.mean(0) / (mean.mean(0).norm() + 1e-5))


def chain(num_frames: int = 15) -> torch.Tensor:
    """Each frame is like the next one, the ends are not alike: a slow turn."""
    angles = torch.arange(num_frames) * 0.15
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_neighbours_are_alike_by_product_or_by_cosine() -> None:
    features = torch.randn(40, 5) * (torch.rand(40, 1) * 9 + 1)
    config = PrepareConfig(frames=32, schedule=(24, 16, 10, 6), levels=(6, 4, 2))
    positions = average_positions(features, 32)[None]
    slots = []
    for alike in ("dot", "cosine"):
        batch = prepared(video_features(features), replace(config, merge_by=alike))
        merged = merge_ladder(positions, config.schedule, alike=alike)
        assert torch.equal(batch.slot, merged.slot)
        torch.testing.assert_close(batch.clips, unit_rows(merged.tokens))
        slots.append(batch.slot)
    assert not torch.equal(*slots)


def test_omega_counts_chains_or_pairs_alone() -> None:
    connected = prepared(video_features(chain()), replace(SMALL, similarity_threshold=0.9))
    direct = prepared(video_features(chain()), replace(SMALL, similarity_threshold=0.9, omega="direct"))
    assert torch.equal(connected.clips, direct.clips)
    share = direct_share(connected.clips, 0.9)
    assert float(connected_share(connected.clips, 0.9)) == 1
    assert 0.33 < float(share) < 0.66
    assert [int(batch.segment.max()) + 1 for batch in (connected, direct)] == [2, 4]


def test_the_rule_for_levels_and_the_pairing_are_handed_on() -> None:
    still = video_features(torch.ones(20, 5))
    rules: tuple[LevelRule, ...] = ("monotone", "alg3_literal", "text_literal")
    counts = [int(prepared(still, replace(SMALL, level_rule=rule)).segment.max()) + 1 for rule in rules]
    assert counts == [2, 4, 6]
    features = video_features(torch.randn(16, 3).abs())
    for pairing in ("one_to_one", "many_to_one"):
        config = replace(SMALL, similarity_threshold=-1.0, pairing=pairing)
        batch = prepared(features, config)
        number = torch.tensor([SMALL.levels[-1]])
        want = segment_clips(batch.clips, batch.clip_size, number, SMALL.levels, pairing=pairing)
        assert torch.equal(batch.segment, want)


def test_videos_of_different_length_are_padded() -> None:
    short = prepared(video_features(torch.randn(9, 5)), PrepareConfig(frames=8, schedule=(4,), levels=(4,)))
    long = prepared(video_features(torch.randn(9, 5)), SMALL)
    both = cat_videos([short, long, short])
    assert len(both) == 3
    assert both.frame_valid.sum(1).tolist() == [8, 16, 8]
    assert (both.clip_size > 0).sum(1).tolist() == [4, 6, 4]
    for name, value in vars(short).items():
        torch.testing.assert_close(getattr(both, name)[2, : value.shape[1]], value[0])
        assert not getattr(both, name)[0, value.shape[1] :].any()
    assert isinstance(both, MSCVideos)


def test_what_cannot_be() -> None:
    with pytest.raises(FeatureError, match="no frames"):
        prepared(video_features(torch.randn(0, 5)), SMALL)
    wide, narrow = (prepared(video_features(torch.randn(9, e)), SMALL) for e in (5, 6))
    with pytest.raises(FeatureError, match="5 and 6"):
        cat_videos([wide, narrow])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"schedule": (60, 32)}, "128 -> 60"),
        ({"schedule": (81, 52, 32)}, "81 -> 52"),
        ({"schedule": ()}, "at least one"),
        ({"levels": (20, 12)}, "begin with the number of clips"),
        ({"levels": (32, 12)}, "32 -> 12"),
        ({"similarity_threshold": 1.5}, "cosine"),
    ],
)
def test_settings_are_judged_at_birth(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PrepareConfig(**setting)
