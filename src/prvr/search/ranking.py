"""Which videos answer a request, best first, before anyone says how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from prvr.core.facts import Where
from prvr.core.ranking import Instants, around, instants, on_grid
from prvr.core.types import Candidate, Span
from prvr.index.base import Index, WordHit, unit
from prvr.search.confidence import LEVEL
from prvr.search.judge import Judgement
from prvr.search.order import in_order, without

DEPTH = 100  # videos that are looked at again when ranking by more than one vector
STRENGTH = 0.5  # what a negative takes away, times what it stands above its usual height (benchmarks/grammar.py)
RRF = 60  # of reciprocal rank fusion: how little the first ranks differ
LIKED, DISLIKED = 0.75, 0.15  # what the mean of liked and of disliked moments weighs beside a sentence
SAID = 0.7  # share of a text's information that a name or a cue must hold to count (benchmarks/grammar.py),
NAMED = 0.1  # or this much, if it holds a word that names it
HALF = 0.5  # and from which on it counts in full
LEAST = 0.01  # of what is seen, however unsure, beside what is said


class Row(NamedTuple):
    """One video of an answer, with what its moments and its confidence are read from."""

    candidate: Candidate
    score: float
    evidence: Tensor  # (S,) what each step scores in it
    values: Tensor | None = None  # (S, G) score of every instant of every step; None: the candidate's own tokens
    places: Tensor | None = None  # (S,) the instant of each step
    step_s: float = 0.0

    @property
    def spans(self) -> tuple[Span, ...]:
        """When each of several steps is seen, in order of time, one ending where the next begins at the latest."""
        if self.values is None or self.places is None or len(self.values) < 2:
            return ()
        places = self.places.tolist()
        found = around(on_grid(list(self.values), steps_s=[self.step_s] * len(places)), self.places.numpy()).tolist()
        bounds = [0.0, *((a + b + 1) / 2 * self.step_s for a, b in pairwise(places)), torch.inf]
        return tuple((max(start, bounds[i]), min(end, bounds[i + 1])) for i, (start, end) in enumerate(found))


class Ranking(NamedTuple):
    """An answer before moments are read from it."""

    rows: list[Row]  # best first
    judgements: list[Judgement]  # of each
    said: Mapping[str, WordHit] = {}  # by video id, where words of the text are said

    def before(self, deeper: Ranking) -> Ranking:
        """The same order, then what a deeper look found beside it."""
        known = {row.candidate.video_id for row in self.rows}
        new = [i for i, row in enumerate(deeper.rows) if row.candidate.video_id not in known]
        rows = [*self.rows, *(deeper.rows[i] for i in new)]
        return Ranking(rows, [*self.judgements, *(deeper.judgements[i] for i in new)], {**deeper.said, **self.said})

    def scale(self, most: int) -> tuple[float, float]:
        """The lowest and the highest score of a vector or an instant among the first `most` videos."""
        values = [row.candidate.token_scores if row.values is None else row.values for row in self.rows[:most]]
        if not values:
            return (0.0, 1.0)
        low, high = torch.cat([one.flatten() for one in values]).aminmax()
        return float(low), float(high)


def by_vector(index: Index, query: Tensor, *, k: int, where: Where | None) -> list[Row]:
    """One sentence: the score of the index. query (D,)."""
    return [_plain(one) for one in index.search(query, k=k, where=where)]


def by_instants(
    index: Index,
    steps: Tensor,
    negatives: Tensor,
    *,
    within_s: Sequence[float | None],
    k: int,
    where: Where | None,
) -> list[Row]:
    """Several sentences that must be seen one after another, or one beside what must not be seen with it.

    steps (S, D), negatives (M, D). The score is that of the best instant, or the mean over the best instants in order.
    Looked at are the videos that are among the best for any step, or for all of them together.
    """
    probes = unit(torch.cat([steps, unit(steps).mean(0, keepdim=True)]) if len(steps) > 1 else steps)
    depth = max(DEPTH, 2 * k)
    found = {one.video_id: one for probe in probes for one in index.search(probe, k=depth, where=where)}
    if not found:
        return []
    rows = chained(index, list(found.values()), steps, negatives, within_s=within_s)
    real = [row for row in rows if row.score > -torch.inf]
    return sorted(real, key=lambda row: (-row.score, row.candidate.video_id))[: max(k, DEPTH)]


def chained(
    index: Index,
    candidates: Sequence[Candidate],
    steps: Tensor,
    negatives: Tensor,
    *,
    within_s: Sequence[float | None],
) -> list[Row]:
    """The same for named videos, in the order given; the score is -inf where one is too short for the steps."""
    scored = instants(
        [one.bank for one in candidates],
        unit(torch.cat([steps, negatives])),
        clip_weight=index.header.clip_weight,
        durations_s=[float(one.bank.spans.max()) for one in candidates],
    )
    wanted = scored._replace(values=scored.values[: len(steps)])
    if len(negatives):
        wanted = without(wanted, scored._replace(values=scored.values[len(steps) :]), strength=STRENGTH)
    chain = in_order(wanted, within_s=within_s)
    return [_row(candidates[v], wanted, float(chain.score[v]), chain.places[v], v) for v in range(len(candidates))]


def named(
    index: Index,
    steps: Tensor,
    negatives: Tensor,
    video_id: str,
    *,
    within_s: Sequence[float | None],
    where: Where | None,
) -> Row:
    """One named video as `by_vector` or `by_instants` finds it, whether or not it is among the best.

    It has no places where it is too short for the steps. Raises IndexFolderError when it is not there.
    """
    found = index.candidate(steps[0], video_id)
    if len(steps) == 1 and not len(negatives):
        return _plain(found)
    rows = by_instants(index, steps, negatives, within_s=within_s, k=DEPTH // 2, where=where)
    row = next((row for row in rows if row.candidate.video_id == video_id), None)
    row = row or chained(index, [found], steps, negatives, within_s=within_s)[0]
    return row if row.score > -torch.inf else row._replace(places=None)


def rocchio(query: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """query (D,), positive (P, D), negative (N, D), all of unit length -> (D,) of unit length.

    q + LIKED · mean of the positive - DISLIKED · mean of the negative (Rocchio, 1971); q itself where there are none.
    """
    moved = query
    for vectors, weight in ((positive, LIKED), (negative, -DISLIKED)):
        if len(vectors):
            moved = moved + weight * vectors.mean(0)
    return unit(moved)


def by_words(index: Index, text: str, *, k: int, where: Where | None, kind: str = "") -> list[WordHit]:
    """Videos whose name or words hold enough of what a sentence tells, best first; of one kind of words, half of it."""
    hits = index.words(text, k=max(DEPTH, 2 * k), where=where, kind=kind or None)
    enough = HALF if kind else SAID
    return [hit for hit in hits if hit.score >= (NAMED if hit.named else enough)]


def together(literal: Sequence[WordHit], meant: Sequence[WordHit]) -> list[WordHit]:
    """What is said literally and what is said by its meaning, best first each -> one order, by reciprocal rank.

    A video of both is quoted literally.
    """
    if not meant:
        return list(literal)
    worth: dict[str, float] = {}
    for hits in (literal, meant):
        for rank, hit in enumerate(hits, 1):
            worth[hit.video_id] = worth.get(hit.video_id, 0.0) + weight_of(hit) / (RRF + rank)
    known = {hit.video_id: hit for hit in (*meant, *literal)}  # the literal one last
    return sorted(known.values(), key=lambda hit: (-worth[hit.video_id], hit.video_id))


def by_name(index: Index, query: Tensor, said: Sequence[WordHit], *, besides: Sequence[Row]) -> list[Row]:
    """What only its words found, and not the sentence itself, scored by query (D,)."""
    known = {row.candidate.video_id for row in besides}
    found = [index.candidate(query, hit.video_id) for hit in said if hit.video_id not in known]
    return [_plain(one) for one in found]


def fused(
    seen: Sequence[Row], unseen: Sequence[Row], said: Sequence[WordHit], *, seen_weight: float = 1.0
) -> list[Row]:
    """What is seen, best first, and what only its words found in one order with them, by reciprocal rank."""
    rows = {row.candidate.video_id: row for row in (*seen, *unseen)}
    weights = {hit.video_id: weight_of(hit, seen_weight) for hit in said}
    order = reciprocal_ranks([row.candidate.video_id for row in seen], weights, seen_weight=seen_weight)
    return [rows[video_id] for video_id in order]


def quoted(seen: Sequence[Row], said: Sequence[WordHit], *, seen_weight: float = 1.0) -> dict[str, WordHit]:
    """Those that are said surely, and those that rank by what is said rather than by what is seen, by video id."""
    places = {row.candidate.video_id: rank for rank, row in enumerate(seen, 1)}
    found = {}
    for rank, hit in enumerate(said, 1):
        by_sight = seen_weight / (RRF + places.get(hit.video_id, len(seen) + 1))
        if hit.weight is None or hit.weight >= 1:
            found[hit.video_id] = hit
        elif weight_of(hit, seen_weight) / (RRF + rank) > by_sight:
            found[hit.video_id] = hit._replace(leads=True)
    return found


def weight_of(hit: WordHit, seen_weight: float = 0.0) -> float:
    """How much words count beside what is seen: in full from half of the text on and less below, unless it is known.

    What is said by its meaning, but not beyond doubt, counts as far as what is seen does not stand out.
    """
    if hit.weight is None:
        return min(1.0, hit.score / HALF)
    return hit.weight if hit.weight >= 1 else hit.weight * (1 - seen_weight)


def reciprocal_ranks(seen: Sequence[str], said: Mapping[str, float], *, seen_weight: float = 1.0) -> list[str]:
    """Names by what is seen, best first, and the weights of those in which it is said, best first -> one order.

    A name is worth 1 / (60 + its rank) (Cormack et al., 2009) for what is seen, where one that is not among them has
    the next rank, and the same for what is said, each times its weight.
    """
    worth = {name: seen_weight / (RRF + rank) for rank, name in enumerate(seen, 1)}
    for rank, (name, weight) in enumerate(said.items(), 1):
        worth[name] = worth.get(name, seen_weight / (RRF + len(seen) + 1)) + weight / (RRF + rank)
    return sorted(worth, key=lambda name: -worth[name])


def sureness(judgements: Sequence[Judgement]) -> float:
    """How much what is seen counts beside what is said by its meaning: in full where its best video stands out
    (`LEVEL`), less by the logarithm of its chance, a `LEAST` in any case; in full where nobody knows.
    """
    chances = [one.p_topic for one in judgements if one.p_topic is not None]
    if not chances:
        return 1.0
    return max(LEAST, min(1.0, math.log(max(min(chances), 1e-300)) / math.log(LEVEL)))


def _plain(candidate: Candidate) -> Row:
    return Row(candidate, candidate.score, torch.tensor([candidate.score]))


def _row(candidate: Candidate, wanted: Instants, score: float, places: Tensor, v: int) -> Row:
    values = wanted.values[:, v, : int(wanted.ends[v])]
    evidence = values.gather(1, places[:, None]).squeeze(1)
    return Row(candidate, score, evidence, values, places, wanted.step_s)
