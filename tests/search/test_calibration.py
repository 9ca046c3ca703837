"""The state of a calibration: made, kept, brought up to date; and what hits are told from it."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path

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
from prvr.search.background import COUNTS
from prvr.search.calibration import NOTE, Calibrated, CalibrationState, calibrate
from prvr.search.confidence import CONFIDENT, NOTHING, RELATED, STRENGTH, UNCALIBRATED
from prvr.search.judge import Judge
from tests.index.make import SPEC, bank, header, unit

WIDTH = 32
HOME = [f"home {number}" for number in range(240)]
CENTRE = torch.nn.functional.normalize(torch.ones(WIDTH), dim=0)


def embed(texts: list[str]) -> Tensor:
    """Sentences to vectors: those at home lie near where all videos lie, others anywhere."""
    rows = []
    for text in texts:
        generator = torch.Generator().manual_seed(zlib.crc32(text.encode()))
        noise = torch.nn.functional.normalize(torch.randn(WIDTH, generator=generator), dim=0)
        rows.append(CENTRE + 0.6 * noise if text.startswith("home") else noise)
    return torch.stack(rows)


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
    assert one.bias == pytest.approx(other.bias, abs=2e-4)
    assert one.best.keys() == other.best.keys()
    scores, others = ([state.best[row][0] for row in one.best] for state in (one, other))
    assert scores == pytest.approx(others, abs=2e-4)
    moved = [row for row, (_, where) in one.best.items() if where != other.best[row][1]]
    assert len(moved) <= 3, "only where two videos are equal but for rounding"


def test_a_state_is_what_the_loop_over_sentences_and_videos_says() -> None:
    index = library(range(31))
    assert calibrate(index, embed, encoder=SPEC, home=HOME) == Calibrated(31, 31, enough=True)
    state = CalibrationState.of(index)
    assert state is not None
    texts = [sentence.text for sentence in state.sentences]
    queries = torch.nn.functional.normalize(embed(texts), dim=1).half().float()
    torch.testing.assert_close(state.queries, queries)
    assert sum(sentence.kind == "home" for sentence in state.sentences) == len(HOME)
    assert sum(sentence.null for sentence in state.sentences) == (len(texts) + COUNTS["letters"]) // 2
    scores = {video_id: slow_scores(index, video_id, queries) for video_id in index.versions}
    for video_id, found in scores.items():
        liked = sorted((found[row] for row in state.rows(null=False)), reverse=True)[:32]
        want = STRENGTH * sum(liked) / 32
        assert state.bias[video_id] == pytest.approx(want, abs=1e-4)
        assert index.facts(video_id).bias == pytest.approx(want, abs=1e-4)
    for row in state.rows(null=True)[::17]:
        value, where = max((scores[video_id][row] - state.bias[video_id], video_id) for video_id in scores)
        assert state.best[row][0] == pytest.approx(value, abs=1e-4)
        assert state.best[row][1] == where


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
        assert calibrate(index, embed, encoder=SPEC, home=HOME).compared == 60
        assert calibrate(index, embed, encoder=SPEC).compared == 0, "nothing is done twice, and the home bank is kept"
        index.remove("000", "001", "017")
        fill(index, range(60, 66))
        fill(index, range(20, 23), version="2")
        assert calibrate(index, embed, encoder=SPEC) == Calibrated(9, 63, enough=True)
        updated = CalibrationState.of(index)
        index.put_note(NOTE, "")
        assert calibrate(index, embed, encoder=SPEC, home=HOME).compared == 63
        same(updated, CalibrationState.of(index))


def test_what_describes_a_video_does_not_count_for_it() -> None:
    index = library()
    about = [Query(query_id=str(v), video_id=f"{v % 40:03}", text=f"home {v}") for v in range(240)]
    calibrate(index, embed, encoder=SPEC, home=about)
    state = CalibrationState.of(index)
    assert state is not None
    owners = {row: sentence.own for row, sentence in enumerate(state.sentences) if sentence.own}
    assert len(owners) == 240
    assert all(state.best[row][1] != own for row, own in owners.items() if row in state.best)
    fill(index, range(5, 9), version="2")
    calibrate(index, embed, encoder=SPEC)
    again = CalibrationState.of(index)
    assert again is not None
    assert all(again.best[row][1] != own for row, own in owners.items() if row in again.best)


def test_small_or_never_calibrated_or_much_changed_libraries_say_nothing() -> None:
    index = library(range(29))
    assert calibrate(index, embed, encoder=SPEC) == Calibrated(0, 29, enough=False)
    assert Judge.of(index) is None
    fill(index, range(29, 40))
    assert Judge.of(index) is None
    calibrate(index, embed, encoder=SPEC)
    assert Judge.of(index) is not None
    fill(index, range(40, 43))
    assert Judge.of(index) is not None, "a few new videos do not matter"
    fill(index, range(43, 50))
    assert Judge.of(index) is None
    calibrate(index, embed, encoder=SPEC)
    assert Judge.of(index) is not None


@pytest.mark.parametrize("note", ["", "{", "[]", '{"version": 0}', json.dumps({"sentences": [], "best": {}})])
def test_a_damaged_note_is_no_calibration_and_is_made_again(note: str) -> None:
    index = library()
    index.put_note(NOTE, note)
    assert Judge.of(index) is None
    assert calibrate(index, embed, encoder=SPEC).compared == 40


def test_another_encoder_starts_again() -> None:
    index = library()
    calibrate(index, embed, encoder=SPEC, home=HOME)
    other = replace(SPEC, revision="2" * 12)
    assert calibrate(index, embed, encoder=other).compared == 40
    state = CalibrationState.of(index)
    assert state is not None
    assert not state.rows("home", null=True)


def test_an_index_opened_for_reading_cannot_be_calibrated(tmp_path: Path) -> None:
    with EmbeddedIndex.create(tmp_path, header(width=WIDTH)) as index:
        fill(index, range(30))
    with EmbeddedIndex.open(tmp_path) as index, pytest.raises(IndexFolderError, match="opened for reading"):
        calibrate(index, embed, encoder=SPEC)


def test_judging_by_two_banks() -> None:
    index = library(range(200))
    calibrate(index, embed, encoder=SPEC, home=HOME)
    judge = Judge.of(index)
    assert judge is not None
    target = index.candidate(CENTRE, "007").bank.tokens[2]  # a query that one video answers exactly
    foreign = -CENTRE
    labels = []
    for query in (target, foreign):
        found = index.search(query, k=1)
        less = torch.tensor([[found[0].score]]) - judge.bias([found[0].video_id])
        labels.append(judge.judge(query[None], less)[0])
    assert labels[0].confidence == CONFIDENT
    assert labels[1].confidence == NOTHING
    assert labels[1].p_topic == 1
    without_home = library(range(200))
    calibrate(without_home, embed, encoder=SPEC)
    only_foreign = Judge.of(without_home)
    assert only_foreign is not None
    (judged,) = only_foreign.judge(target[None], torch.tensor([[5.0]]))
    assert (judged.confidence, judged.p_instance) == (RELATED, None)


def test_the_least_sure_of_several_steps_decides_and_p_falls_as_scores_rise() -> None:
    index = library()
    calibrate(index, embed, encoder=SPEC, home=HOME)
    judge = Judge.of(index)
    assert judge is not None
    queries, scores = unit(2, WIDTH), torch.tensor([[0.9, 0.1], [0.2, 0.3]])
    both = judge.judge(queries, scores)
    alone = [judge.judge(queries[s : s + 1], scores[s : s + 1]) for s in (0, 1)]
    for i, judged in enumerate(both):
        assert judged.p_topic == max(one[i].p_topic or 0 for one in alone)
    rising = torch.linspace(-2, 2, 200)[None]
    for p in judge.chances(queries[:1], rising):
        assert p is not None
        assert (p[0].diff() <= 0).all()


def test_t_norm_takes_out_what_a_sentence_scores_with_everything() -> None:
    index = library(range(150))
    calibrate(index, embed, encoder=SPEC, home=HOME)
    plain = Judge.of(index)
    assert calibrate(index, embed, encoder=SPEC, t_norm=True).compared == 0
    normed = Judge.of(index)
    assert plain is not None
    assert normed is not None
    general = CENTRE  # likes every video
    special = index.candidate(CENTRE, "007").bank.tokens[0] - 0.5 * CENTRE  # likes one
    found = {}
    for name, judge in (("plain", plain), ("t-norm", normed)):
        for query in (general, special):
            best = index.search(query, k=1)[0]
            less = torch.tensor([[best.score]]) - judge.bias([best.video_id])
            found[name, query is general] = judge.judge(query[None], less)[0].p_instance
    assert (found["t-norm", False] or 0) < (found["t-norm", True] or 0)
    assert (found["plain", False] or 0) > (found["plain", True] or 0)


def test_unknown_is_said_where_there_is_no_null() -> None:
    index = library()
    calibrate(index, embed, encoder=SPEC)
    state = CalibrationState.of(index)
    assert state is not None
    few = tuple(one._replace(null=False) for one in state.sentences)
    empty = Judge(replace(state, sentences=few), clip_weight=0.4)
    assert empty.judge(unit(1, WIDTH), torch.tensor([[0.5]]))[0].confidence == UNCALIBRATED
