"""What is said, beside what is seen: found by its words and by its meaning, and one channel alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from prvr.core.errors import QueryError
from prvr.core.facts import SAID, SEEN, WRITTEN, Cue, Facts
from prvr.core.grammar import parse
from prvr.core.types import Bank
from prvr.data.world import world_queries
from prvr.encoders.meaning import SentenceModel, load_sentence_model
from prvr.encoders.things import installed
from prvr.index.base import IndexHeader, WordHit
from prvr.index.embedded import EmbeddedIndex
from prvr.index.exact import ExactIndex
from prvr.index.opening import open_index
from prvr.search.confidence import NOTHING, RELATED
from prvr.search.engine import SearchEngine
from prvr.search.listing import answer
from prvr.search.meaning import SURE, UNSURE, Meanings, keep_meanings, passages, weight
from prvr.search.ranking import HALF, together
from prvr.search.spoken import Spoken

TALKS = {
    "bread.mp4": ("Let the dough rest for an hour.", "Then bake it until the crust is golden."),
    "tax.mp4": ("You have to declare your income by May.", "Keep every receipt of your expenses."),
    "engine.mp4": ("The motor does not start when it is cold.", "Change the spark plugs and the oil."),
}


@pytest.fixture(scope="module")
def minilm() -> SentenceModel:
    if installed() is None:
        pytest.skip("the packages of `things` are not here: pip install 'prvr[things]'")
    return load_sentence_model()


@pytest.fixture(scope="module")
def spoken(library: Path, tmp_path_factory: pytest.TempPathFactory, minilm: SentenceModel) -> Path:
    """The library, three of whose videos have something to say that their pictures do not show."""
    folder = Path(shutil.copytree(library, tmp_path_factory.mktemp("spoken") / "library"))
    with open_index(folder, write=True) as index:
        words = {}
        for name, (video_id, lines) in zip(sorted(index.versions), TALKS.items(), strict=False):
            cues = [Cue(4.0 * n, 4.0 * n + 3.0, line) for n, line in enumerate(lines)]
            bank = index.candidate(torch.zeros(index.header.width), name).bank
            facts = index.facts(name)
            index.add(name, bank, version=index.versions[name], facts=facts, cues=cues)
            words[name] = cues
            NAMES[video_id] = name
        assert sorted(keep_meanings(folder, words)) == sorted(words)
        assert keep_meanings(folder, words) == [], "what is said there has not changed"
        index.save(folder)
    return folder


NAMES: dict[str, str] = {}  # of the talks -> ids in the library


@pytest.mark.parametrize(
    ("query", "talk", "line"),
    [
        ("how long does bread have to rise", "bread.mp4", "Let the dough rest"),
        ("a car that will not turn over in winter", "engine.mp4", "The motor does not start"),
        ("when is the deadline of the tax return", "tax.mp4", "declare your income"),
    ],
)
def test_what_is_said_is_found_by_its_meaning(spoken: Path, query: str, talk: str, line: str) -> None:
    engine = SearchEngine.open(spoken)
    for asked in (query, f'said:"{query}"'):
        hit = engine.search(asked)[0]
        assert hit.video_id == NAMES[talk], asked
        assert hit.channel == SAID
        assert hit.confidence in (RELATED, NOTHING)
        assert line in hit.quote
        assert hit.start == 0.0
        assert hit.end == pytest.approx(min(7.0, hit.duration_s))
    assert all(hit.channel == SEEN and not hit.quote for hit in engine.search(f'seen:"{query}"'))


def test_one_channel_alone(spoken: Path) -> None:
    engine = SearchEngine.open(spoken)
    assert [hit.quote for hit in engine.search('said:"spark plugs"')] == ["Change the spark plugs and the oil."]
    weak = engine.search('said:"a red circle moves to the left"')
    assert all(hit.confidence == NOTHING and (hit.p_topic or 0) > 0.05 for hit in weak)
    assert answer(weak).startswith("No good match") or not weak
    assert engine.search('said:"the and of it"') == [], "function words decide nothing"
    assert engine.search('written:"spark plugs"') == []
    assert engine.search('said:"spark plugs" path:nowhere') == []
    pictures = engine.search("spark plugs", words=False)
    assert [hit.video_id for hit in engine.search("seen:spark")] == [
        hit.video_id for hit in engine.search("spark", words=False)
    ]
    assert all(hit.channel == SEEN for hit in pictures)


def test_what_stands_out_in_pictures_is_answered_by_them(library: Path, spoken: Path) -> None:
    """Whatever is said; and where nothing is said, nothing is asked of what is said."""
    before, after = SearchEngine.open(library), SearchEngine.open(spoken)
    queries = [query.text for query in world_queries("tiny", 0, "test")]
    sure = [text for text in queries if before.search(text)[0].p_topic == pytest.approx(0.0, abs=0.05)]
    assert len(sure) > 3
    for text in sure:
        ours, theirs = (engine.search(text, k=20) for engine in (after, before))
        assert [(hit.video_id, hit.moments) for hit in ours] == [(hit.video_id, hit.moments) for hit in theirs]
    assert before.search(sure[0], k=20) == before.search(sure[0], k=20, words=False)


def test_passages_overlap_and_lose_no_word() -> None:
    cues = [Cue(3.0 * n, 3.0 * n + 2.5, f"w{n}") for n in range(10)] + [Cue(60.0, 85.0, "long"), Cue(90.0, 91.0, "end")]
    found = list(passages(cues))
    assert {word for one in found for word in one.text.split()} == {cue.text for cue in cues}
    assert all(one.end_s - one.start_s <= 10.0 for one in found if one.text != "long")
    assert [one.text for one in found[:3]] == ["w0 w1 w2", "w2 w3 w4", "w4 w5 w6"]
    assert list(passages([])) == []


def test_how_much_a_chance_counts() -> None:
    assert [weight(p) for p in (1.0, UNSURE, SURE, 0.0)] == [0.0, 0.0, 1.0, 1.0]
    assert weight((UNSURE * SURE) ** 0.5) == pytest.approx(0.5)


def test_both_ways_of_being_said_are_one_order() -> None:
    def hit(name: str, score: float, text: str) -> WordHit:
        return WordHit(name, score, (Cue(0.0, 1.0, text),))

    literal = [hit("a", 1.0, "literally a"), hit("b", 0.8, "literally b")]
    meant = [hit("b", HALF, "means b"), hit("c", HALF, "means c")._replace(weight=0.1)]
    found = together(literal, meant)
    assert [one.video_id for one in found] == ["b", "a", "c"]
    assert [one.score for one in found] == [0.8, 1.0, HALF]
    assert found[0].cues[0].text == "literally b"
    assert together(literal, []) == literal


def test_kinds_of_words_are_told_apart_in_every_engine(engine: SearchEngine, tmp_path: Path) -> None:
    header: IndexHeader = engine.index.header
    bank = Bank(torch.nn.functional.normalize(torch.ones(2, header.width), dim=1), torch.tensor([[0.0, 1], [1, 2]]), 2)
    exact = ExactIndex(header)
    with EmbeddedIndex.create(tmp_path / "index", header) as embedded:
        for index in (exact, embedded):
            index.add(
                "a", bank, facts=Facts(path="teapot.mp4"), cues=[Cue(0, 1, "a teapot"), Cue(1, 2, "exit", WRITTEN)]
            )
            index.add("b", bank, facts=Facts(path="b.mp4"), cues=[Cue(0, 1, "teapot", WRITTEN)])
        embedded.save(tmp_path / "index")
        for index in (exact, embedded):
            assert {hit.video_id for hit in index.words("teapot", k=9)} == {"a", "b"}
            assert [hit.video_id for hit in index.words("teapot", k=9, kind=SAID)] == ["a"]
            assert [hit.video_id for hit in index.words("teapot", k=9, kind=WRITTEN)] == ["b"]
            assert index.words("exit", k=9, kind=WRITTEN)[0].cues == (Cue(1, 2, "exit", WRITTEN),)
    with EmbeddedIndex.open(tmp_path / "index") as again:
        assert again.verify() == []
        assert [cue.kind for video in again.videos() for cue in video.cues] == [SAID, WRITTEN, WRITTEN]


def test_an_index_from_before_there_were_kinds_is_read_and_written(own: Path) -> None:
    import sqlite3

    with sqlite3.connect(own / "index.db") as connection:
        connection.execute("ALTER TABLE passage DROP COLUMN kind")
    connection.close()
    with open_index(own) as index:
        assert index.words("circle", k=5) == index.words("circle", k=5, kind=None)
        assert index.words("circle", k=5, kind=WRITTEN) == []
    with open_index(own, write=True) as index:
        name = next(iter(index.versions))
        bank = index.candidate(torch.zeros(index.header.width), name).bank
        index.add(name, bank, facts=index.facts(name), cues=[Cue(0, 1, "zebra crossing", WRITTEN)])
        index.save(own)
        assert [hit.video_id for hit in index.words("zebra", k=5, kind=WRITTEN)] == [name]
    assert EmbeddedIndex.open(own).verify() == []


def test_the_grammar_of_channels() -> None:
    asked = parse('said:"good evening" path:news')
    assert (asked.channel, asked.steps, asked.filters.path) == (SAID, ("good evening",), "news")
    assert parse(str(asked)) == asked
    assert parse("written:exit").channel == WRITTEN
    assert parse("he said: hello").channel == ""
    assert parse('"said:x"').steps == ("said:x",)
    for wrong, why in (
        ('a dog said:"x"', "it stands beside said:"),
        ('said:"x" -dog', "it stands beside said:"),
        ("said:a seen:b", "it stands beside said:"),
        ('-said:"x"', "cannot be turned round"),
        ('said:"!!"', "holds no word"),
    ):
        with pytest.raises(QueryError, match=why):
            parse(wrong)


def test_meanings_of_another_model_are_not_compared(spoken: Path, minilm: SentenceModel) -> None:
    ids = list(NAMES.values())
    assert Meanings.of(spoken, ids, minilm)
    assert Meanings.of(spoken, ids, minilm._replace(revision="other")) is None
    assert Meanings.of(spoken, ["nobody"], minilm) is None
    assert Spoken(spoken / "features").transcript(ids[0]) is None
