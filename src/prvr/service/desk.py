"""One thread that owns the engine, and the line in front of it.

The index and the encoder are used by one thread only; everybody else asks here. Sentences that wait at the same time
are answered together, so that the encoder reads them in one go; nobody waits for company. Who has gone is dropped
before work starts, a line that is full sends new questions away, and the last answers are kept until the index changes.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import reduce
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar

from prvr.core.errors import IndexFolderError, PrvrError
from prvr.core.facts import Where
from prvr.core.grammar import Feedback, Request
from prvr.core.types import Hit, Span
from prvr.search import keeping
from prvr.search.confidence import CONFIDENT, LABELS, NOTHING
from prvr.search.engine import SearchEngine
from prvr.search.places import is_index
from prvr.search.ranking import Ranking
from prvr.search.words import NONE, kind_of
from prvr.service.holdings import Holdings, holdings

LEVELS = (50, 200, 1000)  # how deep an answer is looked for; the order of one level is the beginning of the next
FRESH_S = 1.0  # holdings this old are good enough to find a file by
MOST_VALUES = 160  # of a hit's curve
AGAIN = 4  # looks, where the index changes while it is looked at
RETRY_S = 1.0  # between two looks for an index that is not there

T = TypeVar("T")


class NothingIndexed(PrvrError):
    """There is nothing to search yet."""


class LineFull(PrvrError):
    """Too many questions wait."""


class Question(NamedTuple):
    """What is asked, and which part of the answer is wanted."""

    request: Request | None = None
    like: tuple[str, Span] | None = None  # instead of a request
    picture: bytes | None = None  # instead of both
    filters: Where = Where()  # of `like`; a request has its own
    words: bool = True
    calibrated: bool = True
    feedback: Feedback = Feedback()
    start: int = 0
    stop: int = 20

    @property
    def levels(self) -> tuple[int, ...]:
        """How deep to look, so that the part that is wanted is there."""
        return tuple(level for i, level in enumerate(LEVELS) if i == 0 or LEVELS[i - 1] < self.stop)

    @property
    def where(self) -> Where:
        """Which videos are asked."""
        return self.request.filters if self.request else self.filters

    @property
    def videos(self) -> tuple[str, ...]:
        """The videos that are named in it."""
        named = (*self.feedback.positive, *self.feedback.negative, *((self.like,) if self.like else ()))
        return tuple(video_id for video_id, _ in named)

    @property
    def together(self) -> tuple[object, ...] | None:
        """Questions with the same of this are answered in one go; None: alone."""
        return None if self.request is None else (self.levels, self.words, self.calibrated)


class Answer(NamedTuple):
    """A part of an answer, and what is true of all of it."""

    hits: tuple[Hit, ...]
    total: int  # hits that can be paged to
    num_asked: int  # videos that pass the filter
    num_confident: int
    verdict: str
    unknown_words: tuple[str, ...]
    understood: bool  # the encoder knows a word that means something, or nothing was asked in words
    scale: tuple[float, float]  # lowest and highest score of an instant
    holdings: Holdings
    batch: int  # questions answered together with this


class _Asked(NamedTuple):
    question: Question
    answer: Future[Answer]


class Desk:
    """Who has a question for the engine comes here."""

    def __init__(
        self,
        folder: Path,
        *,
        encoder: str | None = None,
        device: str = "auto",
        waiting: int = 128,
        together: int = 16,
        kept: int = 32,
    ) -> None:
        self.folder = folder
        self._encoder, self._device = encoder, device
        self._most_waiting, self._most_together, self._most_kept = waiting, together, kept
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prvr-desk")
        self._lock = threading.Lock()
        self._line: deque[_Asked] = deque()
        self._busy = 0  # pieces of work that wait or run
        self._engine: SearchEngine | None = None
        self._tried = -RETRY_S
        self._holdings: tuple[float, Holdings | None] = (0.0, None)  # when they were known to be the newest
        self._answers: OrderedDict[tuple[str, Question], Answer] = OrderedDict()
        self.batches: Callable[[int], None] = lambda _: None  # told the size of each

    def open(self) -> None:
        """Load the engine now and wait for it. Raises PrvrError when it cannot be; nothing where there is no index."""
        self._thread.submit(self._look_for_engine).result()

    def opening(self) -> str:
        """A sentence that the library answers well, for the page to begin with; empty where none is known."""
        return next(iter(self.known.examples), "") if self.known else ""

    def close(self) -> None:
        """Finish what is being answered and drop the rest."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    @property
    def waiting(self) -> int:
        """Pieces of work that wait or run."""
        return self._busy

    @property
    def known(self) -> Holdings | None:
        """What the library held when it was last looked at."""
        return self._holdings[1]

    @property
    def num_videos(self) -> int:
        """How many of them."""
        return len(self.known.facts) if self.known else 0

    @property
    def ready(self) -> bool:
        """Whether there is something to search."""
        return self._engine is not None

    async def ask(self, work: Callable[[SearchEngine], T]) -> T:
        """Something else to be done with the engine. Raises NothingIndexed, or LineFull when too many wait."""
        return await self._soon(lambda: work(self._need_engine()))

    async def forget(self, video_id: str) -> None:
        """Take a video out of the index; its file stays. Raises IndexFolderError where somebody else is writing."""
        await self.ask(lambda _: keeping.forget(self.folder, video_id))
        await self.holdings(newest=True)

    async def forget_folder(self, path: Path, video_ids: Sequence[str]) -> None:
        """Take a folder with these videos out of the index; its files stay. Raises as `forget`."""
        await self.ask(lambda _: keeping.forget_folder(self.folder, path, video_ids))
        await self.holdings(newest=True)

    async def relocate(self, video_id: str, path: Path) -> None:
        """The file of a video lies elsewhere now. Raises OtherFile for another one, else as `forget`."""
        await self.ask(lambda engine: keeping.relocate(self.folder, video_id, path, engine.trained))
        await self.holdings(newest=True)

    async def search(self, question: Question) -> Answer:
        """The answer to a question. Raises PrvrError for one that cannot be asked, else as `ask`."""
        asked = _Asked(question, Future())
        with self._lock:
            self._line.append(asked)
        try:
            return await self._soon(lambda: self._serve(asked))
        finally:
            asked.answer.cancel()
            with self._lock:
                if asked in self._line:
                    self._line.remove(asked)

    async def holdings(self, *, needed: str = "", newest: bool = False) -> Holdings:
        """What the library holds; a second ago is good enough, unless a video is `needed` that was not there."""
        when, known = self._holdings
        recent = known is not None and not newest and time.monotonic() - when < FRESH_S
        if known is not None and recent and (not needed or needed in known.facts):
            return known
        return await self.ask(self._current)

    async def _soon(self, work: Callable[[], T]) -> T:
        with self._lock:
            if self._busy >= self._most_waiting:
                raise LineFull("too many questions wait; ask again in a moment")
            self._busy += 1
        future = self._thread.submit(work)
        future.add_done_callback(self._done)
        return await asyncio.wrap_future(future)

    def _done(self, _: Future[T]) -> None:
        with self._lock:
            self._busy -= 1

    def _look_for_engine(self) -> None:
        """Open the index if there is one by now, or another one."""
        if self._engine is not None and self._engine.replaced:
            self._engine, self._holdings = None, (0.0, None)
            self._answers.clear()
        if self._engine is not None or time.monotonic() - self._tried < RETRY_S:
            return
        if is_index(self.folder):
            self._engine = SearchEngine.open(self.folder, encoder=self._encoder, device=self._device)
            self._current(self._engine)
        else:
            self._tried = time.monotonic()

    def _need_engine(self) -> SearchEngine:
        self._look_for_engine()
        if self._engine is None:
            raise NothingIndexed("nothing is indexed yet; add a folder of videos first")
        return self._engine

    def _current(self, engine: SearchEngine) -> Holdings:
        """What there is now; read again only when there was a commit."""
        _, known = self._holdings
        if known is None or known.generation != engine.generation:
            known = holdings(engine)
        self._holdings = time.monotonic(), known
        return known

    def _serve(self, asked: _Asked) -> Answer:
        """Answer this question, and those like it that wait, unless one before has done it."""
        if asked.answer.done():
            return asked.answer.result()
        engine = self._need_engine()
        company = self._company(asked)
        try:
            answers = self._answer(engine, [one.question for one in company])
        except PrvrError:
            if len(company) == 1:
                raise
            company, answers = [asked], self._answer(engine, [asked.question])  # the others find out for themselves
        for one, answer in zip(company, answers, strict=True):
            if one.answer.set_running_or_notify_cancel():
                one.answer.set_result(answer)
        return answers[0]

    def _company(self, asked: _Asked) -> list[_Asked]:
        """A question and the first of those in line that can be answered with it."""
        with self._lock:
            alike = asked.question.together
            others = [
                one for one in self._line if one is not asked and alike is not None and one.question.together == alike
            ]
            company = [asked, *others[: self._most_together - 1]]
            for one in company:
                if one in self._line:
                    self._line.remove(one)
        return company

    def _answer(self, engine: SearchEngine, questions: Sequence[Question]) -> list[Answer]:
        """Questions of one kind; what is known is not asked again."""
        generation = engine.generation
        known = {one: self._answers[generation, one] for one in questions if (generation, one) in self._answers}
        new = [question for question in dict.fromkeys(questions) if question not in known]
        self.batches(len(questions))
        if new:
            known |= dict(zip(new, self._find(engine, new, len(questions)), strict=True))
        for question, answer in known.items():
            self._answers[answer.holdings.generation, question] = answer
            self._answers.move_to_end((answer.holdings.generation, question))
        while len(self._answers) > self._most_kept:
            self._answers.popitem(last=False)
        return [known[question] for question in questions]

    def _find(self, engine: SearchEngine, questions: Sequence[Question], batch: int) -> list[Answer]:
        """Look again where the index changed meanwhile; where it always does, leave out what is there no more."""
        for left in reversed(range(AGAIN)):
            before = self._current(engine)
            try:
                rankings = _rankings(engine, questions)
                pairs = zip(questions, rankings, strict=True)
                hits = [engine.hits(one, asked.start, asked.stop, facts=before.facts) for asked, one in pairs]
            except IndexFolderError:
                if not left or engine.generation == before.generation:
                    raise
                continue
            now = self._current(engine)
            if now.generation == before.generation or not left:
                break
        return [
            _answered(engine, question, ranking, [hit for hit in part if hit.video_id in now.facts], now, batch)
            for question, ranking, part in zip(questions, rankings, hits, strict=True)
        ]


