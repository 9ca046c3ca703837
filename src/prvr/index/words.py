"""Names and subtitles: how a text is cut into words, and which videos say most of it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from prvr.core.facts import Cue
from prvr.core.text import folded
from prvr.index.base import Video, WordHit

# a run of letters and digits is a word; a character of a script that is written without spaces is one by itself
UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")

_ENGLISH = """
a about above across after against all along also am among an and another any are around as at away be because been
before behind being below beneath beside between beyond both but by could d did do does doing during each either
every for from had has have he her here hers him his how i if in inside into is it its itself just ll m me more most
my near nor not of off on onto or other our out over own per re s shall she should so some such t than that the
their them then there these they this those through to toward towards under until upon us very was we were what when
where which while who whom whose why will with within without would you your ve
"""
_GERMAN = """
aber alle als am an auch auf aus bei beim bis bist da damit dann das dass dein dem denn der des dessen die diese
diesem diesen dieser dieses doch dort du durch ein eine einem einen einer eines er es euch euer gegen hinter ich ihm
ihn ihr ihre im in ist ja jede jeder jedes kein keine mit nach neben nicht noch nur ob oder ohne sein seine sich sie
sind so um und uns unser unter vom von vor waren was weil wenn wer wie wir wird wo zu zum zur zwischen
"""
FUNCTION_WORDS = frozenset(f"{_ENGLISH} {_GERMAN}".split())
"""English and German words that say how others belong together, and nothing by themselves, as `fold` writes them.

None that is a thing in the other language (hat, war, den).
"""

SATURATION, LENGTH_SHARE = 1.2, 0.75  # k1 and b of BM25, as everywhere
SELDOM, MUCH = 3, 1000  # passages: a word that as few say, among as many, names them
USUAL_LENGTH = 8  # words of a line of subtitles; no mean over the library, so that new videos change no score


class Passage(NamedTuple):
    """What words are looked for in: the name of a video, or one of its cues."""

    video_id: str
    cue: Cue | None
    text: str


def passages_of(video: Video) -> Iterator[Passage]:
    """The name and the cues of a video; a file that was renamed has both its names."""
    name = PurePosixPath(video.facts.path).name
    yield Passage(video.video_id, None, video.video_id if name in video.video_id else f"{video.video_id} {name}")
    yield from (Passage(video.video_id, cue, cue.text) for cue in video.cues)


def of_kind(passages: Iterable[Passage], kind: str | None) -> Iterator[Passage]:
    """Those of one kind of words, and no names; all where none is given."""
    return (one for one in passages if kind is None or (one.cue is not None and one.cue.kind == kind))


def fold(text: str) -> list[str]:
    """The words of a text, without case and accents."""
    return WORD.findall(folded(text))


def content(text: str) -> list[str]:
    """The same without those that mean nothing by themselves."""
    return [word for word in fold(text) if word not in FUNCTION_WORDS]


class Sought(NamedTuple):
    """What is looked for, as an index knows it."""

    weights: Mapping[str, float]  # content words -> how much each tells: BM25's log(1 + (N - n + 1/2) / (n + 1/2))
    names: frozenset[str]  # those that are said so seldom among so much that they name who says them


def informative(text: str, frequency: Mapping[str, int], total: int) -> Sought:
    """The content words of a text, n = frequency of each among N = total passages."""
    words = dict.fromkeys(content(text))
    counts = {word: frequency.get(word, 0) for word in words}
    names = {word for word, count in counts.items() if 0 < count <= SELDOM and total >= MUCH}
    weights = {word: math.log1p((total - count + 0.5) / (count + 0.5)) for word, count in counts.items()}
    return Sought(weights, frozenset(names))


def rank_words(wanted: Sought, passages: Iterable[Passage], *, k: int) -> list[WordHit]:
    """The k videos with the best passage by BM25 (Robertson and Zaragoza, 2009), equal ones in order of their ids."""
    weights = wanted.weights
    found: dict[str, list[tuple[float, float, Cue | None]]] = {}
    named = set()
    whole = sum(weights.values())
    for video_id, cue, text in passages:
        words = fold(text)
        if said := {word: count for word, count in Counter(words).items() if word in weights}:
            share = sum(weights[word] for word in said) / whole
            found.setdefault(video_id, []).append((_bm25(weights, said, len(words)), share, cue))
            named |= {video_id} if wanted.names & said.keys() else set()
    best = {video_id: max(worth for worth, _, _ in rows) for video_id, rows in found.items()}
    order = sorted(best, key=lambda video_id: (-best[video_id], video_id))[:k]
    return [WordHit(one, max(share for _, share, _ in found[one]), _cues(found[one]), one in named) for one in order]


def _bm25(weights: Mapping[str, float], said: Mapping[str, int], length: int) -> float:
    less = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * length / USUAL_LENGTH)
    return sum(weights[word] * count * (SATURATION + 1) / (count + less) for word, count in said.items())


def _cues(rows: Sequence[tuple[float, float, Cue | None]]) -> tuple[Cue, ...]:
    return tuple(cue for _, cue in sorted((-score, cue) for score, _, cue in rows if cue is not None))
