"""Which entry of a text pack belongs to which query, and what it says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torch import Tensor

from prvr.core.errors import FeatureError
from prvr.core.types import Query
from prvr.core.vectors import check_finite
from prvr.features.packs.base import FeaturePack

AGAIN = "make its features again, or take its lines out of the annotations: `prvr data check DIR` names all that are so"
NO_NUMBERS = (
    "entries called by a number need the authors' number of each query (`qid`, `desc_id`) in the annotations, and here "
    "no number is one query's alone: name each entry by its query's id, or bring the annotations that have the numbers"
)


class TextKeys(NamedTuple):
    """Which entry of a text pack belongs to which query."""

    of: dict[str, str]  # query id -> key
    missing: list[str]  # ids of queries that have none
    shared: dict[str, list[str]]  # key -> ids of queries that say different things, and would all be read from there

    @property
    def said_of_shared(self) -> str:
        """How many queries share an entry, and which."""
        key, ids = next(iter(self.shared.items()))
        number = sum(map(len, self.shared.values()))
        first = " and ".join(map(repr, ids[:2]))
        return f"{number:,} queries share {len(self.shared):,} entries (first: {first} would both be {key!r})"


def match(pack: FeaturePack, queries: Iterable[Query]) -> TextKeys:
    """The entry of each query, by what the benchmark's files say of it: its id, or the authors' own number.

    `#enc#` is `#` in some packs; TVR's are called by the number alone, and Moment-DETR writes `qid` before it. Where no
    file says a number, it is what stands behind the last `#` of the id, if it is one query's alone.
    """
    of: dict[str, str] = {}
    missing: list[str] = []
    said: dict[str, dict[str, str]] = {}  # key -> sentence -> query id
    for query in queries:
        key = next((form for form in _forms(query) if form in pack), None)
        if key is None:
            missing.append(query.query_id)
        else:
            of[query.query_id] = key
            said.setdefault(key, {}).setdefault(" ".join(query.text.split()), query.query_id)
    return TextKeys(of, missing, {key: list(ids.values()) for key, ids in said.items() if len(ids) > 1})


def read_words(pack: FeaturePack, key: str) -> Tensor:
    """(l, E) token rows, the last one the sentence where the pack has tokens; a lone sentence vector is one row.

    Rows of zeros around the others are padding and left out. Raises FeatureError naming the pack and the key.
    """
    rows = pack.read(key)
    check_finite(rows, f"{pack.path}: the query in {key!r}", AGAIN)
    said = (rows != 0).any(1).nonzero()
    if len(said):
        return rows[int(said[0]) : int(said[-1]) + 1]
    if not len(rows):
        raise FeatureError(f"{pack.path}: the query in {key!r} has no rows; get the pack again")
    return rows[:1]


def words_of(pack: FeaturePack, items: Sequence[Query], annotated: Iterable[Query] = ()) -> list[Tensor]:
    """(l, E) of each query; `annotated` are those of all splits, since what is unique in each may not be so in all.

    Raises FeatureError where a query has no entry, where two would be read from one, and for damage.
    """
    if not items:
        raise FeatureError("there is no query to read text features of; the split is empty")
    keys = match(pack, [*annotated, *items])
    if keys.shared:
        raise FeatureError(f"{pack.path}: {keys.said_of_shared}; {NO_NUMBERS}")
    missing = [item.query_id for item in items if item.query_id not in keys.of]
    if missing:
        numbered = re.fullmatch(r"(qid)?\d+", next(iter(pack.keys())))
        raise FeatureError(
            f"{pack.path}: has no text features of {len(missing)} of {len(items)} queries (first: {missing[0]!r}); "
            + (NO_NUMBERS if numbered else "put the caption files that belong to the pack beside it")
        )
    return [read_words(pack, keys.of[item.query_id]) for item in items]


def spellings(key: str) -> tuple[str, ...]:
    """ActivityNet's ids have a `v_` in front that some packs leave out."""
    return key, key.removeprefix("v_"), f"v_{key}"


def _forms(query: Query) -> list[str]:
    plain = query.query_id.replace("#enc#", "#")
    forms = [same for form in (query.query_id, plain, plain.replace("#", "#enc#")) for same in spellings(form)]
    source = query.source or {"qid": query.query_id.rpartition("#")[2]}
    number = source.get("qid", source.get("desc_id"))
    return forms if number is None else [*forms, f"qid{number}", f"{number}"]