def step_s(duration_s: float) -> int:
    """How many seconds one value of a hit's curve stands for, so that hours of video are drawn by a few values."""
    return max(1, math.ceil(duration_s / MOST_VALUES))


def pooled(hit: Hit) -> Hit:
    """A hit whose curve has one value, the highest, for every so many seconds: what is kept must stay small."""
    step = step_s(hit.duration_s)
    if step == 1:
        return hit
    values = tuple(max(hit.relevance[at : at + step]) for at in range(0, len(hit.relevance), step))
    return replace(hit, relevance=values)


def _rankings(engine: SearchEngine, questions: Sequence[Question]) -> list[Ranking]:
    """Each level looked for after the one before, so that what was shown stays where it is."""
    first = questions[0]
    if first.picture is not None:
        return [engine.rank_image(first.picture, k=first.stop)]
    if first.like is not None:
        looks = (engine.rank_like(*first.like, k=level, where=first.where) for level in first.levels)
        return [reduce(Ranking.before, looks)]
    *shown, deepest = first.levels
    return engine.rank_many(
        [question.request for question in questions if question.request],
        k=deepest,
        words=first.words,
        calibrated=first.calibrated,
        feedback=[question.feedback for question in questions],
        shown=shown,
    )


def _answered(
    engine: SearchEngine, question: Question, ranking: Ranking, hits: Sequence[Hit], now: Holdings, batch: int
) -> Answer:
    request, rows = question.request, ranking.rows
    asked = now.meant(question.where)
    labels = [judgement.confidence for judgement in ranking.judgements]
    unknown = {text: engine.encoder.unknown_words(text) for text in (request.steps if request else ())}
    return Answer(
        hits=tuple(pooled(hit) for hit in hits),
        total=len(rows) if len(rows) < question.levels[-1] else min(asked, LEVELS[-1]),
        num_asked=asked,
        num_confident=labels.count(CONFIDENT),
        verdict=min(labels, key=LABELS.index, default=NOTHING),
        unknown_words=tuple(dict.fromkeys(chain.from_iterable(unknown.values()))),
        understood=not unknown or any(kind_of(text, unknown.__getitem__).knows != NONE for text in unknown),
        scale=ranking.scale(LEVELS[0]),
        holdings=now,
        batch=batch,
    )
