from __future__ import annotations

import pytest
import torch

from prvr.nn.merging import (
    connected_share,
    direct_share,
    level_of,
    merge_bipartite,
    merge_ladder,
    merge_neighbours,
    segment_clips,
)
from tests.nn.slow import loop_bipartite, loop_connected_share, loop_merge

LEVELS = (32, 20, 12, 8, 5)


def test_neighbours_by_hand() -> None:
    x = torch.tensor([[[1.0], [1.0], [2.0], [4.0], [3.0], [0.0]]])  # alike: 1, 8, 0
    merged = merge_neighbours(x, torch.tensor([[1.0, 1.0, 3.0, 1.0, 1.0, 1.0]]), 1, metric=x)
    assert merged.tokens.flatten().tolist() == [1, 1, 2.5, 3, 0]
    assert merged.size.tolist() == [[1, 1, 4, 1, 1]]
    assert merged.slot.tolist() == [[0, 1, 2, 2, 3, 4]]


def test_ties_go_to_the_lowest_pair() -> None:
    x = torch.ones(2, 64, 3)
    assert (
        merge_neighbours(x, x[..., 0], 5, metric=x).slot[:, :12].tolist() == [[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6]] * 2
    )


@pytest.mark.parametrize("drop", [1, 5, 16])
def test_neighbours_equal_the_loop(drop: int) -> None:
    x, size = torch.randn(4, 32, 8), torch.randint(1, 5, (4, 32)).float()
    got = merge_neighbours(x, size, drop, metric=x)
    for v in range(4):
        for one, want in zip(got, loop_merge(x[v], size[v], drop), strict=True):
            torch.testing.assert_close(one[v], want)


def test_the_ladder_keeps_order_and_counts_every_position() -> None:
    x = torch.randn(3, 128, 6)
    merged = merge_ladder(x, (80, 52, 32))
    assert merged.tokens.shape == (3, 32, 6)
    assert (merged.slot.diff(dim=1) >= 0).all()
    for v in range(3):
        assert merged.slot[v].bincount().tolist() == merged.size[v].tolist()
        for clip in range(32):
            torch.testing.assert_close(merged.tokens[v, clip], x[v][merged.slot[v] == clip].mean(0))
    assert merged.size.max() <= 8
    assert torch.equal(merge_ladder(x.flip(0), (80, 52, 32)).slot.flip(0), merged.slot)


def test_connected_by_hand() -> None:
    angles = torch.tensor([0.0, 0.5, 1.0, 3.0])  # a chain of three, and one apart
    clips = torch.stack([angles.cos(), angles.sin()], dim=1)[None]
    assert float(connected_share(clips, 0.8)) == 0.5  # 6 of 12 ordered pairs
    assert float(direct_share(clips, 0.8)) == pytest.approx(4 / 12)  # the chain's ends are not alike themselves
    assert float(connected_share(clips[:, :1], 0.8)) == 0


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_connected_equals_the_flood(threshold: float) -> None:
    clips = torch.randn(6, 32, 5) * 0.5 + torch.randn(6, 1, 5)
    want = [loop_connected_share(one, threshold) for one in clips]
    assert connected_share(clips, threshold).tolist() == pytest.approx(want)


def test_a_chain_as_long_as_the_video_is_followed_to_its_end() -> None:
    angles = torch.arange(32) * 0.1
    clips = torch.stack([angles.cos(), angles.sin()], dim=1)[None]
    assert float(connected_share(clips, 0.99)) == 1


def test_levels_by_hand() -> None:
    omega = torch.tensor([0.0, 0.19, 0.2, 0.41, 0.6, 0.79, 0.81, 1.0])
    assert level_of(omega, LEVELS).tolist() == [32, 32, 20, 12, 8, 8, 5, 5]
    assert level_of(omega, (32,)).tolist() == [32] * 8


def test_bipartite_by_hand() -> None:
    x = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [2.0, 0.1]]])  # 0 and 3 nearly, 2 and 1 quite alike
    merged = merge_bipartite(x, torch.tensor([[1.0, 1.0, 3.0, 1.0]]), 2)
    assert merged.slot.tolist() == [[0, 1, 1, 0]]
    torch.testing.assert_close(merged.tokens, torch.tensor([[[1.5, 0.05], [0.0, 1.75]]]))
    assert merged.size.tolist() == [[2, 4]]
    equal = torch.ones(1, 6, 2)
    assert merge_bipartite(equal, equal[..., 0], 4).slot.tolist() == [[0, 0, 1, 1, 2, 3]]  # ties: lowest first


@pytest.mark.parametrize(("before", "after"), [(32, 20), (20, 12), (8, 5), (7, 5)])
def test_bipartite_equals_the_loop(before: int, after: int) -> None:
    x, size = torch.randn(5, before, 6), torch.randint(1, 9, (5, before)).float()
    merged = merge_bipartite(x, size, after)
    for v in range(5):
        for place, members in enumerate(loop_bipartite(x[v], size[v], after)):
            assert (merged.slot[v] == place).nonzero().flatten().tolist() == sorted(members)
            weight = size[v][members]
            torch.testing.assert_close(merged.tokens[v, place], (x[v][members] * weight[:, None]).sum(0) / weight.sum())


def test_segments_stop_at_each_videos_own_level() -> None:
    clips, size = torch.randn(6, 32, 7), torch.randint(1, 9, (6, 32)).float()
    number = torch.tensor([32, 20, 12, 8, 5, 20])
    segment = segment_clips(clips, size, number, LEVELS)
    for v, count in enumerate(number.tolist()):
        assert sorted(set(segment[v].tolist())) == list(range(count))
        alone = segment_clips(clips[v : v + 1], size[v : v + 1], number[v : v + 1], LEVELS)
        assert torch.equal(alone[0], segment[v])
    assert segment[0].tolist() == list(range(32))
    x, total = clips[3:4], size[3:4]
    reached = torch.arange(32)[None]
    for target in LEVELS[1:4]:
        x, total, slot = merge_bipartite(x, total, target)
        reached = slot.gather(1, reached)
    assert torch.equal(segment[3], reached[0])
