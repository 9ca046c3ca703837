from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from prvr.core.errors import IndexFolderError
from prvr.core.facts import Cue, Facts, Where
from prvr.core.types import Bank
from prvr.index.base import Index
from prvr.index.exact import ExactIndex
from tests.index.make import bank, header


def filled(count: int = 12) -> ExactIndex:
    index = ExactIndex(header())
    for v in range(count):
        index.add(f"v{v:02}", bank(3 + v, 1 + v % 4), version=str(v))
    return index


def slow_scores(index: ExactIndex, query: Tensor) -> dict[str, float]:
    """The definition, one token at a time."""
    unit, weight = query / query.norm(), index.header.clip_weight
    scores = {}
    for video_id, one, *_ in index.videos():
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
    ids, scores = index.score_all(torch.stack([query, -query]))
    assert scores.shape == (2, 12)
    assert scores[0].tolist() == pytest.approx([want[video_id] for video_id in ids], abs=1e-6)


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
    assert len(index) == 2
    assert {hit.video_id for hit in index.search(query, k=9)} == {"v00", "v01"}


def test_words_by_hand() -> None:
    """Of 5 passages `dog` is in 2, `pool` in 2, `cat` in none; a word tells log(1 + (5 - n + 1/2) / (n + 1/2))."""
    index = ExactIndex(header())
    index.add("beach.mp4", bank(1, 1), cues=[Cue(1, 2, "A dog!"), Cue(3, 4, "The Pool, a DOG")])
    index.add("Pöol.mp4", bank(1, 1), cues=[Cue(5, 6, "nothing of the kind")])
    both, name = index.words("the dog of a pool", k=5)
    assert (both.video_id, both.cues) == ("beach.mp4", (Cue(3, 4, "The Pool, a DOG"), Cue(1, 2, "A dog!")))
    assert (name.video_id, name.cues) == ("Pöol.mp4", ())
    assert [both.score, name.score] == pytest.approx([1, 0.5])
    (hit,) = index.words("dog cat", k=5)
    dog, cat = math.log1p(3.5 / 2.5), math.log1p(5.5 / 0.5)
    assert hit.score == pytest.approx(dog / (dog + cat)), "a word that nobody says counts against all"
    assert index.words("cat", k=5) == []
    assert index.words("the of a", k=5) == [], "function words decide nothing"


def test_of_equal_words_the_shorter_line_and_the_rarer_word_win() -> None:
    index = ExactIndex(header())
    index.add("a", bank(1, 1), cues=[Cue(1, 2, "there is a very long line about a dog and his many other friends")])
    index.add("b", bank(1, 1), cues=[Cue(1, 2, "a dog")])
    index.add("c", bank(1, 1), cues=[Cue(1, 2, "a ferret")])
    assert [hit.video_id for hit in index.words("dog", k=5)] == ["b", "a"]
    assert [hit.video_id for hit in index.words("dog ferret", k=5)] == ["c", "b", "a"]
    assert not any(hit.named for hit in index.words("ferret", k=5)), "among so few nothing is a name"
    for number in range(1000):
        index.add(f"x{number}", bank(1, 1))
    assert index.words("ferret", k=5)[0].named


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        (Where(), True),
        (Where(path="SUMMER"), True),
        (Where(path="summer"), True),
        (Where(path="*.mp4"), True),
        (Where(path="summer*"), False),
        (Where(path="a/*r/?.mp4"), True),
        (Where(after=100, before=101), True),
        (Where(before=100), False),
        (Where(longer_s=60), True),
        (Where(shorter_s=60), False),
        (Where(tags=("x",)), True),
        (Where(tags=("x", "z")), False),
        (Where(path="summer", tags=("z",)), False),
    ],
)
def test_filters_by_hand(where: Where, holds: bool) -> None:
    assert where.holds(Facts(path="A/Summer/1.mp4", duration_s=60, modified=100, tags=("x", "y"))) is holds


@pytest.mark.parametrize("clip_weight", [0.0, 1.0])
def test_a_branch_of_no_weight_may_be_absent(clip_weight: float) -> None:
    index = ExactIndex(header(clip_weight=clip_weight))
    index.add("v", bank(4, 0) if clip_weight == 0 else bank(0, 4))
    (hit,) = index.search(torch.randn(8), k=1)
    assert hit.score == pytest.approx(float(hit.token_scores.max()))


@pytest.mark.parametrize("count", [0, 5])
def test_saved_is_the_same_when_opened(tmp_path: Path, count: int) -> None:
    index = filled(count)
    index.put_note("a", "b")
    index.save(tmp_path)
    again = ExactIndex.open(tmp_path)
    assert (again.header, again.versions, again.note("a")) == (index.header, index.versions, "b")
    for (name, one, *rest), (same, other, *others) in zip(index.videos(), again.videos(), strict=True):
        assert (name, one.num_frames, rest) == (same, other.num_frames, others)
        assert torch.equal(one.tokens, other.tokens)
        assert torch.equal(one.spans, other.spans)


def test_another_width_is_refused() -> None:
    with pytest.raises(IndexFolderError, match="v: vectors are 4 wide, the index holds 8"):
        filled(1).add("v", bank(1, 1, width=4))
