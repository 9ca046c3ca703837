"""One script over every engine; the exact one is the judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest
import torch
from torch import Tensor

from prvr.core.errors import IndexFolderError
from prvr.core.facts import Where
from prvr.core.types import Candidate
from prvr.index import view
from prvr.index.base import Index, Video
from prvr.index.collection import CollectionForm
from prvr.index.embedded import EmbeddedIndex
from prvr.index.exact import ExactIndex
from prvr.index.qdrant import QdrantIndex
from prvr.index.segments import VectorForm
from tests.index.edge import EdgePoints
from tests.index.make import header, unit, video
from tests.index.wire import qdrant

WIDTH, COUNT = 32, 70
NEAR = {"int8": 8e-3}  # what whole numbers may change in a score
FLOAT16 = 1e-3  # and what float16 may
TEXTS = ("the dog", "Cafe NAIVE 犬", "one", "nothing of this", "", "007")
WHERES = (
    None,
    Where(),
    Where(path="holiday"),
    Where(path="h*/0[!12]?[[]x*"),
    Where(after=1e9 + 3600 * 20, before=1e9 + 3600 * 40),  # there are videos 020 and 040, right at the bounds
    Where(longer_s=30, shorter_s=50, tags=("even",)),
    Where(tags=("third", "even")),
    Where(tags=("no such",)),
)


def add(index: Index, one: Video) -> None:
    index.add(one.video_id, one.bank, version=one.version, facts=one.facts, cues=one.cues)


@pytest.fixture(params=["exact scan", "int8", "neighbours", "edge", "server", "server of three nodes"])
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    head = header(width=WIDTH)
    with ExitStack() as stack:
        match request.param:
            case "exact scan":
                index: AbstractContextManager[Index] = EmbeddedIndex.create(tmp_path / "x", head)
            case "int8":
                index = EmbeddedIndex.create(tmp_path / "x", head, form=VectorForm(tokens="int8"))
            case "neighbours":
                monkeypatch.setattr(view, "EXACT", 20)
                monkeypatch.setattr(view, "SHORTLIST", (40, 40))
                index = EmbeddedIndex.create(tmp_path / "x", head)
            case "edge":
                index = QdrantIndex(EdgePoints(tmp_path / "x", WIDTH), head)
            case "server":
                index = QdrantIndex.connect(stack.enter_context(qdrant(tmp_path / "x")).url(), head)
            case _:
                place = stack.enter_context(qdrant(tmp_path / "x", nodes=3)).url()
                form = CollectionForm(shards=6, replicas=2, quantised="int8")
                index = QdrantIndex.connect(place, head, form=form)
        yield stack.enter_context(index)


def test_every_engine_follows_the_exact_one(engine: Index, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    near = NEAR.get(request.node.callspec.params["engine"], FLOAT16)
    judge, topics = ExactIndex(header(width=WIDTH)), unit(12, WIDTH)
    queries = torch.nn.functional.normalize(topics[:2] + 0.5 * unit(2, WIDTH), dim=1)

    def both(change: Callable[[Index], None]) -> None:
        for index in (judge, engine):
            before = index.generation
            change(index)
            assert index.generation != before

    def agree() -> None:
        generation = engine.generation
        engine.search(queries[0], k=3)
        assert engine.generation == generation, "looking changes nothing"
        engine.save(tmp_path / "x")
        assert (len(engine), dict(engine.versions)) == (len(judge), dict(judge.versions))
        assert list(engine.all_facts().items()) == list(judge.all_facts().items())
        assert (list(engine.problems), list(judge.problems)) == ([], [])
        assert (engine.num_bytes > 0) == isinstance(engine, EmbeddedIndex)
        for where in WHERES:
            compare_scores(engine, judge, queries, where, near)
        for text, where in zip(TEXTS, WHERES, strict=False):
            assert engine.words(text, k=4, where=where) == judge.words(text, k=4, where=where), (text, where)

    agree()
    for v in range(COUNT):
        both(lambda index, v=v: add(index, video(v, topics)))  # type: ignore[misc]
    agree()
    for v in range(0, 40, 8):
        both(lambda index, v=v: add(index, video(v, topics.flip(0), seed=1)))  # type: ignore[misc]
    for v in range(5, COUNT, 9):
        both(lambda index, v=v: index.remove(f"{v:03}"))  # type: ignore[misc]
    both(lambda index: index.remove("never there"))
    agree()
    both(lambda index: index.put_tags({"001": ["a", "b"], "003": [], "no such": ["a"]}))
    both(lambda index: index.put_note("state", '{"a": "é"}'))
    both(lambda index: index.put_note("state", '{"b": 2}'))
    assert (engine.note("state"), engine.note("none")) == ('{"b": 2}', None)
    for index in (judge, engine):
        assert {name: index.facts(name) for name in judge.versions} == index.all_facts()
    with pytest.raises(IndexFolderError, match="005: no such video in the index"):
        engine.facts("005")
    with pytest.raises(IndexFolderError, match="005: no such video in the index"):
        engine.candidate(queries[0], "005")
    agree()


def compare_scores(engine: Index, judge: Index, queries: Tensor, where: Where | None, near: float) -> None:
    ids, want = judge.score_all(queries, where=where)
    got_ids, got = engine.score_all(queries, where=where)
    assert got_ids == ids
    torch.testing.assert_close(got, want, atol=near, rtol=0)
    for query, scores in zip(queries, want, strict=True):
        truth = dict(zip(ids, scores.tolist(), strict=True))
        found = engine.search(query, k=7, where=where)
        best = sorted(truth.values(), reverse=True)[:7]
        assert [truth[one.video_id] for one in found] == pytest.approx(best, abs=near), where
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
        for one in found[:2]:
            compare_candidates(one, judge.candidate(query, one.video_id), near)
            compare_candidates(engine.candidate(query, one.video_id), one, near)


def compare_candidates(got: Candidate, want: Candidate, near: float) -> None:
    assert (got.video_id, got.bank.num_frames) == (want.video_id, want.bank.num_frames)
    assert got.score == pytest.approx(want.score, abs=near)
    torch.testing.assert_close(got.token_scores, want.token_scores, atol=near, rtol=0)
    torch.testing.assert_close(got.bank.tokens, want.bank.tokens, atol=near, rtol=0)
    torch.testing.assert_close(got.bank.spans, want.bank.spans, atol=0, rtol=0)
