"""The state of a calibration: made, kept, brought up to date; and what hits are told from it."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from prvr.core.errors import IndexFolderError
from prvr.core.facts import Facts
from prvr.core.ranking import score_banks
from prvr.core.types import Query
from prvr.index.base import Index
from prvr.index.embedded import EmbeddedIndex
from prvr.index.exact import ExactIndex
from prvr.search.calibration import NOTE, Calibrated, CalibrationState, calibrate, outdated
from prvr.search.confidence import CONFIDENT, NOTHING, RELATED, UNCALIBRATED
from prvr.search.judge import Judge
from prvr.search.words import ALL, NONE, SIZES, Kind, size_of
from tests.index.make import SPEC, bank, header, unit

WIDTH = 32
HOME = [f"home sentence number {number} is long" for number in range(240)]
LONG = Kind(2, ALL)
CENTRE = torch.nn.functional.normalize(torch.ones(WIDTH), dim=0)


def embed(texts: list[str]) -> Tensor:
    """Sentences to vectors: those at home lie near where all videos lie, others anywhere."""
    return torch.stack([vector_of(text) for text in texts])


@cache
def vector_of(text: str) -> Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(text.encode()))
    noise = torch.nn.functional.normalize(torch.randn(WIDTH, generator=generator), dim=0)
    return CENTRE + 0.6 * noise if text.startswith("home") else noise


def fill(index: Index, numbers: range, *, version: str = "1") -> None:
    for v in numbers:
        generator = torch.Generator().manual_seed(zlib.crc32(f"{v} {version}".encode()))
        with torch.random.fork_rng():
            torch.manual_seed(int(torch.randint(1 << 30, (1,), generator=generator)))
            made = bank(6 + v % 4, 2, WIDTH, about=CENTRE)
        index.add(f"{v:03}", made, version=version, facts=Facts(path=f"{v}.mp4", duration_s=60.0))


def library(numbers: range = range(40)) -> ExactIndex:
    index = ExactIndex(header(width=WIDTH))
    fill(index, numbers)
    return index


def slow_scores(index: ExactIndex, video_id: str, queries: Tensor) -> list[float]:
    """One video with every query, branch by branch."""
    tokens, _, num_frames = index.candidate(queries[0], video_id).bank
    weight = index.header.clip_weight
    frame, clip = (queries @ part.T for part in (tokens[:num_frames], tokens[num_frames:]))
    found: list[float] = ((1 - weight) * frame.amax(1) + weight * clip.amax(1)).tolist()
    return found


def same(one: CalibrationState | None, other: CalibrationState | None) -> None:
    assert one is not None
    assert other is not None
    assert one.versions == other.versions
    assert one.best.keys() == other.best.keys()
    scores, others = ([state.best[row][0] for row in one.best] for state in (one, other))
    assert scores == pytest.approx(others, abs=2e-4)
    moved = [row for row, (_, where) in one.best.items() if where != other.best[row][1]]
    assert len(moved) <= 3, "only where two videos are equal but for rounding"


def knows_all(_: str) -> list[str]:
    return []


def calibrated(index: Index, **given: Any) -> Calibrated:
    return calibrate(index, embed, encoder=given.pop("encoder", SPEC), unknown_words=knows_all, **given)


def test_a_state_is_what_the_loop_over_sentences_and_videos_says() -> None:
    index = library(range(31))
    assert calibrated(index, home=HOME) == Calibrated(31, 31, enough=True)
    state = CalibrationState.of(index)
    assert state is not None
    texts = [sentence.text for sentence in state.sentences]
    queries = torch.nn.functional.normalize(embed(texts), dim=1).half().float()
    torch.testing.assert_close(state.queries, queries)
    sources = Counter(sentence.source for sentence in state.sentences)
    assert (sources["home"], sources["letters"]) == (len(HOME), 300)
    assert 0 < sources["piece"] <= len(HOME)
    scores = {video_id: slow_scores(index, video_id, queries) for video_id in index.versions}
    for row in range(0, len(texts), 37):
        value, where = max((scores[video_id][row], video_id) for video_id in scores)
        assert state.best[row][0] == pytest.approx(value, abs=1e-4)
        assert state.best[row][1] == where


def test_what_an_encoder_knows_nothing_of_is_no_background() -> None:
    """Such sentences are one to it; a query like them is foreign whatever it scores."""
    index = library()
    calibrate(index, embed, encoder=SPEC, unknown_words=lambda text: [w for w in text.split() if w != "red"], home=HOME)
    state, judge = CalibrationState.of(index), Judge.of(index)
    assert state is not None
    assert judge is not None
    assert all("red" in sentence.text.split() for sentence in state.sentences)
    (judged,) = judge.judge([Kind(1, NONE)], torch.tensor([[99.0]]))
    assert (judged.confidence, judged.p_topic) == (NOTHING, 1.0)


def test_scores_of_banks_are_those_of_the_index() -> None:
    index = library(range(9))
    queries = unit(5, WIDTH)
    ids, want = index.score_all(queries)
    found = score_banks(
        [index.candidate(queries[0], i).bank for i in ids], queries, clip_weight=index.header.clip_weight
    )
    torch.testing.assert_close(found, want)


def test_an_update_equals_starting_again(tmp_path: Path) -> None:
    """Videos come, go and change; the embedded engine, whose vectors are half precision."""
    with EmbeddedIndex.create(tmp_path / "index", header(width=WIDTH)) as index:
        fill(index, range(60))
        assert calibrated(index, home=HOME).compared == 60
        assert calibrated(index).compared == 0, "nothing is done twice, and the home bank is kept"
        index.remove("000", "001", "017")
        fill(index, range(60, 66))
        fill(index, range(20, 23), version="2")
        assert calibrated(index) == Calibrated(9, 63, enough=True)
        updated = CalibrationState.of(index)
        index.put_note(NOTE, "")
        assert calibrated(index, home=HOME).compared == 63
        same(updated, CalibrationState.of(index))


def test_what_describes_a_video_does_not_count_for_it() -> None:
    index = library()
    about = [
        Query(query_id=str(v), video_id=f"{v % 40:03}", text=f"home sentence number {v} is long") for v in range(240)
    ]
    calibrated(index, home=about)
    state = CalibrationState.of(index)
    assert state is not None
    owners = {row: sentence.own for row, sentence in enumerate(state.sentences) if sentence.own}
    assert len(owners) > 240, "pieces of a sentence, too"
    assert all(state.best[row][1] != own for row, own in owners.items() if row in state.best)
    fill(index, range(5, 9), version="2")
    calibrated(index)
    again = CalibrationState.of(index)
    assert again is not None
    assert all(again.best[row][1] != own for row, own in owners.items() if row in again.best)


def test_small_or_never_calibrated_or_much_changed_libraries_say_nothing() -> None:
    index = library(range(29))
    assert calibrated(index) == Calibrated(0, 29, enough=False)
    assert Judge.of(index) is None
    fill(index, range(29, 40))
    assert Judge.of(index) is None
    calibrated(index)
    assert Judge.of(index) is not None
    fill(index, range(40, 43))
    assert Judge.of(index) is not None, "a few new videos do not matter"
    fill(index, range(43, 50))
    assert Judge.of(index) is None
    calibrated(index)
    assert Judge.of(index) is not None


@pytest.mark.parametrize("note", ["", "{", "[]", '{"version": 0}', json.dumps({"sentences": [], "best": {}})])
def test_a_damaged_note_is_no_calibration_and_is_made_again(note: str) -> None:
    index = library()
    index.put_note(NOTE, note)
    assert Judge.of(index) is None
    assert calibrated(index).compared == 40


def test_another_encoder_starts_again() -> None:
    index = library()
    calibrated(index, home=HOME)
    other = replace(SPEC, revision="2" * 12)
    assert calibrated(index, encoder=other).compared == 40
    state = CalibrationState.of(index)
    assert state is not None
    assert not [sentence for sentence in state.sentences if sentence.source == "home"]


def test_an_index_opened_for_reading_cannot_be_calibrated(tmp_path: Path) -> None:
    with EmbeddedIndex.create(tmp_path, header(width=WIDTH)) as index:
        fill(index, range(30))
    with EmbeddedIndex.open(tmp_path) as index, pytest.raises(IndexFolderError, match="opened for reading"):
        calibrated(index)


def test_judging_by_two_banks() -> None:
    index = library(range(200))
    calibrated(index, home=HOME)
    judge = Judge.of(index)
    assert judge is not None
    target = index.candidate(CENTRE, "007").bank.tokens[2]  # a query that one video answers exactly
    labels = []
    for query in (target, -CENTRE):
        found = index.search(query, k=1)
        labels += judge.judge([LONG], torch.tensor([[found[0].score]]))
    assert labels[0].confidence == CONFIDENT
    assert labels[1].confidence == NOTHING
    assert labels[1].p_topic == 1
    (short,) = judge.judge([Kind(0, ALL)], torch.tensor([[5.0]]))
    assert (short.confidence, short.p_instance) == (RELATED, None), "no short sentence is at home here"
    without_home = library(range(200))
    calibrated(without_home)
    only_foreign = Judge.of(without_home)
    assert only_foreign is not None
    (judged,) = only_foreign.judge([LONG], torch.tensor([[5.0]]))
    assert (judged.confidence, judged.p_instance) == (RELATED, None)


def test_a_query_is_judged_by_sentences_of_its_own_length() -> None:
    """To this encoder every short text is close to all videos, as to many: what a long one must reach is less."""
    index = library()

    def short_is_near(texts: list[str]) -> Tensor:
        return torch.stack(
            [vector + CENTRE * (size_of(text) == 0) for text, vector in zip(texts, embed(texts), strict=True)]
        )

    calibrate(index, short_is_near, encoder=SPEC, unknown_words=knows_all)
    judge = Judge.of(index)
    assert judge is not None
    fresh = [[f"{'of ' * (fewest - 1)}x{number}" for number in range(400)] for fewest, _ in SIZES]
    for size, texts in enumerate(fresh):
        best = index.score_all(short_is_near(texts))[1].amax(1)
        p = judge.chances(Kind(size, ALL), best)[0]
        assert p is not None
        assert float((p <= 0.05).double().mean()) == pytest.approx(0.05, abs=0.05)
    short, long = (judge.chances(Kind(size, ALL), torch.tensor([0.6]))[0] for size in (0, 2))
    assert short is not None
    assert long is not None
    assert short > 0.05 > long


def test_the_least_sure_of_several_steps_decides_and_p_falls_as_scores_rise() -> None:
    index = library()
    calibrated(index, home=HOME)
    judge = Judge.of(index)
    assert judge is not None
    kinds, scores = [LONG, Kind(1, ALL)], torch.tensor([[0.9, 0.1], [0.2, 0.3]])
    both = judge.judge(kinds, scores)
    alone = [judge.judge(kinds[s : s + 1], scores[s : s + 1]) for s in (0, 1)]
    for i, judged in enumerate(both):
        assert judged.p_topic == max(one[i].p_topic or 0 for one in alone)
    for p in judge.chances(LONG, torch.linspace(-2, 2, 200)):
        assert p is not None
        assert (p.diff() <= 0).all()


def test_unknown_is_said_where_there_is_no_null() -> None:
    index = library()
    calibrated(index)
    state = CalibrationState.of(index)
    assert state is not None
    few = Judge(replace(state, sentences=state.sentences[:50]))
    assert few.judge([LONG], torch.tensor([[0.5]]))[0].confidence == UNCALIBRATED


def test_an_index_of_before_keeps_its_home_and_says_its_next_step() -> None:
    """Notes of version 1 held (text, kind, null, own) and a bias of every video."""
    index = library()
    rows = [[text, "home", number % 2 == 1, ""] for number, text in enumerate(HOME)]
    old = {"version": 1, "maker": f"{SPEC.revision} {index.header.model}", "sentences": rows, "bias": {"000": 0.1}}
    index.put_note(NOTE, json.dumps(old))
    assert Judge.of(index) is None
    assert outdated(index)
    assert calibrated(index).compared == 40
    assert not outdated(index)
    state = CalibrationState.of(index)
    assert state is not None
    assert [sentence.text for sentence in state.sentences if sentence.source == "home"] == HOME
