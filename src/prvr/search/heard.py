"""What is said, or written, in the videos of an open index: literally and by their meaning."""

from __future__ import annotations

from pathlib import Path

from prvr.core.errors import EncoderError
from prvr.core.facts import KINDS, Where
from prvr.core.grammar import Request
from prvr.index.base import Index, WordHit
from prvr.search.confidence import CONFIDENT, NOTHING, RELATED
from prvr.search.judge import Judgement
from prvr.search.meaning import Meanings
from prvr.search.ranking import DEPTH, HALF, by_words, together


def listens(request: Request, *, words: bool) -> bool:
    """Whether words count for a request: they are all it asks for, or they count beside pictures."""
    return request.channel in KINDS or (words and not request.channel)


def judged(hit: WordHit) -> Judgement:
    """How sure a hit of words alone is: all of them said, half of them, or as near by its meaning as few are."""
    if hit.score > 1 - 1e-6:
        return Judgement(CONFIDENT, None, None)
    return Judgement(RELATED if hit.score >= HALF else NOTHING, hit.p, None)


class HeardWords:
    """Asked by the engine; vectors of words are read again when the index has changed."""

    def __init__(self, index: Index, folder: Path) -> None:
        self._index, self._folder = index, folder
        self._known: tuple[str, Meanings | None] = ("", None)  # the generation, and what was said then

    def find(self, request: Request, *, k: int, where: Where | None) -> list[WordHit]:
        """The videos whose words answer a request, best first."""
        literal = by_words(self._index, request.text, k=k, where=where, kind=request.channel)
        meanings = self.meanings
        if meanings is None:
            return literal

        def holds(video_id: str) -> bool:
            return not where or where.holds(self._index.facts(video_id))

        return together(literal, meanings.find(request.text, k=max(DEPTH, 2 * k), holds=holds, kind=request.channel))

    @property
    def meanings(self) -> Meanings | None:
        """Words by their meaning; None where there are none, or the sentence model is not here."""
        generation = self._index.generation
        if generation != self._known[0]:
            before = self._known[1]
            try:
                found = Meanings.of(self._folder, list(self._index.versions), before.model if before else None)
            except EncoderError:  # words are still found literally
                found = None
            self._known = (generation, found)
        return self._known[1]
