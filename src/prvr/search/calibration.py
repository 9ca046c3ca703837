"""What confidence needs to know of a library, kept as a note of its index and brought up to date when videos change.

Each bank of background sentences is halved: one half gives the videos their bias, the other the null, which would be
too low if the same sentences gave both. A new video is compared with all sentences; one that is gone leaves the
sentences that liked it best to be compared anew. So an update costs what changed, and equals starting again.
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
from prvr.search.background import COUNTS, background
from prvr.search.confidence import FEWEST_VIDEOS, video_bias

NOTE = "calibration"
VERSION = 1
WORLD_SEED = 1_000_003  # of the world whose sentences are at home in every generated one
HOME_SENTENCES = 600

Embed = Callable[[list[str]], Tensor]  # Q sentences -> (Q, D)


class Sentence(NamedTuple):
    """One background sentence."""

    text: str
    kind: str  # `home`: about the library's own topics; else one of `background.COUNTS`
    null: bool  # counts for the null, else for the bias
    own: str = ""  # the video that it describes, which does not count


@dataclass(frozen=True, kw_only=True)
class CalibrationState:
    """What is kept: everything that follows from the vectors of the library and the background."""

    maker: str  # the encoder and the model that the vectors are of
    sentences: tuple[Sentence, ...]  # B
    vectors: str  # (B, D) float16, base64
    best: Mapping[int, tuple[float, str]]  # sentence of a null -> its best score less bias, and the video of it
    versions: Mapping[str, str]  # the videos that were looked at
    bias: Mapping[str, float]
    t_norm: bool = False  # whether sentences are measured by their own mean and deviation over anchor videos
    version: int = VERSION

    @classmethod
    def of(cls, index: Index) -> Self | None:
        """The note of an index; None where there is none, or one that is of another version or damaged."""
        text = index.note(NOTE)
        try:
            values = json.loads(text or "")
            values["sentences"] = tuple(Sentence(*row) for row in values["sentences"])
            values["best"] = {int(row): (float(score), where) for row, (score, where) in values["best"].items()}
            state = cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        return state if state.version == VERSION else None

    @property
    def queries(self) -> Tensor:
        """(B, D) float32."""
        flat = np.frombuffer(base64.b64decode(self.vectors), np.float16).astype(np.float32)
        return torch.from_numpy(flat).view(len(self.sentences), -1)

    def rows(self, *kinds: str, null: bool) -> list[int]:
        """Which sentences are of these kinds, or of any."""
        pairs = enumerate(self.sentences)
        return [row for row, one in pairs if one.null == null and (not kinds or one.kind in kinds)]


class Calibrated(NamedTuple):
    """What `calibrate` did."""

    compared: int  # videos that were compared with the background now
    videos: int
    enough: bool  # whether the library is large enough for anything to be said


def calibrate(
    index: Index,
    embed: Embed,
    *,
    encoder: EncoderSpec,
    home: Sequence[str | Query] = (),
    t_norm: bool = False,
) -> Calibrated:
    """Bring the calibration of an index, which must be open for writing, up to date; nothing is done twice.

    `home` are sentences about this library's topics that nothing in it answers, or queries with the video that each
    describes: what its users asked, or captions. Without any no hit is called more than `related`. They are kept until
    others are given. `t_norm` is off because it found fewer targets wherever it was measured, see
    benchmarks/confidence.py. Raises IndexFolderError when the index cannot be written.
    """
    versions = dict(index.versions)
    if len(versions) < FEWEST_VIDEOS:
        return Calibrated(0, len(versions), enough=False)
    maker = f"{encoder.revision} {index.header.model}"
    state = CalibrationState.of(index)
    if state is not None and state.maker != maker:
        state = None
    sentences = state.sentences if state and not home else (*_foreign(), *_home(encoder, home))
    if state is None or state.sentences != sentences:
        vectors = unit(embed([sentence.text for sentence in sentences])).half().numpy()
        state = CalibrationState(
            maker=maker,
            sentences=sentences,
            vectors=base64.b64encode(vectors.tobytes()).decode(),
            best={},
            versions={},
            bias={},
        )
    if state.versions == versions and state.t_norm == t_norm:
        return Calibrated(0, len(versions), enough=True)
    changed = [video_id for video_id, version in versions.items() if state.versions.get(video_id) != version]
    update = _update if len(changed) <= len(versions) / 2 else _from_start
    state = replace(update(index, state, changed, versions), versions=versions, t_norm=t_norm)
    index.put_bias({video_id: state.bias[video_id] for video_id in changed})
    index.put_note(NOTE, json.dumps(asdict(state), ensure_ascii=False))
    return Calibrated(len(changed), len(versions), enough=True)


def _foreign() -> list[Sentence]:
    """Every other one for the null; strings of letters all, since no video is to be measured by them."""
    return [
        Sentence(text, kind, null=kind == "letters" or number % 2 == 1)
        for kind in COUNTS
        for number, text in enumerate(background(kind))
    ]


def _home(encoder: EncoderSpec, given: Sequence[str | Query]) -> list[Sentence]:
    """The sentences given, else generated ones where the encoder knows one domain only; every other for the null."""
    if not given and encoder.domain == DOMAIN:
        given = [query.text for query in world_queries("demo", WORLD_SEED, "train")[:HOME_SENTENCES]]
    owners = {item.text: item.video_id if isinstance(item, Query) else "" for item in map(_as_query, given)}
    return [Sentence(text, "home", number % 2 == 1, own) for number, (text, own) in enumerate(owners.items())]


def _as_query(item: str | Query) -> Query:
    return item if isinstance(item, Query) else Query(query_id="", video_id="", text=item)


def _from_start(
    index: Index, state: CalibrationState, _: Sequence[str], versions: Mapping[str, str]
) -> CalibrationState:
    """All videos with all sentences."""
    ids, scores = index.score_all(state.queries)
    scores = _without_own(state, list(range(len(state.sentences))), ids, scores)
    bias = video_bias(scores[state.rows(null=False)])
    known = [v for v, video_id in enumerate(ids) if video_id in versions]
    state = replace(state, bias={ids[v]: float(bias[v]) for v in known}, best={})
    return replace(state, best=_best(state, state.rows(null=True), ids, scores[state.rows(null=True)]))


def _update(
    index: Index, state: CalibrationState, changed: Sequence[str], versions: Mapping[str, str]
) -> CalibrationState:
    """The changed videos with all sentences; all videos with the sentences whose best video is gone or changed."""
    queries, nulls = state.queries, state.rows(null=True)
    bias = {video_id: value for video_id, value in state.bias.items() if video_id in versions}
    kept = bias.keys() - set(changed)
    lost = [row for row in nulls if state.best[row][1] not in kept]
    best = {row: state.best[row] for row in nulls if row not in set(lost)}
    if changed:
        banks = [index.candidate(queries[0], video_id).bank for video_id in changed]
        scores = score_banks(banks, queries, clip_weight=index.header.clip_weight)
        scores = _without_own(state, list(range(len(queries))), changed, scores)
        found = video_bias(scores[state.rows(null=False)])
        bias |= {video_id: float(value) for video_id, value in zip(changed, found, strict=True)}
        new = _best(replace(state, bias=bias), list(best), changed, scores[list(best)])
        best = {row: max(best[row], new[row]) for row in best}
    state = replace(state, bias=bias)
    if lost:
        ids, scores = index.score_all(queries[lost])
        best |= _best(state, lost, ids, _without_own(state, lost, ids, scores))
    return replace(state, best=best)


def _best(
    state: CalibrationState, rows: Sequence[int], ids: Sequence[str], scores: Tensor
) -> dict[int, tuple[float, str]]:
    """scores (len(rows), V) -> for each sentence its best score less bias, and where; without any video -inf."""
    if not len(rows):
        return {}
    less = scores - torch.tensor([state.bias.get(video_id, torch.inf) for video_id in ids])
    value, place = less.max(1)
    return {row: (float(value[i]), ids[int(place[i])]) for i, row in enumerate(rows)}


def _without_own(state: CalibrationState, rows: Sequence[int], ids: Sequence[str], scores: Tensor) -> Tensor:
    """scores (len(rows), V) with -inf where a sentence describes the video."""
    column = {video_id: v for v, video_id in enumerate(ids)}
    own = [(i, column[name]) for i, row in enumerate(rows) if (name := state.sentences[row].own) in column]
    scores = scores.float().clone()
    if own:
        scores[tuple(torch.tensor(own).T)] = -torch.inf
    return scores
