from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from torch import Tensor

from prvr.evaluation.collapse import (
    Similarity,
    average_ranks,
    cosine_matrix,
    join_sums,
    query_sums,
    released_video_similarity,
    similarity,
    spearman,
    token_sums,
)


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def all_with_all(groups: list[Tensor]) -> Similarity:
    """Every pair, one at a time."""
    within = [mean([cosine(a, b) for a, b in combinations(group, 2)]) for group in groups if len(group) > 1]
    everything = [vector for group in groups for vector in group]
    return Similarity(intra=mean(within), total=mean([cosine(a, b) for a, b in combinations(everything, 2)]))


def close(found: Similarity | None, want: Similarity, *, rel: float = 1e-9) -> None:
    assert found is not None
    assert (found.intra, found.total) == pytest.approx((want.intra, want.total), rel=rel, abs=1e-9)


def test_queries_by_hand() -> None:
    """Video 0 has two equal queries of different lengths, video 1 two at a right angle, video 2 a single one."""
    queries = torch.tensor([[2.0, 0.0], [0.0, 1.0], [5.0, 0.0], [3.0, 0.0], [0.0, 7.0]])
    found = similarity(query_sums(queries, torch.tensor([0, 1, 0, 1, 2]), 3))
    close(found, Similarity(intra=(1 + 0) / 2, total=(3 + 1) / 10))
    assert found is not None
    assert found.difference == pytest.approx(0.1 / 0.9)


def test_queries_equal_the_loop() -> None:
    queries = torch.randn(9, 5, dtype=torch.float64)
    video = torch.tensor([3, 0, 0, 3, 1, 3, 4, 4, 0])  # video 2 has none, video 1 one
    close(similarity(query_sums(queries, video, 5)), all_with_all([queries[video == v] for v in range(5)]))


def test_tokens_equal_the_loop_and_padding_changes_nothing() -> None:
    tokens = torch.randn(70, 4, 3, dtype=torch.float64)
    valid = torch.rand(70, 4) < 0.7
    found = similarity(token_sums(tokens, valid))
    close(found, all_with_all([video[mask] for video, mask in zip(tokens, valid, strict=True)]))
    padded = torch.cat([tokens, torch.full((70, 1, 3), 9.0), torch.full((70, 1, 3), torch.nan)], 1)
    more = torch.cat([valid, torch.zeros(70, 2, dtype=torch.bool)], 1)
    assert found is not None
    close(similarity(token_sums(padded, more)), found)
    pieces = [token_sums(t, v) for t, v in zip(torch.split(tokens, 33), torch.split(valid, 33), strict=True)]
    close(similarity(join_sums(pieces)), found)


def test_a_zero_vector_is_like_nothing() -> None:
    tokens = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]]])
    close(similarity(token_sums(tokens)), Similarity(intra=1 / 3, total=1 / 3))


def test_the_released_rule_equals_all_with_all() -> None:
    tokens = torch.randn(30, 40, 3, dtype=torch.float64)
    unit = tokens / tokens.norm(dim=-1, keepdim=True)
    flat = unit[:, :32].reshape(-1, 3)
    chunk = torch.arange(len(flat)) // 400
    apart = chunk[:, None] != chunk[None, :]
    within = torch.einsum("vnd,vmd->vnm", unit, unit)
    off = ~torch.eye(40, dtype=torch.bool)
    want = Similarity(intra=float(within[:, off].mean()), total=float((flat @ flat.T)[apart].mean()))
    close(released_video_similarity(tokens), want)


def test_what_is_not_defined_is_none() -> None:
    assert similarity(query_sums(torch.randn(2, 3), torch.tensor([0, 1]), 2)) is None
    assert released_video_similarity(torch.randn(12, 32, 3)) is None  # one chunk: no pair is left
    assert released_video_similarity(torch.randn(13, 32, 3)) is not None
    assert spearman(torch.ones(4, 4), torch.randn(4, 4)) is None
    assert spearman(torch.eye(2), torch.eye(2)) is None


def test_ranks_share_their_places() -> None:
    assert average_ranks(torch.tensor([0.3, 0.1, 0.3, 0.2, 0.3])).tolist() == [4, 1, 4, 2, 4]
    assert average_ranks(torch.tensor([])).tolist() == []


def slow_spearman(a: list[float], b: list[float]) -> float:
    def places(values: list[float]) -> list[float]:
        return [mean([i for i, other in enumerate(sorted(values), 1) if other == value]) for value in values]

    x, y = places(a), places(b)
    x, y = [value - mean(x) for value in x], [value - mean(y) for value in y]
    return sum(p * q for p, q in zip(x, y, strict=True)) / math.sqrt(sum(p * p for p in x) * sum(q * q for q in y))


def symmetric(values: Tensor) -> Tensor:
    return values.triu(1) + values.triu(1).T


def test_spearman_by_hand() -> None:
    """Pairs (0,1), (0,2), (1,2) are ranked 1, 2, 3 here and 1, 3, 2 there: 1 - 6 (0 + 1 + 1) / (3 · 8)."""
    ours = symmetric(torch.tensor([[0, 0.1, 0.2], [0, 0, 0.3], [0, 0, 0]]))
    theirs = symmetric(torch.tensor([[0, -9.0, 4], [0, 0, 2], [0, 0, 0]]))
    assert spearman(ours, theirs) == pytest.approx(0.5)
    assert spearman(ours, ours.exp()) == pytest.approx(1)
    assert spearman(ours, -ours) == pytest.approx(-1)


def test_spearman_equals_the_loop_ties_included() -> None:
    ours, theirs = (symmetric(torch.randint(0, 5, (9, 9)).double()) for _ in range(2))
    pairs = list(combinations(range(9), 2))
    a, b = ([float(m[i, j]) for i, j in pairs] for m in (ours, theirs))
    assert spearman(ours, theirs) == pytest.approx(slow_spearman(a, b), abs=1e-12)
    order = torch.randperm(9)
    assert spearman(ours[order][:, order], theirs[order][:, order]) == pytest.approx(slow_spearman(a, b), abs=1e-12)


def test_cosines_are_of_directions() -> None:
    vectors = torch.tensor([[3.0, 4.0], [-6.0, -8.0], [0.0, 1.0]])
    want = torch.tensor([[1.0, -1.0, 0.8], [-1.0, 1.0, -0.8], [0.8, -0.8, 1.0]])
    torch.testing.assert_close(cosine_matrix(vectors), want)
