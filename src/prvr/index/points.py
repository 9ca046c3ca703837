"""A video as a point of a Qdrant collection, and what is asked of a collection."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import torch
from torch import Tensor

from prvr.core.config import from_dict, to_dict
from prvr.core.facts import UNKNOWN, Cue, Facts
from prvr.core.types import Bank
from prvr.index.base import Video
from prvr.index.collection import BRANCHES
from prvr.index.words import fold, passages_of

Json = dict[str, Any]
EVIDENCE = ("video_id", "spans")  # what a candidate needs of a payload
OF_FACTS = tuple(to_dict(UNKNOWN))
FACTS = ("facts", *OF_FACTS)  # what they need: as text, since the server changes the last bit of some numbers


def point_id(name: str) -> str:
    """A name as Qdrant wants it."""
    return str(uuid5(NAMESPACE_URL, f"prvr:{name}"))


HEADER = point_id("")  # the point that holds the header, the notes and the generation, and no vector
VIDEOS: Json = {"must": [], "must_not": [{"has_id": [HEADER]}]}  # all others


class Points(Protocol):
    """A collection: what this engine needs of a server, or of the same engine in the process."""

    @property
    def place(self) -> str:
        """What to call it."""
        ...

    def upsert(self, points: Sequence[Json]) -> None:
        """`id`, `vector` (name -> rows), `payload` of each; on the disk when it returns."""
        ...

    def delete(self, ids: Sequence[str]) -> None:
        """Nothing happens for those that are not there."""
        ...

    def set_payload(self, id_: str, payload: Json) -> None:
        """Changes these keys only."""
        ...

    def query(self, requests: Sequence[Json]) -> list[list[Json]]:
        """`prefetch`, `query`, `using`, `filter`, `params`, `limit` of each -> its points, best first."""
        ...

    def retrieve(self, ids: Sequence[str], *, keys: Sequence[str] | None, vectors: bool) -> list[Json]:
        """Those of some points that are there; of the payload these keys, or all."""
        ...

    def scroll(self, filter_: Json, *, keys: Sequence[str] | None, vectors: bool) -> Iterator[Json]:
        """All points that a filter means; of the payload these keys, or all."""
        ...

    def count(self, filter_: Json) -> int:
        """How many points a filter means."""
        ...

    def problems(self) -> list[str]:
        """What does not answer, a line each."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def point_of(video: Video) -> Json:
    """All of a video."""
    bank, texts = video.bank, list(passages_of(video))
    rows = {"frames": bank.tokens[: bank.num_frames], "clips": bank.tokens[bank.num_frames :]}
    return {
        "id": point_id(video.video_id),
        "vector": {name: _numbers(tokens) for name, tokens in rows.items() if len(tokens)},
        "payload": {
            "video_id": video.video_id,
            "version": video.version,
            **to_dict(video.facts),  # for filters
            "facts": json.dumps(to_dict(video.facts)),
            "spans": bank.spans.flatten().tolist(),
            "cues": json.dumps(video.cues),
            "words": sorted({word for passage in texts for word in fold(passage.text)}),
            "passages": len(texts),
        },
    }


def _numbers(tokens: Tensor) -> list[list[float]]:
    """tokens (N, D) -> the same as float16, in the five digits that tell any two of these apart."""
    exact = tokens.half().double()
    digits = 10.0 ** (4 - exact.abs().clamp(min=1e-8).log10().floor())
    rows: list[list[float]] = ((exact * digits).round() / digits).tolist()
    return rows


def bank_of(point: Json) -> Bank:
    """The vectors of a point, with their spans."""
    rows = [torch.from_numpy(np.array(point["vector"].get(name) or [], np.float32)) for name in BRANCHES]
    spans = torch.tensor(point["payload"]["spans"]).view(-1, 2)
    return Bank(torch.cat([part for part in rows if len(part)]), spans, len(rows[0]))


def facts_of(payload: Json) -> Facts:
    """What is known of a video; earlier versions kept no text of it."""
    known = json.loads(payload["facts"]) if "facts" in payload else payload
    return from_dict(Facts, {**{name: known[name] for name in OF_FACTS}, "tags": payload["tags"]})


def cues_of(payload: Json) -> tuple[Cue, ...]:
    """What is said in it."""
    kept = payload["cues"]
    return tuple(Cue(*cue) for cue in (json.loads(kept) if isinstance(kept, str) else kept))


def video_of(point: Json) -> Video:
    """`point_of` back."""
    payload = point["payload"]
    return Video(payload["video_id"], bank_of(point), payload["version"], facts_of(payload), cues_of(payload))
