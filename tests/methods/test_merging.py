from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prvr.methods.msc.merging import (
    LevelRule,
    Pairing,
    connected_share,
    direct_share,
    level_of,
    merge_bipartite,
    merge_ladder,
    merge_neighbours,
    merge_steps,
    segment_clips,
)
from tests.parts.slow import loop_bipartite, loop_connected_share, loop_merge

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


def test_by_cosine_the_lengths_of_vectors_do_not_decide() -> None:
    x = torch.tensor([[[1.0, 0.0], [1.0, 0.1], [9.0, 0.0], [9.0, 9.0]]])  # products 1 and 81, cosines 0.995 and 0.707
    assert merge_ladder(x, (3,)).slot.tolist() == [[0, 1, 2, 2]]
    assert merge_ladder(x, (3,), alike="cosine").slot.tolist() == [[0, 0, 1, 2]]
    many = torch.randn(3, 64, 6)
    lengths = torch.rand(3, 64, 1) + 0.5
    first, scaled = (merge_ladder(given, (40,), alike="cosine").slot for given in (many, many * lengths))
    assert torch.equal(first, scaled)
    assert not torch.equal(merge_ladder(many, (40,)).slot, merge_ladder(many * lengths, (40,)).slot)


def test_the_ladder_by_cosine_equals_the_loop() -> None:
    x = torch.randn(2, 32, 5)
    merged = merge_ladder(x, (20, 14), alike="cosine")
    for v in range(2):
        tokens, groups = list(x[v]), [[i] for i in range(32)]
        for target in (20, 14):
            tokens, groups = loop_cosine_step(tokens, groups, len(tokens) - target)
        torch.testing.assert_close(merged.tokens[v], torch.stack(tokens))
        assert merged.size[v].tolist() == [len(group) for group in groups]


def loop_cosine_step(tokens: list[Tensor], groups: list[list[int]], drop: int) -> tuple[list[Tensor], list[list[int]]]:
    pairs = [(-float(F.cosine_similarity(tokens[i], tokens[i + 1], dim=0)), i) for i in range(0, len(tokens), 2)]
    chosen = {i for _, i in sorted(pairs)[:drop]}
    out: list[tuple[Tensor, list[int]]] = []
    for i, (token, group) in enumerate(zip(tokens, groups, strict=True)):
        if i - 1 in chosen:
            before, members = out[-1]
            total = len(members) + len(group)
            out[-1] = (before * len(members) + token * len(group)) / total, members + group
        else:
            out.append((token, group))
    return [token for token, _ in out], [group for _, group in out]


def test_steps_at_a_rate_by_hand() -> None:
    assert merge_steps(128, 32, 75) == (80, 50, 32)  # the paper's Eq. 9; 52 was released in place of 50
    assert merge_steps(128, 32, 50) == (96, 72, 54, 40, 32)
    assert merge_steps(32, 5, 75) == (20, 12, 8, 6, 5)
    assert merge_steps(32, 32, 75) == ()
    assert merge_steps(10, 2, 10) == ()  # a step that would change nothing ends it


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
    cosines = [[float(F.cosine_similarity(a, b, dim=0)) > threshold for a in one for b in one] for one in clips]
    assert direct_share(clips, threshold).tolist() == pytest.approx([(sum(row) - 32) / 992 for row in cosines])


def test_a_chain_as_long_as_the_video_is_followed_to_its_end() -> None:
    angles = torch.arange(32) * 0.1
    clips = torch.stack([angles.cos(), angles.sin()], dim=1)[None]
    assert float(connected_share(clips, 0.99)) == 1


def test_levels_by_hand() -> None:
    omega = torch.tensor([0.0, 0.19, 0.2, 0.41, 0.6, 0.79, 0.81, 1.0])
    assert level_of(omega, LEVELS).tolist() == [32, 32, 20, 12, 8, 8, 5, 5]
    assert level_of(omega, (32,)).tolist() == [32] * 8


def loop_level(omega: float, count: int, rule: LevelRule) -> int:
    """k from 1, as the paper words each rule."""
    if rule == "monotone":
        return min(count, math.floor(count * omega) + 1)
    passing = [k for k in range(1, count + 1) if omega > (count - k) / count]
    if rule == "text_literal":
        return passing[0] if passing else 1
    return 1 if omega <= 1 - 1 / count else next(k for k in passing if k > 1)


