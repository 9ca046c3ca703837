from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from prvr.core.errors import IndexFolderError
from prvr.core.types import Bank
from prvr.index.base import Index, IndexHeader
from prvr.index.exact import ExactIndex
from tests.features.make import ColourEncoder


def header(*, width: int = 8, clip_weight: float = 0.4) -> IndexHeader:
    return IndexHeader(encoder=ColourEncoder().spec, model="m", width=width, clip_weight=clip_weight)


def bank(frames: int, clips: int, width: int = 8) -> Bank:
    tokens = torch.nn.functional.normalize(torch.randn(frames + clips, width), dim=1)
    return Bank(tokens, torch.rand(frames + clips, 2).sort(1).values, frames)


def filled(count: int = 12) -> ExactIndex:
    index = ExactIndex(header())
    for v in range(count):
        index.add(f"v{v:02}", bank(3 + v, 1 + v % 4), version=str(v))
    return index


def slow_scores(index: ExactIndex, query: Tensor) -> dict[str, float]:
    """The definition, one token at a time."""
    unit, weight = query / query.norm(), index.header.clip_weight
    scores = {}
    for video_id, one in index.banks.items():
        cosines = [float(token @ unit) for token in one.tokens]
        scores[video_id] = weight * max(cosines[one.num_frames :]) + (1 - weight) * max(cosines[: one.num_frames])
    return scores


def test_search_by_hand() -> None:
    index: Index = ExactIndex(header(width=2))
    index.add("east", Bank(torch.tensor([[1.0, 0.0], [0.8, 0.6]]), torch.zeros(2, 2), 1))
    index.add("north", Bank(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.zeros(2, 2), 1))
    first, second = index.search(torch.tensor([2.0, 0.0]), k=5)
    assert (first.video_id, second.video_id) == ("east", "north")
    assert first.score == pytest.approx(0.4 * 0.8 + 0.6 * 1.0)
    assert second.score == 0
    assert first.token_scores.tolist() == pytest.approx([1.0, 0.8])


def test_search_equals_the_slow_definition() -> None:
    index, query = filled(), torch.randn(8)
    want = slow_scores(index, query)
    found = index.search(query, k=99)
    assert [one.video_id for one in found] == sorted(want, key=lambda video_id: -want[video_id])
    for one in found:
        assert one.score == pytest.approx(want[one.video_id], abs=1e-6)
        torch.testing.assert_close(one.token_scores, one.bank.tokens @ (query / query.norm()))


def test_order_of_adding_changes_nothing_and_ties_go_by_id() -> None:
    same = bank(3, 2)
    one, other = ExactIndex(header()), ExactIndex(header())
    for video_id in "abc":
        one.add(video_id, same)
    for video_id in "cab":
        other.add(video_id, same)
    query = torch.randn(8)
    assert [hit.video_id for hit in one.search(query, k=3)] == ["a", "b", "c"]
    assert [hit.video_id for hit in other.search(query, k=3)] == ["a", "b", "c"]


def test_add_replaces_and_remove_forgets() -> None:
    index, query = filled(3), torch.randn(8)
    index.search(query, k=1)
    exact = Bank((query / query.norm())[None].repeat(2, 1), torch.zeros(2, 2), 1)
    index.add("v02", exact)
    assert len(index) == 3
    assert index.search(query, k=1)[0].video_id == "v02"
    index.remove("v02")
    index.remove("never there")
    assert [hit.video_id for hit in index.search(query, k=9)] != []
    assert len(index) == 2
    assert "v02" not in {hit.video_id for hit in index.search(query, k=9)}


@pytest.mark.parametrize("clip_weight", [0.0, 1.0])
def test_a_branch_of_no_weight_may_be_absent(clip_weight: float) -> None:
    index = ExactIndex(header(clip_weight=clip_weight))
    index.add("v", bank(4, 0) if clip_weight == 0 else bank(0, 4))
    (hit,) = index.search(torch.randn(8), k=1)
    assert hit.score == pytest.approx(float(hit.token_scores.max()))


@pytest.mark.parametrize("count", [0, 5])
def test_saved_is_the_same_when_opened(tmp_path: Path, count: int) -> None:
    index, query = filled(count), torch.randn(8)
    index.save(tmp_path)
    again = ExactIndex.open(tmp_path)
    assert again.header == index.header
    assert again.versions == index.versions
    assert len(again) == count
    for a, b in zip(index.search(query, k=9), again.search(query, k=9), strict=True):
        assert (a.video_id, a.score) == (b.video_id, b.score)
        torch.testing.assert_close(a.bank.spans, b.bank.spans, rtol=0, atol=0)


def test_a_save_that_fails_leaves_the_old_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(3).save(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(IndexFolderError, match="cannot be written .No space left on device.; free some space"):
            filled(5).save(tmp_path)
    assert len(ExactIndex.open(tmp_path)) == 3
    filled(5).save(tmp_path)
    assert len(ExactIndex.open(tmp_path)) == 5
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["no folder", "garbage table", "no vectors", "cut vectors", "version"])
def test_what_cannot_be_opened_says_what_to_do(tmp_path: Path, damage: str) -> None:
    filled(2).save(tmp_path)
    table, vectors = tmp_path / "index.json", next(tmp_path.glob("vectors-*"))
    match damage:
        case "no folder":
            table.unlink()
        case "garbage table":
            table.write_text("{")
        case "no vectors":
            vectors.unlink()
        case "cut vectors":
            vectors.write_bytes(vectors.read_bytes()[:-9])
        case "version":
            table.write_text(table.read_text().replace('"version": 1', '"version": 9'))
    with pytest.raises(IndexFolderError, match=r"prvr index PATH --index DIR"):
        ExactIndex.open(tmp_path)


def test_another_width_is_refused() -> None:
    with pytest.raises(IndexFolderError, match="v: vectors are 4 wide, the index holds 8"):
        filled(1).add("v", bank(1, 1, width=4))
