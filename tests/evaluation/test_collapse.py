from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor

from prvr.evaluation.collapse import (
    Similarity,
    TokenStatistics,
    join_sums,
    query_sums,
    released_video_similarity,
    similarity,
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


@pytest.mark.parametrize("batch", [1, 7, 13, 60])
def test_a_library_in_batches_has_the_same_statistics(batch: int) -> None:
    """400 tokens are 12.5 videos, so the published chunks begin and end anywhere in a batch."""
    tokens = torch.randn(60, 40, 3, dtype=torch.float64)
    streamed = TokenStatistics()
    for part in torch.split(tokens, batch):
        streamed.add(part)
    whole = similarity(token_sums(tokens))
    assert whole is not None
    close(streamed.exact(), whole)
    released = released_video_similarity(tokens)
    assert released is not None
    close(streamed.released(), released)


def test_the_released_rule_knows_no_padding() -> None:
    tokens, valid = torch.randn(30, 40, 3), torch.ones(30, 40, dtype=torch.bool)
    statistics = TokenStatistics()
    assert statistics.exact() is None
    assert statistics.released() is None
    statistics.add(tokens, valid)
    assert statistics.released() is not None
    valid[3, 39] = False
    statistics.add(tokens, valid)
    assert statistics.released() is None
    close(
        statistics.exact(),
        similarity(join_sums([token_sums(tokens), token_sums(tokens, valid)])) or Similarity(intra=0, total=0),
    )