@pytest.mark.parametrize("rule", ["monotone", "text_literal", "alg3_literal"])
@pytest.mark.parametrize("levels", [LEVELS, (32, 20, 12, 8, 6, 5), (32, 16)])
def test_level_rules_equal_their_wording(rule: LevelRule, levels: tuple[int, ...]) -> None:
    shares = [*torch.rand(40).tolist(), 0.0, 0.01, 0.5, 0.99, 1.0]
    found = level_of(torch.tensor(shares), levels, rule=rule).tolist()
    assert found == [levels[loop_level(omega, len(levels), rule) - 1] for omega in shares]


def test_the_literal_rules_say_the_opposite_and_nearly_nothing() -> None:
    omega = torch.tensor([0.0, 0.05, 0.5, 0.81, 1.0])
    assert level_of(omega, LEVELS, rule="text_literal").tolist() == [32, 5, 12, 32, 32]
    assert level_of(omega, LEVELS, rule="alg3_literal").tolist() == [32, 32, 32, 20, 20]
    for rule in ("text_literal", "alg3_literal"):
        assert level_of(omega, (32,), rule=rule).tolist() == [32] * 5


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


def test_several_may_join_one_by_hand() -> None:
    x = torch.tensor([[[1.0, 0.0], [1.0, 0.1], [1.0, -0.2], [0.0, 1.0], [0.1, 1.0]]])  # 0 and 2 like 1 best, 4 likes 3
    size = torch.tensor([[1.0, 2.0, 1.0, 1.0, 1.0]])
    merged = merge_bipartite(x, size, 2, pairing="many_to_one")
    assert merged.slot.tolist() == [[0, 0, 0, 1, 1]]
    torch.testing.assert_close(merged.tokens, torch.tensor([[[1.0, 0.0], [0.05, 1.0]]]))
    assert merged.size.tolist() == [[4, 2]]
    equal = torch.ones(1, 6, 2)
    assert merge_bipartite(equal, equal[..., 0], 4, pairing="many_to_one").slot.tolist() == [[0, 0, 0, 1, 2, 3]]


def loop_join(x: Tensor, target: int) -> list[int]:
    """Where each token of one video goes when even ones join their best odd one (ToMe), in the order of time."""
    best: dict[int, tuple[float, int]] = {}
    for a in range(0, len(x), 2):
        sims = [(float(F.cosine_similarity(x[a], x[b], dim=0)), b) for b in range(1, len(x), 2)]
        best[a] = max(sims, key=lambda pair: (pair[0], -pair[1]))
    joins = sorted(best, key=lambda a: (-best[a][0], a))[: len(x) - target]
    goes_to = [best[i][1] if i in joins else i for i in range(len(x))]
    left = sorted(set(goes_to))
    return [left.index(place) for place in goes_to]


@pytest.mark.parametrize(("before", "after"), [(32, 20), (20, 12), (8, 6), (6, 5), (7, 5)])
def test_joining_equals_the_loop(before: int, after: int) -> None:
    x, size = torch.randn(5, before, 6), torch.randint(1, 9, (5, before)).float()
    merged = merge_bipartite(x, size, after, pairing="many_to_one")
    for v in range(5):
        slot = loop_join(x[v], after)
        assert merged.slot[v].tolist() == slot
        for place in range(after):
            members = torch.tensor(slot) == place
            weight = size[v][members]
            torch.testing.assert_close(merged.tokens[v, place], (x[v][members] * weight[:, None]).sum(0) / weight.sum())


@pytest.mark.parametrize("pairing", ["one_to_one", "many_to_one"])
def test_segments_stop_at_each_videos_own_level(pairing: Pairing) -> None:
    clips, size = torch.randn(6, 32, 7), torch.randint(1, 9, (6, 32)).float()
    number = torch.tensor([32, 20, 12, 8, 5, 20])
    segment = segment_clips(clips, size, number, LEVELS, pairing=pairing)
    for v, count in enumerate(number.tolist()):
        assert sorted(set(segment[v].tolist())) == list(range(count))
        one = slice(v, v + 1)
        alone = segment_clips(clips[one], size[one], number[one], LEVELS, pairing=pairing)
        assert torch.equal(alone[0], segment[v])
    assert segment[0].tolist() == list(range(32))
    x, total = clips[3:4], size[3:4]
    reached = torch.arange(32)[None]
    for target in LEVELS[1:4]:
        x, total, slot = merge_bipartite(x, total, target, pairing=pairing)
        reached = slot.gather(1, reached)
    assert torch.equal(segment[3], reached[0])
