"""Why a video answers a sentence: what each word, and each branch, gives its best moment."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from prvr.core.errors import QueryError
from prvr.core.grammar import Request
from prvr.core.ranking import GRID_S, instants
from prvr.core.types import Bank
from prvr.index.base import Index, unit
from prvr.index.words import UNSPACED
from prvr.search.ranking import named

MOST_WORDS = 64  # that are left out one by one; each is one more sentence to encode
PIECE = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")
SIGNS = string.punctuation + "…“”„‘’‚«»‹›¿¡–—、。，！？：；「」『』（）"


class Word(NamedTuple):
    """A word of a query, as it was written, and what it does."""

    text: str
    step: int  # of the query, 0 = the first
    adds: float | None  # what the moment's score loses without the word; None: without it nothing is left to look for


class Branches(NamedTuple):
    """What each branch gives to a score: together the whole of it."""

    frame: float
    clip: float


class Why(NamedTuple):
    """A query taken apart at the best moment of one video."""

    video_id: str
    score: float  # of that moment, before anything is taken from it for what must not be seen
    at_s: tuple[float, ...]  # where each step is seen best, the middle of an instant, seconds
    words: tuple[Word, ...]  # in the order of the sentence
    branches: Branches | None  # None: the score has one branch only


def explain(index: Index, request: Request, video_id: str, *, embed: Callable[[Sequence[str]], Tensor]) -> Why:
    """Leave every word out once, and see what the best moment of a video then scores at the same instant.

    `embed` (texts -> (Q, D)) is called once, with all sentences. All words are tried, `the` and `is` as well: a list
    of words that do not count would have to exist for every language, and a model may read them all the same. Of
    several steps each is looked at where it is seen in order, and counts in the score by its share. Raises QueryError
    for more than `MOST_WORDS` words, IndexFolderError for a video that is not there.
    """
    parts = [(step, word, rest) for step, text in enumerate(request.steps) for word, rest in without_each(text)]
    if len(parts) > MOST_WORDS:
        raise QueryError(
            f"query: has {len(parts)} words, and at most {MOST_WORDS} can be left out one by one; ask in fewer words"
        )
    left = [(step, rest) for step, _, rest in parts if rest]
    counts = [len(request.steps), len(request.without), len(left)]
    vectors = embed([*request.steps, *request.without, *(rest for _, rest in left)])
    steps, negatives, fewer = torch.split(unit(vectors), counts)
    row = named(index, steps, negatives, video_id, within_s=request.within_s, where=request.filters)
    branches = _branches(row.candidate.bank, torch.cat([steps, fewer]), index.header.clip_weight)  # (B, S + W', G)
    values, each = branches.sum(0), torch.arange(len(steps))
    places = values[: len(steps)].argmax(1) if row.places is None else row.places  # (S,)
    whole = values[each, places]  # (S,)
    owner = torch.tensor([step for step, _ in left], dtype=torch.long)  # (W',)
    lost = whole[owner] - values[len(steps) :].gather(1, places[owner][:, None]).squeeze(1)
    adds = iter((lost / len(steps)).tolist())
    shares = branches[:, each, places].mean(1).tolist()
    return Why(
        video_id=video_id,
        score=float(whole.mean()),
        at_s=tuple(((places + 0.5) * GRID_S).clamp(max=float(row.candidate.bank.spans.max())).tolist()),
        words=tuple(Word(word, step, next(adds) if rest else None) for step, word, rest in parts),
        branches=Branches(*shares) if len(shares) == 2 else None,
    )


def without_each(text: str) -> Iterator[tuple[str, str]]:
    """Every word of a sentence, and what is left without it; empty where that holds no word.

    What stands between spaces is a word, hyphens and apostrophes included, signs at its ends not; a character of a
    script that is written without spaces is one by itself.
    """
    for piece in PIECE.finditer(text):
        word = piece[0].strip(SIGNS)
        if not any(map(str.isalnum, word)):
            continue
        start = piece.start() + piece[0].index(word)
        rest = (text[:start].rstrip() + text[start + len(word) :]).strip()
        yield word, rest if any(map(str.isalnum, rest)) else ""


def _branches(bank: Bank, queries: Tensor, clip_weight: float) -> Tensor:
    """queries (Q, D) -> (B, Q, G): what each branch that has a weight gives to the score of every instant."""
    shares = [(branch, share) for branch, share in ((0.0, 1 - clip_weight), (1.0, clip_weight)) if share]
    length = [float(bank.spans.max())]
    return torch.stack(
        [share * instants([bank], queries, clip_weight=one, durations_s=length).values[:, 0] for one, share in shares]
    )
