"""Queries of the grammar on videos whose truth is known, through the same door that everyone uses."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import torch

from prvr.core.errors import IndexFolderError, QueryError
from prvr.core.facts import Cue, Facts, Where
from prvr.core.grammar import Feedback, parse
from prvr.core.types import Hit
from prvr.data.world.grammar import vocabulary
from prvr.data.world.vocabulary import SCENE_WORDS
from prvr.index.base import ZERO_SHOT, IndexHeader
from prvr.index.exact import ExactIndex
from prvr.ranker.ranker import zero_shot
from prvr.search.background import background, letters
from prvr.search.confidence import CONFIDENT, NOTHING, RELATED, UNCALIBRATED, verdict
from prvr.search.engine import SearchEngine
from prvr.search.ranking import Ranking, reciprocal_ranks, rocchio
from tests.search.conftest import Made


def engine_of(
    made: Made, video_ids: Iterable[str] | None = None, cues: Mapping[str, tuple[Cue, ...]] | None = None
) -> SearchEngine:
    trained = zero_shot(made.encoder.spec)
    index = ExactIndex(IndexHeader(encoder=made.encoder.spec, model=ZERO_SHOT, width=trained.width, clip_weight=0.0))
    for number, video_id in enumerate(made.banks if video_ids is None else video_ids):
        facts = Facts(
            path=f"{'holiday' if number % 2 else 'work'}/{video_id}",
            duration_s=made.durations[video_id],
            modified=1e9 + number,
            tags=("third",) if number % 3 == 0 else (),
        )
        index.add(video_id, made.banks[video_id], version="1", facts=facts, cues=(cues or {}).get(video_id, ()))
    return SearchEngine(index, Path("/library/.prvr"), made.encoder, trained)


@pytest.fixture(scope="module")
def plain(made: Made) -> SearchEngine:
    return engine_of(made)


@pytest.fixture(scope="module")
def calibrated(made: Made) -> SearchEngine:
    engine = engine_of(made)
    assert engine.calibrate().enough
    return engine


def scores(hits: Sequence[Hit]) -> dict[str, float]:
    return {hit.video_id: hit.score for hit in hits}


def test_a_hit_says_where_when_and_how_it_is_drawn(plain: SearchEngine, made: Made) -> None:
    query = made.queries["w0003.webm"][0]
    for hit in plain.search(query.text, k=5):
        assert hit.path == Path(f"/library/{plain.index.facts(hit.video_id).path}")
        assert hit.duration_s == made.durations[hit.video_id]
        assert len(hit.relevance) == -(-hit.duration_s // 1)
        at = int(torch.tensor(hit.relevance).argmax())
        assert hit.start - 1 <= at <= hit.end, "the best moment is where the curve is highest"
        assert hit.confidence == UNCALIBRATED
        assert (hit.p_topic, hit.p_instance, hit.steps, hit.quote) == (None, None, (), "")


def test_queries_together_are_queries_one_by_one(calibrated: SearchEngine) -> None:
    queries = ["a red ball bounces", "a star -heart", "a red ball then a blue star within 20s", "a ring path:holiday"]
    for query, together in zip(queries, calibrated.search_many(queries, k=4), strict=True):
        for alone in (calibrated.search(query, k=4), calibrated.search(parse(query), k=4)):
            assert [hit.video_id for hit in together] == [hit.video_id for hit in alone]
            assert scores(together) == pytest.approx(scores(alone), abs=1e-5)
            assert [hit.steps for hit in together] == [hit.steps for hit in alone]
    assert calibrated.search_many([]) == []


def test_order_in_time_is_told_apart(plain: SearchEngine, made: Made) -> None:
    """Of two events of one video, the right order scores higher than the wrong one; one sentence cannot tell."""
    right, inside = [], []
    for video_id, events in list(made.queries.items())[:16]:
        for first, second in list(combinations(events, 2))[:2]:
            one, other = first.text.rstrip("."), second.text.rstrip(".")
            forth, back = plain.search_many([f"{one} then {other}", f"{other} then {one}"], k=99, words=False)
            right.append(scores(forth)[video_id] > scores(back)[video_id])
            hit = next(hit for hit in forth if hit.video_id == video_id)
            (a, b), (c, d) = hit.steps
            assert 0 <= a < b <= c < d <= hit.duration_s
            assert hit.moments == ((a, d),)
            windows = (first.windows[0], second.windows[0])
            inside += [start < w[1] and w[0] < end for (start, end), w in zip(hit.steps, windows, strict=True)]
    assert sum(right) / len(right) > 0.8
    assert sum(inside) / len(inside) > 0.7


def test_within_bounds_the_time_between_steps(plain: SearchEngine) -> None:
    any_time, soon = plain.search_many(["a red ball then a star", "a red ball then a star within 3s"], k=99)
    free, bound = scores(any_time), scores(soon)
    assert all(bound[video_id] <= free[video_id] + 1e-6 for video_id in free)
    assert any(bound[video_id] < free[video_id] - 1e-3 for video_id in free)
    with_a_chain = plain.search("a red ball then a star then a heart within 1m", k=3)
    assert all(len(hit.steps) == 3 for hit in with_a_chain)


def test_what_must_not_be_seen_goes_down_and_the_rest_stays(plain: SearchEngine, made: Made) -> None:
    better = []
    for scene in SCENE_WORDS:
        for shape in ("circle", "star", "heart", "ring"):
            seen = {
                video_id: {(e.attributes or {})["scene"] for e in events if (e.attributes or {})["shape"] == shape}
                for video_id, events in made.queries.items()
            }
            wanted = [video_id for video_id, found in seen.items() if found and scene not in found]
            unwanted = [video_id for video_id, found in seen.items() if found == {scene}]
            if not wanted or not unwanted:
                continue
            asked = [f"a {shape}", f'a {shape} -"{SCENE_WORDS[scene][0]}"']
            without, with_it = (scores(hits) for hits in plain.search_many(asked, k=99, words=False))
            apart = [
                statistics.fmean(found[one] > found[other] for one in wanted for other in unwanted)
                for found in (without, with_it)
            ]
            better.append(apart[1] - apart[0])
            assert all(with_it[video_id] <= without[video_id] + 1e-5 for video_id in without)
    assert sum(better) / len(better) > 0.15


def test_filters_and_where_limit_what_is_asked(plain: SearchEngine) -> None:
    everything = {hit.video_id for hit in plain.search("a star", k=99)}
    holiday = plain.search("a star path:holiday", k=99)
    assert 0 < len(holiday) < len(everything)
    assert all("holiday" in str(hit.path) for hit in holiday)
    assert all(hit.duration_s >= 30 for hit in plain.search("a star longer:30s", k=99))
    both = plain.search("a star path:holiday", k=99, where=Where(tags=("third",), path="work"))
    assert {hit.video_id for hit in both} < {hit.video_id for hit in holiday}, "the query's own path goes before"
    assert plain.search("a star then a ring -heart path:nowhere") == []


def test_calibration_changes_no_rank(calibrated: SearchEngine, made: Made) -> None:
    """A bias of every video, taken off its score, ranked worse than the bare score wherever it was measured."""
    query = made.queries["w0005.webm"][1].text
    found = calibrated.index.search(calibrated.embed(query), k=10)
    bare, judged = (calibrated.search(query, k=10, calibrated=on, words=False) for on in (False, True))
    assert [hit.video_id for hit in bare] == [hit.video_id for hit in judged] == [one.video_id for one in found]
    assert all(hit.confidence == UNCALIBRATED for hit in bare)
    assert all(hit.p_topic is not None and hit.p_instance is not None for hit in judged)


@pytest.mark.parametrize("query", ["star", "a star", "a red star", "a pink heart", "night", "a red circle bounces"])
def test_short_queries_about_what_the_library_shows_are_answered(calibrated: SearchEngine, query: str) -> None:
    assert calibrated.search(query, k=1)[0].confidence != NOTHING


@pytest.mark.parametrize("query", ["people dancing at a wedding", "the", "asdf", "my umbrella then the guitar"])
def test_what_the_encoder_knows_no_word_of_is_never_related(calibrated: SearchEngine, query: str) -> None:
    assert verdict(calibrated.search(query, k=5, words=False)) == NOTHING


def test_nothing_is_found_where_there_is_nothing(calibrated: SearchEngine) -> None:
    foreign = [f"{sentence} again" for sentence in (*background(2)[::10], *background(1)[::5])]
    for queries in (foreign, letters(60, seed="test")):
        wrong = sum(verdict(hits) != NOTHING for hits in calibrated.search_many(queries))
        assert wrong <= 0.12 * len(queries)


def test_a_target_that_is_taken_away_is_missed(made: Made) -> None:
    """The same query with and without its video, everything else as it was: p rises."""
    engine = engine_of(made)
    engine.calibrate()
    rises, p_with, p_without = [], [], []
    for video_id in list(made.banks)[::4]:
        queries = [query.text for query in made.queries[video_id]]
        before = [surest(hits) for hits in engine.search_many(queries, words=False)]
        facts = engine.index.facts(video_id)
        engine.index.remove(video_id)
        engine.calibrate()
        after = [surest(hits) for hits in engine.search_many(queries, words=False)]
        engine.index.add(video_id, made.banks[video_id], version="1", facts=facts)
        engine.calibrate()
        rises += [new >= old - 0.01 for old, new in zip(before, after, strict=True)]  # the null moves a little, too
        p_with += before
        p_without += after
    assert sum(rises) / len(rises) > 0.9  # judged by fewer sentences, those of its own length, so that the null moves
    assert sum(p_without) / len(rises) > sum(p_with) / len(rises) + 0.03
    assert sum(p <= 0.05 for p in p_without) / len(rises) < 0.12


def surest(hits: Sequence[Hit]) -> float:
    return min(1.0 if hit.p_instance is None else hit.p_instance for hit in hits)


def test_unrelated_videos_never_make_a_query_confident(made: Made) -> None:
    engine = engine_of(made)
    engine.calibrate()
    queries = [query.text for events in list(made.queries.values())[:12] for query in events]
    before = engine.search_many(queries, words=False)
    for number in range(20):
        noise = torch.nn.functional.normalize(torch.randn_like(made.banks["w0000.webm"].tokens), dim=1)
        engine.index.add(f"noise {number}", made.banks["w0000.webm"]._replace(tokens=noise), version="1")
    engine.calibrate()
    for old, new in zip(before, engine.search_many(queries, words=False), strict=True):
        assert verdict(old) == CONFIDENT or verdict(new) != CONFIDENT


def test_a_picture_finds_what_it_shows(plain: SearchEngine, world: Path, tmp_path: Path) -> None:
    from PIL import Image

    from prvr.video.decode import sample_frames

    video = world / "videos" / "w0004.webm"
    frames = torch.cat([batch.frames for batch in sample_frames(video, rate=0.5)])
    picture = tmp_path / "still.png"
    Image.fromarray(frames[3].permute(1, 2, 0).numpy()).save(picture)
    encoder = plain.encoder
    want = torch.nn.functional.normalize(encoder.encode_images(encoder.prepare(frames[3:4])), dim=1)[0]
    for hit in plain.search_image(picture, k=3):
        assert hit.score == pytest.approx(plain.index.candidate(want, hit.video_id).score, abs=0.02)
        assert hit.confidence == UNCALIBRATED
    (tmp_path / "no.png").write_bytes(b"not a picture")
    with pytest.raises(QueryError, match=r"no.png: cannot be read as a picture"):
        plain.search_image(tmp_path / "no.png")


def test_a_model_of_sentences_refuses_a_picture(plain: SearchEngine, tmp_path: Path) -> None:
    trained = SearchEngine(plain.index, plain.folder, plain.encoder, replace(plain.trained, fingerprint="abc"))
    with pytest.raises(QueryError, match="reads sentences only; describe the picture in words"):
        trained.search_image(tmp_path / "still.png")


def test_more_like_a_moment(plain: SearchEngine, made: Made) -> None:
    found = plain.search_like("w0002.webm", (4.0, 8.0), k=5)
    assert len(found) == 5
    assert "w0002.webm" not in {hit.video_id for hit in found}
    bank = made.banks["w0002.webm"]
    inside = (bank.spans[:, 0] < 8.0) & (bank.spans[:, 1] > 4.0)
    mean = torch.nn.functional.normalize(bank.tokens[inside].mean(0), dim=0)
    assert found[0].score == pytest.approx(plain.index.candidate(mean, found[0].video_id).score, abs=1e-5)
    with pytest.raises(QueryError, match="there is nothing between 900 and 901 s"):
        plain.search_like("w0002.webm", (900.0, 901.0))
    with pytest.raises(IndexFolderError, match="no such video"):
        plain.search_like("nobody.mp4", (0.0, 1.0))


def test_what_is_said_is_found_and_says_when(made: Made) -> None:
    cues = {"w0007.webm": (Cue(2.0, 4.5, "Welcome to the Zugspitze!"), Cue(9.0, 10.0, "a star"))}
    engine = engine_of(made, cues=cues)
    hit = engine.search("Zugspitze", k=3)[0]
    assert hit.video_id == "w0007.webm"
    assert hit.moments[0] == (2.0, 4.5)
    assert hit.quote == "Welcome to the Zugspitze!"
    assert hit.confidence == UNCALIBRATED
    quiet = engine.search("Zugspitze", k=48, words=False)
    assert all(not other.quote for other in quiet)
    engine.calibrate()
    sure = engine.search("Zugspitze", k=3)
    assert sure[0].confidence == CONFIDENT, "all words of the query are said"
    assert engine.search("the Zugspitze", k=1)[0].confidence in (CONFIDENT, RELATED)
    assert verdict(engine.search("Zugspitze", k=3, words=False)) == NOTHING
    assert engine.search("w0011", k=1)[0].video_id == "w0011.webm", "a file's name is looked at as well"


def test_function_words_and_chance_words_do_not_decide(made: Made) -> None:
    """One video has subtitles; only a query of which it says most goes there."""
    cues = {"w0007.webm": (Cue(2.0, 4.5, "The quick brown fox jumps over a red street."),)}
    engine, quiet = engine_of(made, cues=cues), engine_of(made)
    for query in ("over the hills", "the", "a car drives down the street", "a red circle bounces in a meadow"):
        assert engine.search(query, k=9) == quiet.search(query, k=9), query
    assert engine.search("a quick fox", k=1)[0].video_id == "w0007.webm"


def test_subtitles_about_other_things_cost_no_first_rank(made: Made) -> None:
    """Everybody says words of the captions at random, which is worse than what people say."""
    rng = random.Random(0)
    words = vocabulary()
    cues = {
        name: tuple(Cue(3.0 * at, 3.0 * at + 2, " ".join(rng.choices(words, k=6))) for at in range(5))
        for name in made.banks
    }
    engine = engine_of(made, cues=cues)
    queries = [(query.text, query.video_id) for events in made.queries.values() for query in events][::2]
    with_words, without = (
        sum(
            hits[0].video_id == own
            for hits, (_, own) in zip(
                engine.search_many([text for text, _ in queries], k=1, words=on), queries, strict=True
            )
        )
        for on in (True, False)
    )
    assert with_words >= without


def test_reciprocal_ranks_by_hand() -> None:
    assert reciprocal_ranks(["a", "b", "c"], {}) == ["a", "b", "c"]
    assert reciprocal_ranks(["a", "b", "c"], {"c": 1.0}) == ["c", "a", "b"]
    assert reciprocal_ranks(["a", "b", "c"], {"d": 1.0}) == ["d", "a", "b", "c"], "1/64 + 1/61 beats 1/61"
    # 1/62 + 0.02/0.5 · 1/61 beats 1/61; 1/63 + 0.0 does not
    assert reciprocal_ranks(["a", "b", "c"], {"b": 0.02}) == ["b", "a", "c"]
    assert reciprocal_ranks(["a", "b", "c"], {"c": 0.001}) == ["a", "b", "c"]


@pytest.mark.parametrize("query", ['a star -"?"', "a then", 7])
def test_what_cannot_be_asked_is_refused(plain: SearchEngine, query: str) -> None:
    with pytest.raises(QueryError):
        plain.search(query)


def test_every_sentence_of_a_request_is_judged(plain: SearchEngine) -> None:
    with pytest.raises(QueryError, match="has 40 words"):
        plain.search(f"a star then {'ball ' * 40}")
    with pytest.raises(QueryError, match="has 40 words"):
        plain.search(f'a star -"{"ball " * 40}"')


def test_rocchio_by_hand() -> None:
    query, none = torch.tensor([1.0, 0.0]), torch.empty(0, 2)
    assert torch.equal(rocchio(query, none, none), query)
    towards = rocchio(query, torch.tensor([[0.0, 1.0]]), none)  # (1, 0.75), of length 1.25
    torch.testing.assert_close(towards, torch.tensor([0.8, 0.6]))
    two = torch.tensor([[0.0, 1.0], [0.0, -1.0]])  # their mean is nothing
    torch.testing.assert_close(rocchio(query, two, none), query)
    away = rocchio(query, none, torch.tensor([[0.0, 1.0]]))
    torch.testing.assert_close(away, torch.tensor([1.0, -0.15]) / 1.0225**0.5)


def test_no_feedback_changes_nothing(calibrated: SearchEngine) -> None:
    texts = ["a red circle", "a star -tree", "a ring then a heart"]
    bare = calibrated.rank_many(texts, k=10)
    same = calibrated.rank_many(texts, k=10, feedback=[Feedback()] * 3)
    assert [ranking.judgements for ranking in same] == [ranking.judgements for ranking in bare]
    assert [calibrated.hits(one) for one in same] == [calibrated.hits(one) for one in bare]
    assert [calibrated.hits(one) for one in bare] == calibrated.search_many(texts, k=10)


def test_feedback_moves_one_sentence_and_says_nothing_of_sureness(calibrated: SearchEngine) -> None:
    text, other = "a red circle", "a blue star"
    before = calibrated.search(text, k=48)
    fifth = before[5]
    move = Feedback(positive=((fifth.video_id, fifth.moments[0]),))
    moved, untouched = calibrated.rank_many([text, other], k=48, feedback=[move, Feedback()])
    assert [row.candidate.video_id for row in moved.rows].index(fifth.video_id) < 5
    assert {one.confidence for one in moved.judgements} == {UNCALIBRATED}
    assert calibrated.hits(untouched) == calibrated.search(other, k=48)
    with pytest.raises(QueryError, match="feedback: goes with one sentence"):
        calibrated.rank_many(["a ring then a heart"], feedback=[move])
    with pytest.raises(IndexFolderError, match="no such video"):
        calibrated.rank_many([text], feedback=[Feedback(negative=(("none", (0.0, 1.0)),))])


def test_parts_of_an_answer_are_the_answer(calibrated: SearchEngine) -> None:
    (ranking,) = calibrated.rank_many(["a red circle"], k=20)
    whole = calibrated.search("a red circle", k=20)
    assert calibrated.hits(ranking, 0, 7) + calibrated.hits(ranking, 7, 20) == whole
    low, high = ranking.scale(20)
    assert low <= min(min(hit.relevance) for hit in whole)
    assert high >= max(max(hit.relevance) for hit in whole)
    assert Ranking([], []).scale(5) == (0.0, 1.0)


def test_one_video_is_looked_at_as_it_is_found(plain: SearchEngine) -> None:
    for text in ("a red circle", "a red circle -tree", "a ring then a heart within 20s"):
        for hit in plain.search(text, k=3):
            seen = plain.look(text, hit.video_id)
            assert (seen.relevance, seen.moments, seen.steps) == (hit.relevance, hit.moments, hit.steps)
    last = plain.search("a red circle -tree", k=48)[-1].video_id
    assert plain.look("a red circle -tree", last).video_id == last
    with pytest.raises(IndexFolderError, match="no such video"):
        plain.look("a red circle", "none")
