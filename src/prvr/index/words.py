"""Names and subtitles: how a text is cut into words, and which videos hold most of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from prvr.core.text import folded
from prvr.core.types import Cue
from prvr.index.base import Video, WordHit

# a run of letters and digits is a word; a character of a script that is written without spaces is one by itself
UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")


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


def fold(text: str) -> list[str]:
    """The words of a text, without case and accents."""
    return WORD.findall(folded(text))


def informative(wanted: Iterable[str], frequency: Mapping[str, int], total: int) -> dict[str, float]:
    """Words -> how much each tells, log(1 + total / frequency).

    Words that more than half of the passages hold are left out, unless there are no others or few passages.
    """
    words = dict.fromkeys(wanted)
    rare = [word for word in words if frequency.get(word, 0) <= max(total / 2, 10)] or list(words)
    return {word: math.log1p(total / max(frequency.get(word, 0), 1)) for word in rare}


def rank_words(weights: Mapping[str, float], passages: Iterable[Passage], *, k: int) -> list[WordHit]:
    """The k videos with the passage that holds most of the weights, best first; equal ones in order of their ids."""
    found: dict[str, list[tuple[float, Cue | None]]] = {}
    whole = sum(weights.values())
    for video_id, cue, text in passages:
        if held := sum(weights[word] for word in set(fold(text)) & weights.keys()):
            found.setdefault(video_id, []).append((held / whole, cue))
    hits = [WordHit(video_id, max(score for score, _ in rows), _cues(rows)) for video_id, rows in found.items()]
    return sorted(hits, key=lambda hit: (-hit.score, hit.video_id))[:k]


def _cues(rows: Sequence[tuple[float, Cue | None]]) -> tuple[Cue, ...]:
    return tuple(cue for _, cue in sorted((-score, cue) for score, cue in rows if cue is not None))
