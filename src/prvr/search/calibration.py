"""What confidence needs to know of a library, kept as a note of its index and brought up to date when videos change.

For every background sentence the best score that any video gives it, and which video that is. A new video is compared
with all sentences; one that is gone leaves the sentences that liked it best to be compared anew. So an update costs
what changed, and equals starting again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from prvr.core.ranking import score_banks
from prvr.core.types import EncoderSpec, Query
from prvr.data.world import world_queries
from prvr.encoders.world import DOMAIN
from prvr.index.base import Index, unit
from prvr.search.background import IN_COMMON, LETTERS, background, in_common, letters
from prvr.search.confidence import FEWEST_VIDEOS
from prvr.search.words import MIDDLE, NONE, SIZES, Kind, cut, kind_of

NOTE = "calibration"
VERSION = 2
WORLD_SEED = 1_000_003  # of the world whose sentences are at home in every generated one
HOME_SENTENCES = 400
AT_ONCE = 512  # sentences that all videos are compared with together
TOPIC, STRINGS, HOME, PIECE = "topic", "letters", "home", "piece"

Embed = Callable[[list[str]], Tensor]  # Q sentences -> (Q, D)
Unknown = Callable[[str], Sequence[str]]  # a text -> its words that mean nothing to the encoder


class Sentence(NamedTuple):
    """One background sentence."""

    text: str
    source: str  # TOPIC or one of IN_COMMON: about other things; STRINGS of letters; HOME: about its own; PIECE of such
    kind: Kind
    own: str = ""  # the video that it describes, which does not count


@dataclass(frozen=True, kw_only=True)
class CalibrationState:
    """What is kept: everything that follows from the vectors of the library and the background."""

    maker: str  # the encoder and the model that the vectors are of
    sentences: tuple[Sentence, ...]  # B
    vectors: str  # (B, D) float16, base64
    best: Mapping[int, tuple[float, str]]  # sentence -> its best score, and the video of it
    versions: Mapping[str, str]  # the videos that were looked at
    version: int = VERSION

    @classmethod
    def of(cls, index: Index) -> Self | None:
        """The note of an index; None where there is none, or one that is of another version or damaged."""
        try:
            values = json.loads(index.note(NOTE) or "")
            if values["version"] != VERSION:
                return None
            values["sentences"] = tuple(Sentence(a, b, Kind(*kind), own) for a, b, kind, own in values["sentences"])
            values["best"] = {int(row): (float(score), where) for row, (score, where) in values["best"].items()}
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    @property
    def queries(self) -> Tensor:
        """(B, D) float32."""
        flat = np.frombuffer(base64.b64decode(self.vectors), np.float16).astype(np.float32)
        return torch.from_numpy(flat).view(len(self.sentences), -1)


class Calibrated(NamedTuple):
    """What `calibrate` did."""

    compared: int  # videos that were compared with the background now
    videos: int
    enough: bool  # whether the library is large enough for anything to be said


def calibrate(
    index: Index, embed: Embed, *, encoder: EncoderSpec, unknown_words: Unknown, home: Sequence[str | Query] = ()
) -> Calibrated:
    """Bring the calibration of an index, which must be open for writing, up to date; nothing is done twice.

    `home` are sentences about this library's topics that nothing in it answers, or queries with the video that each
    describes: what its users asked, or captions. Without any no hit is called more than `related`. They are kept until
    others are given. Raises IndexFolderError when the index cannot be written.
    """
    versions = dict(index.versions)
    if len(versions) < FEWEST_VIDEOS:
        return Calibrated(0, len(versions), enough=False)
    maker = f"{encoder.revision} {index.header.model}"
    state = CalibrationState.of(index)
    if state is None:
        home = home or _kept_home(index, maker)
    elif state.maker != maker:
        state = None
    sentences = state.sentences if state and not home else tuple(_background(encoder, home, unknown_words))
    if state is None or state.sentences != sentences:
        vectors = unit(embed([sentence.text for sentence in sentences])).half().numpy()
        kept = base64.b64encode(vectors.tobytes()).decode()
        state = CalibrationState(maker=maker, sentences=sentences, vectors=kept, best={}, versions={})
    if state.versions == versions:
        return Calibrated(0, len(versions), enough=True)
    changed = [video_id for video_id, version in versions.items() if state.versions.get(video_id) != version]
    best = (
        _updated(index, state, changed, versions) if len(changed) <= len(versions) / 2 else _best_of_all(index, state)
    )
    state = replace(state, best=best, versions=versions)
    index.put_note(NOTE, json.dumps(asdict(state), ensure_ascii=False))
    return Calibrated(len(changed), len(versions), enough=True)


def outdated(index: Index) -> bool:
    """Whether an index was calibrated by another version of prvr, so that nothing is known until it is done again."""
    return bool(index.note(NOTE)) and len(index) >= FEWEST_VIDEOS and CalibrationState.of(index) is None


def _background(encoder: EncoderSpec, home: Sequence[str | Query], unknown_words: Unknown) -> list[Sentence]:
    """Foreign sentences of every size, those at home, and pieces of these of the middle size.

    Not those of which the encoder knows nothing: all are one to it, and such a query is not judged by its score.
    """
    sizes = range(len(SIZES))
    foreign = [(text, TOPIC) for size in sizes for text in background(size)]
    foreign += [(text, source) for source in IN_COMMON for size in sizes for text in in_common(source, size)]
    foreign += [(text, STRINGS) for size in sizes for text in letters(LETTERS, size=size)]
    given = _home(encoder, home)
    pieces = {cut(text, MIDDLE): own for text, own in given.items()}
    rows = [
        *((text, source, "") for text, source in foreign),
        *((text, HOME, own) for text, own in given.items()),
        *((text, PIECE, own) for text, own in pieces.items() if text and text not in given),
    ]
    every = (Sentence(text, source, kind_of(text, unknown_words), own) for text, source, own in rows)
    return [sentence for sentence in every if sentence.kind.knows != NONE]


def _home(encoder: EncoderSpec, given: Sequence[str | Query]) -> dict[str, str]:
    """The sentences given, else generated ones where the encoder knows one domain only -> the video each describes."""
    if not given and encoder.domain == DOMAIN:
        given = world_queries("demo", WORLD_SEED, "train")[:HOME_SENTENCES]
        return {query.text: "" for query in given if isinstance(query, Query)}
    return {one.text: one.video_id for one in (_as_query(item) for item in given)}


def _as_query(item: str | Query) -> Query:
    return item if isinstance(item, Query) else Query(query_id="", video_id="", text=item)


def _kept_home(index: Index, maker: str) -> list[Query]:
    """The sentences at home that were given to another version of prvr; its rows were (text, kind, null, own)."""
    try:
        note = json.loads(index.note(NOTE) or "")
        rows = [row for row in note["sentences"] if row[1] == HOME] if note["maker"] == maker else []
        return [Query(query_id="", video_id=str(row[3]), text=str(row[0])) for row in rows]
    except (ValueError, TypeError, KeyError, IndexError):
        return []


def _best_of_all(index: Index, state: CalibrationState) -> dict[int, tuple[float, str]]:
    """All sentences with all videos."""
    return _best(index, state, range(len(state.sentences)))


def _updated(
    index: Index, state: CalibrationState, changed: Sequence[str], versions: Mapping[str, str]
) -> dict[int, tuple[float, str]]:
    """The changed videos with all sentences; all videos with the sentences whose best video is gone or changed."""
    queries, kept = state.queries, versions.keys() - set(changed)
    best = {row: found for row, found in state.best.items() if found[1] in kept}
    lost = [row for row in range(len(state.sentences)) if row not in best]
    if changed and best:
        rows = list(best)
        banks = [index.candidate(queries[0], video_id).bank for video_id in changed]
        scores = score_banks(banks, queries[rows], clip_weight=index.header.clip_weight)
        new = _tops(state, rows, changed, scores)
        best = {row: max(best[row], new[row]) for row in best}
    return best | _best(index, state, lost)


def _best(index: Index, state: CalibrationState, rows: Sequence[int]) -> dict[int, tuple[float, str]]:
    """Some sentences with all videos."""
    queries, best = state.queries, dict[int, tuple[float, str]]()
    for at in range(0, len(rows), AT_ONCE):  # so that all videos by all sentences need not fit into memory
        part = list(rows[at : at + AT_ONCE])
        best |= _tops(state, part, *index.score_all(queries[part]))
    return best


def _tops(
    state: CalibrationState, rows: Sequence[int], ids: Sequence[str], scores: Tensor
) -> dict[int, tuple[float, str]]:
    """scores (len(rows), V) -> for each sentence its best score, and where; what describes a video does not count."""
    column = {video_id: v for v, video_id in enumerate(ids)}
    own = [(i, column[name]) for i, row in enumerate(rows) if (name := state.sentences[row].own) in column]
    scores = scores.float().clone()
    if own:
        scores[tuple(torch.tensor(own).T)] = -torch.inf
    value, place = scores.max(1)
    return {row: (float(value[i]), ids[int(place[i])]) for i, row in enumerate(rows)}
