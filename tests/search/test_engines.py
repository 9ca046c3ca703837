"""The same library in every engine: whatever is asked, the answer is the exact engine's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from prvr.core.facts import Cue, Facts
from prvr.core.types import Bank
from prvr.index.base import ZERO_SHOT, Index, IndexHeader
from prvr.index.collection import CollectionForm
from prvr.index.copying import copy_index
from prvr.index.embedded import EmbeddedIndex
from prvr.index.exact import ExactIndex
from prvr.index.opening import OpenIndex
from prvr.index.qdrant import QdrantIndex
from prvr.ranker.ranker import zero_shot
from prvr.search.calibration import CalibrationState
from prvr.search.engine import SearchEngine
from tests.index.edge import EdgePoints
from tests.index.wire import qdrant
from tests.search.conftest import Made

COPIES = 4  # of the videos are there twice
QUERIES = (
    "a red ball bounces",
    "a star -heart",
    "a red ball then a blue star within 20s",
    "a ring then a heart then a star",
    "a blue square path:holiday",
    "a green heart tag:third longer:20",
    "a red ball -star path:work",
    "pickled herring, they say",
    'said:"pickled herring"',
    "xqzzv brrrt",
)


def with_clips(bank: Bank) -> Bank:
    """Frames, then clips of four of them each, all in half precision, so that every engine keeps the same numbers."""
    frames = bank.tokens
    parts = [frames[at : at + 4] for at in range(0, len(frames), 4)]
    clips = torch.nn.functional.normalize(torch.stack([part.mean(0) for part in parts]), dim=1)
    ends = torch.tensor([len(part) for part in parts]).cumsum(0)
    spans = torch.stack([torch.cat([bank.spans[:1, 0], bank.spans[ends[:-1] - 1, 1]]), bank.spans[ends - 1, 1]], 1)
    tokens = torch.cat([frames, clips]).half().float()
    return Bank(tokens, torch.cat([bank.spans, spans]), len(frames))


def engine_of(index: Index, made: Made) -> SearchEngine:
    return SearchEngine(index, Path("/library/.prvr"), made.encoder, zero_shot(made.encoder.spec))


@pytest.fixture(scope="module")
def judge(made: Made) -> SearchEngine:
    """The exact engine, whose answers are the right ones."""
    width = next(iter(made.banks.values())).tokens.shape[1]
    index = ExactIndex(IndexHeader(encoder=made.encoder.spec, model=ZERO_SHOT, width=width, clip_weight=0.4))
    for number, (video_id, bank) in enumerate(made.banks.items()):
        facts = Facts(
            path=f"{'holiday' if number % 2 else 'work'}/{video_id}",
            duration_s=made.durations[video_id],
            modified=1e9 + number,
            tags=("third",) if number % 3 == 0 else (),
        )
        cues = (Cue(1.0, 3.0, "Pickled herring, they say"),) if number == 7 else ()
        index.add(video_id, with_clips(bank), version="1", facts=facts, cues=cues)
        if number < COPIES:
            later = Bank(bank.tokens[2:], bank.spans[2:] - bank.spans[2, 0], len(bank.tokens) - 2)
            index.add(f"copy of {video_id}", with_clips(later), version="1", facts=facts)
    engine = engine_of(index, made)
    assert engine.calibrate([query.text for queries in made.queries.values() for query in queries][:40]).enough
    return engine


@pytest.fixture(params=["embedded", "edge", "server of three nodes"])
def other(request: pytest.FixtureRequest, judge: SearchEngine, made: Made, tmp_path: Path) -> Iterator[SearchEngine]:
    head = judge.index.header
    with ExitStack() as stack:
        index: OpenIndex
        match request.param:
            case "embedded":
                index = EmbeddedIndex.create(tmp_path / "x", head)
            case "edge":
                index = QdrantIndex(EdgePoints(tmp_path / "x", head.width), head)
            case _:
                place = stack.enter_context(qdrant(tmp_path / "x", nodes=3)).url()
                index = QdrantIndex.connect(place, head, form=CollectionForm(shards=3, replicas=2))
        stack.enter_context(index)
        done = copy_index(judge.index, index, place=tmp_path / "x")
        assert (done.copied, done.differences) == (len(judge.index), ())
        yield engine_of(index, made)


def near(got: Any, want: Any, *, by: float) -> bool:
    """Whether two answers are the same but for the last digits of numbers."""
    if isinstance(want, dict):
        return got.keys() == want.keys() and all(near(got[key], want[key], by=by) for key in want)
    if isinstance(want, list | tuple):
        return len(got) == len(want) and all(near(*pair, by=by) for pair in zip(got, want, strict=True))
    return bool(got == pytest.approx(want, abs=by)) if isinstance(want, float) else bool(got == want)


def test_answers_moments_copies_and_how_sure_they_are_equal_those_of_the_exact_engine(
    other: SearchEngine, judge: SearchEngine
) -> None:
    kinds: set[str] = set()
    for query in QUERIES:
        got, want = ([hit.as_dict() for hit in engine.search(query, k=12)] for engine in (other, judge))
        assert len(want) == 12 or ":" in query
        for one, right in zip(got, want, strict=True):
            assert near(one, right, by=2e-3), (query, one, right)
            kinds |= {name for name in ("steps", "same_as", "p_topic", "quote") if right[name]}
    assert kinds == {"steps", "same_as", "p_topic", "quote"}, "nothing of it went unasked"
    video_id = next(iter(judge.index.versions))
    liked = ([hit.as_dict() for hit in engine.search_like(video_id, (0.0, 4.0), k=6)] for engine in (other, judge))
    assert near(*liked, by=2e-3)


def test_calibration_is_kept_with_the_collection_and_equals_the_exact_engines(
    other: SearchEngine, judge: SearchEngine, made: Made
) -> None:
    """Measured by each engine itself, from nothing and after a change; another reader sees it at once."""
    reader = engine_of(other.index, made)
    home = [query.text for queries in made.queries.values() for query in queries][:40]
    seen = [reader.judge is not None]
    other.index.put_note("calibration", "")
    seen.append(reader.judge is not None)
    assert other.calibrate(home).enough
    seen.append(reader.judge is not None)
    assert seen == [True, False, True]
    ours, theirs = (CalibrationState.of(engine.index) for engine in (other, judge))
    assert ours is not None
    assert theirs is not None
    assert ours.sentences == theirs.sentences
    assert near({k: v[0] for k, v in ours.best.items()}, {k: v[0] for k, v in theirs.best.items()}, by=1e-4)
    other.index.remove(f"copy of {next(iter(made.banks))}")
    assert other.calibrate().compared == 0
