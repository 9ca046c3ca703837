"""The line in front of the engine: what waits together is answered together, who has gone is dropped, full is full."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from prvr.core.errors import QueryError
from prvr.core.grammar import parse
from prvr.core.types import Hit
from prvr.encoders.world import load_world_encoder
from prvr.index.opening import open_index
from prvr.index.segments import VectorForm
from prvr.search.engine import SearchEngine
from prvr.search.ranking import Ranking
from prvr.search.replacing import replace_index
from prvr.service import desk as module
from prvr.service.desk import Answer, Desk, LineFull, Question, pooled, step_s
from tests.conftest import FEATURES_ONLY, FILES

SENTENCES = ["a red circle", "a blue star bounces", "a green ring", "a heart -tree", "a square"]


@pytest.fixture
def desk(library: Path) -> Iterator[Desk]:
    found = Desk(library, waiting=8, together=4)
    found.open()
    yield found
    found.close()


def hold(desk: Desk) -> threading.Event:
    """Keep the thread busy until the event is set."""
    let_go = threading.Event()
    desk._thread.submit(let_go.wait, 20)
    return let_go


def ask(text: str, **changes: object) -> Question:
    return Question(request=parse(text), **changes)  # type: ignore[arg-type]


async def settled(desk: Desk, count: int) -> None:
    while desk.waiting < count:
        await asyncio.sleep(0.001)


def ids(answer: Answer) -> list[str]:
    return [hit.video_id for hit in answer.hits]


def test_what_waits_is_answered_together_as_if_alone(desk: Desk, engine: SearchEngine) -> None:
    sizes: list[int] = []
    desk.batches = sizes.append

    async def go() -> list[Answer]:
        let_go = hold(desk)
        asked = [asyncio.ensure_future(desk.search(ask(text))) for text in SENTENCES]
        await settled(desk, len(SENTENCES))
        let_go.set()
        return await asyncio.gather(*asked)

    answers = asyncio.run(go())
    assert sizes == [4, 1]
    assert [answer.batch for answer in answers] == [4, 4, 4, 4, 1]
    for text, answer in zip(SENTENCES, answers, strict=True):
        alone = engine.search(text, k=20)
        assert ids(answer) == [hit.video_id for hit in alone]
        assert [hit.score for hit in answer.hits] == pytest.approx([hit.score for hit in alone], abs=1e-5)


def test_a_bad_question_spoils_no_other(desk: Desk) -> None:
    async def go() -> list[Answer | BaseException]:
        let_go = hold(desk)
        texts = ["word " * 400, SENTENCES[0], SENTENCES[1]]
        asked = [asyncio.ensure_future(desk.search(ask(text))) for text in texts]
        await settled(desk, 3)
        let_go.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    bad, *good = asyncio.run(go())
    assert isinstance(bad, QueryError)
    assert all(isinstance(answer, Answer) for answer in good)


def test_who_has_gone_is_not_worked_for(desk: Desk) -> None:
    sizes: list[int] = []
    desk.batches = sizes.append

    async def go() -> Answer:
        let_go = hold(desk)
        gone = [asyncio.ensure_future(desk.search(ask(text))) for text in SENTENCES[:3]]
        await settled(desk, 3)
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        assert not desk._line
        stays = asyncio.ensure_future(desk.search(ask(SENTENCES[4])))
        await asyncio.sleep(0)
        let_go.set()
        return await stays

    assert asyncio.run(go()).batch == 1
    assert sizes == [1]
    assert desk.waiting == 0


def test_a_full_line_sends_away_and_recovers(desk: Desk) -> None:
    async def go() -> None:
        let_go = hold(desk)
        asked = [asyncio.ensure_future(desk.search(ask(f"a circle {i}"))) for i in range(8)]
        await settled(desk, 8)
        with pytest.raises(LineFull, match="ask again in a moment"):
            await desk.search(ask("one more"))
        let_go.set()
        await asyncio.gather(*asked)
        assert (await desk.search(ask("one more"))).hits

    asyncio.run(go())
    assert not desk._line


def test_an_answer_is_made_once_until_the_index_changes(own: Path) -> None:
    desk = Desk(own, kept=2)
    desk.open()
    asked: list[int] = []
    engine = desk._engine
    assert engine
    real = engine.rank_many

    def counted(queries: list[object], **settings: object) -> object:
        asked.append(len(queries))
        return real(queries, **settings)  # type: ignore[arg-type]

    engine.rank_many = counted  # type: ignore[assignment, method-assign]

    async def go() -> None:
        first = await desk.search(ask(SENTENCES[0]))
        assert (await desk.search(ask(SENTENCES[0]))).hits == first.hits
        assert len(asked) == 1
        with open_index(own, write=True) as index:
            index.put_note("anything", "new")
        await desk.search(ask(SENTENCES[0]))
        assert len(asked) == 2
        for text in SENTENCES:
            await desk.search(ask(text))
        assert len(desk._answers) == 2

    asyncio.run(go())
    desk.close()


def test_a_deep_page_reads_its_sentence_once(desk: Desk, engine: SearchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEVELS", (3, 9, 36))
    encoded: list[list[str]] = []
    real = SearchEngine.embed_many

    def counted(self: SearchEngine, texts: Sequence[str]) -> Tensor:
        encoded.append(list(texts))
        return real(self, texts)

    monkeypatch.setattr(SearchEngine, "embed_many", counted)
    request = parse("a heart -tree")
    found = asyncio.run(desk.search(Question(request=request, stop=36)))
    assert encoded == [["a heart", "tree"]]
    looks = [engine.rank_many([request], k=level)[0] for level in (3, 9, 36)]
    shown = looks[0].before(looks[1]).before(looks[2])
    assert ids(found) == [row.candidate.video_id for row in shown.rows]
    assert [hit.score for hit in found.hits] == [row.score for row in shown.rows]
    assert ids(found)[:9] == [row.candidate.video_id for row in looks[0].before(looks[1]).rows]


def test_a_hit_that_left_meanwhile_is_dropped(own: Path) -> None:
    """Another process that takes videos out between every look and its moments; what is told is what is there."""
    desk = Desk(own)
    desk.open()
    engine = desk._engine
    assert engine
    real = engine.hits
    took: list[str] = []

    def slow(ranking: Ranking, start: int, stop: int, **settings: Any) -> Sequence[Hit]:
        found = real(ranking, start, stop, **settings)
        with open_index(own, write=True) as index:
            took.append(found[len(took)].video_id)
            index.remove(took[-1])
        return found

    engine.hits = slow  # type: ignore[assignment, method-assign]
    answer = asyncio.run(desk.search(ask(SENTENCES[0], stop=36)))
    assert len(took) == module.AGAIN
    assert len(set(took)) == module.AGAIN
    assert len(answer.hits) == len(answer.holdings.facts) == 36 - module.AGAIN
    assert set(ids(answer)) == set(answer.holdings.facts)
    desk.close()


def test_an_index_that_is_emptied_meanwhile_leaves_nothing_to_tell(own: Path) -> None:
    desk = Desk(own)
    desk.open()
    engine = desk._engine
    assert engine
    real = engine.hits

    looks: list[int] = []

    def emptied(ranking: Ranking, start: int, stop: int, **settings: Any) -> Sequence[Hit]:
        found = real(ranking, start, stop, **settings)
        looks.append(len(found))
        with open_index(own, write=True) as index:
            index.put_note("looks", str(len(looks)))  # a commit each time, so that it is looked at again
            for video_id in index.versions if len(looks) == module.AGAIN else ():
                index.remove(video_id)
        return found

    engine.hits = emptied  # type: ignore[assignment, method-assign]
    answer = asyncio.run(desk.search(ask(SENTENCES[0])))
    assert looks == [20] * module.AGAIN
    assert answer.hits == ()
    assert (answer.num_asked, len(answer.holdings.facts)) == (0, 0)
    desk.close()


def test_how_deep_to_look() -> None:
    assert ask("a", stop=20).levels == ask("a", stop=50).levels == (50,)
    assert ask("a", start=40, stop=60).levels == (50, 200)
    assert ask("a", start=900, stop=1000).levels == (50, 200, 1000)
    assert ask("a").together == ask("b", start=20, stop=40).together
    assert ask("a").together != ask("a", words=False).together
    assert Question(like=("x", (0, 1))).together is None


def test_hours_are_drawn_by_a_few_values() -> None:
    assert [step_s(seconds) for seconds in (0.5, 160.0, 160.5, 320.0, 3600.0)] == [1, 1, 2, 2, 23]
    hit = Hit(video_id="x", score=1.0, moments=((0.0, 1.0),), duration_s=320.5, relevance=tuple(map(float, range(321))))
    short = pooled(hit)
    assert len(short.relevance) == 107
    assert short.relevance[:2] == (2.0, 5.0)
    assert short.relevance[-1] == 320.0
    assert pooled(replace(hit, duration_s=160.0)).relevance == hit.relevance


def test_work_that_fails_leaves_the_desk_working(desk: Desk) -> None:
    async def go() -> None:
        with pytest.raises(ZeroDivisionError):
            await desk.ask(lambda _: 1 / 0)
        assert len((await desk.holdings()).facts) == 36

    asyncio.run(go())


def test_open_says_what_is_wrong_with_an_index(own: Path) -> None:
    (own / "index.db").write_bytes(b"no database")
    desk = Desk(own)
    with pytest.raises(Exception, match=r"index\.db"):
        desk.open()
    desk.close()


def test_closing_drops_who_waits(library: Path) -> None:
    desk = Desk(library)
    let_go = hold(desk)
    waits: Future[None] = desk._thread.submit(lambda: None)
    threading.Timer(0.2, let_go.set).start()
    desk.close()
    assert waits.cancelled()


def test_an_index_that_is_made_anew_is_noticed(own: Path) -> None:
    """What was known of the old one, answers too, is not told of the new one."""
    desk = Desk(own)
    desk.open()

    async def go() -> tuple[Answer, Answer, Answer]:
        before = await desk.search(ask(SENTENCES[0]))
        assert (await desk.search(ask(SENTENCES[0]))).hits == before.hits
        await asyncio.to_thread(replace_index, [], own, load_world_encoder(), form=VectorForm(tokens="int8"))
        return before, await desk.search(ask(SENTENCES[0])), await desk.search(ask(SENTENCES[1], start=5, stop=10))

    before, after, later = asyncio.run(go())
    assert (before.num_asked, after.num_asked) == (FILES + FEATURES_ONLY, FILES)
    assert {hit.video_id for hit in after.hits} == set(after.holdings.facts)
    assert before.holdings.generation != after.holdings.generation
    assert [hit.score for hit in after.hits] == [
        hit.score for hit in SearchEngine.open(own).search(SENTENCES[0], k=FILES)
    ]
    assert len(later.hits) == 5
    assert desk.num_videos == FILES
    desk.close()
