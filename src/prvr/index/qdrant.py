"""The distributed engine: a Qdrant collection through the same verbs, for whoever outgrows one machine.

One point a video with two named multivectors, `frames` and `clips`, in float16 and without a graph (building one over
multivectors takes hours); the server compares with all clips, then scores the best videos by both branches in the same
request. Requests are written as in Qdrant's REST interface; `Points` brings them to a server.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid4, uuid5

import torch
from torch import Tensor

from prvr.core.config import from_dict, to_dict
from prvr.core.errors import IndexFolderError
from prvr.core.facts import UNKNOWN, Cue, Facts, Where
from prvr.core.places import is_loopback
from prvr.core.ranking import score_bank, score_banks
from prvr.core.types import Bank, Candidate
from prvr.index.base import IndexHeader, Video, WordHit, check_bank, fits, unit
from prvr.index.qdrant_server import Json, ServerPoints, api_key
from prvr.index.words import content, fold, informative, of_kind, passages_of, rank_words

SHORTLIST = 200  # videos by their clips whose frames are compared as well


def point_id(name: str) -> str:
    """A name as Qdrant wants it."""
    return str(uuid5(NAMESPACE_URL, f"prvr:{name}"))


HEADER = point_id("")  # the point that holds the header, the notes and the generation, and no vector


class Points(Protocol):
    """A collection: what this engine needs of a server, or of the same engine in the process."""

    def upsert(self, point: Json) -> None:
        """`id`, `vector` (name -> rows), `payload`; on the disk when it returns."""
        ...

    def delete(self, ids: Sequence[str]) -> None:
        """Nothing happens for those that are not there."""
        ...

    def set_payload(self, id_: str, payload: Json) -> None:
        """Changes these keys only."""
        ...

    def query(self, request: Json) -> list[Json]:
        """`prefetch`, `query`, `using`, `filter`, `limit` -> points with payload and vectors, best first."""
        ...

    def retrieve(self, id_: str, *, vectors: bool) -> Json | None:
        """One point."""
        ...

    def scroll(self, filter_: Json, *, keys: Sequence[str] | None, vectors: bool) -> Iterator[Json]:
        """All points that a filter means; of the payload these keys, or all."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class QdrantIndex:
    """An index over a collection."""

    problems: Sequence[str] = ()  # the server looks after its own files
    num_bytes = 0  # on this machine

    def __init__(self, points: Points, header: IndexHeader | None = None) -> None:
        self._points = points
        found = points.retrieve(HEADER, vectors=False)
        if found is None:
            if header is None:
                raise IndexFolderError("no index in this collection; make one with `prvr index PATH --engine URL`")
            points.upsert({"id": HEADER, "vector": {}, "payload": {"header": json.dumps(to_dict(header)), "notes": {}}})
            self.header = header
            return
        self.header = from_dict(IndexHeader, json.loads(found["payload"]["header"]))
        if header is not None and not fits(self.header, header):
            raise IndexFolderError("this collection holds an index that was made otherwise; choose another one")

    @classmethod
    def connect(cls, url: str, header: IndexHeader | None = None) -> Self:
        """`qdrant://host:port/collection`, or `qdrants://` over TLS; with a header it is made if there is none.

        QDRANT_API_KEY is sent along, over TLS or to this machine only. Raises IndexFolderError when the server cannot
        be reached, when the index there was made otherwise, and where the key would go in clear.
        """
        place = urlsplit(url)
        collection = place.path.strip("/")
        if not (place.hostname and collection):
            raise IndexFolderError(f"{url}: is no place for an index; write qdrant://host:port/collection")
        secure = place.scheme == "qdrants"
        if api_key() and not secure and not is_loopback(place.hostname):
            raise IndexFolderError(
                f"{url}: QDRANT_API_KEY would be sent in clear; write qdrants://{place.netloc}{place.path} for TLS, or "
                "unset the key"
            )
        host = f"[{place.hostname}]" if ":" in place.hostname else place.hostname
        address = f"{'https' if secure else 'http'}://{host}:{place.port or 6333}"
        return cls(ServerPoints.at(address, collection, header.width if header else None), header)

    @property
    def generation(self) -> str:
        """Another one after every change, whoever made it."""
        return str(self._header().get("generation", ""))

    @property
    def versions(self) -> Mapping[str, str]:
        """Every video's `version`, as it was given to `add`."""
        found = self._videos(keys=("video_id", "version"))
        return dict(sorted((one["payload"]["video_id"], one["payload"]["version"]) for one in found))

    def add(
        self, video_id: str, bank: Bank, *, version: str = "", facts: Facts = UNKNOWN, cues: Sequence[Cue] = ()
    ) -> None:
        """One video; replaces what was there under this id. bank.tokens (N, D) of unit length."""
        check_bank(video_id, bank, self.header)
        branches = {"frames": bank.tokens[: bank.num_frames], "clips": bank.tokens[bank.num_frames :]}
        texts = list(passages_of(Video(video_id, bank, version, facts, tuple(cues))))
        payload = {
            "video_id": video_id,
            "version": version,
            **to_dict(facts),
            "spans": bank.spans.flatten().tolist(),
            "cues": [list(cue) for cue in cues],
            "words": sorted({word for passage in texts for word in fold(passage.text)}),
            "passages": len(texts),
        }
        vectors = {name: rows.tolist() for name, rows in branches.items() if len(rows)}
        self._points.upsert({"id": point_id(video_id), "vector": vectors, "payload": payload})
        self._changed()

    def remove(self, *video_ids: str) -> None:
        """Forget videos; nothing happens for those that are not there."""
        self._points.delete([point_id(video_id) for video_id in video_ids])
        self._changed()

    def search(self, query: Tensor, *, k: int, where: Where | None = None) -> list[Candidate]:
        """query (D,) -> the k best videos, best first; equal scores in order of their ids."""
        direction = unit(query)
        found = self._points.query(self._request(direction, k, self._filter(where))) if k > 0 else []
        best = [self._candidate(direction, point) for point in found]
        return sorted(best, key=lambda one: (-one.score, one.video_id))

    def save(self, folder: Path) -> None:
        """Everything is durable as soon as it is added."""

    def __len__(self) -> int:
        return sum(1 for _ in self._videos(keys=("version",)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._points.close()

    def facts(self, video_id: str) -> Facts:
        """What is known of one video. Raises IndexFolderError when it is not there."""
        return _facts(self._point(video_id, vectors=False)["payload"])

    def all_facts(self) -> dict[str, Facts]:
        """What is known of every video, in order of their ids."""
        found = [one["payload"] for one in self._videos(keys=("video_id", *to_dict(UNKNOWN)))]
        return {one["video_id"]: _facts(one) for one in sorted(found, key=lambda one: str(one["video_id"]))}

    def candidate(self, query: Tensor, video_id: str) -> Candidate:
        """query (D,) -> one named video, scored. Raises IndexFolderError when it is not there."""
        return self._candidate(unit(query), self._point(video_id, vectors=True))

    def score_all(self, queries: Tensor, *, where: Where | None = None) -> tuple[list[str], Tensor]:
        """queries (B, D) -> ids in order, and the fused score of every video (B, V). Every vector travels here."""
        directions, weight = unit(queries), self.header.clip_weight
        found = self._points.scroll(self._filter(where), keys=("video_id", "spans"), vectors=True)
        scores = {
            point["payload"]["video_id"]: score_banks([_bank(point)], directions, clip_weight=weight) for point in found
        }
        ids = sorted(scores)
        return ids, torch.cat([torch.empty(len(queries), 0), *(scores[video_id] for video_id in ids)], 1)

    def words(self, text: str, *, k: int, where: Where | None = None, kind: str | None = None) -> list[WordHit]:
        """The k videos whose names or words of a kind hold most of a text, best first."""
        wanted = content(text)
        total = sum(one["payload"]["passages"] for one in self._videos(keys=("passages",)))
        holds = {"must": [{"key": "words", "match": {"any": sorted(set(wanted))}}]}
        found = [one["payload"] for one in self._points.scroll(holds, keys=None, vectors=False)] if wanted else []
        empty = Bank(torch.empty(0, self.header.width), torch.empty(0, 2), 0)
        videos = [Video(one["video_id"], empty, "", _facts(one), _cues(one)) for one in found]
        frequency = Counter(word for v in videos for passage in passages_of(v) for word in set(fold(passage.text)))
        meant = (video for video in videos if not where or where.holds(video.facts))
        passages = (passage for video in meant for passage in passages_of(video))
        return rank_words(informative(text, frequency, total), of_kind(passages, kind), k=k)

    def put_tags(self, tags: Mapping[str, Sequence[str]]) -> None:
        """Set `Facts.tags` of some videos."""
        for video_id in tags.keys() & self.versions.keys():
            self._points.set_payload(point_id(video_id), {"tags": list(tags[video_id])})
        self._changed()

    def note(self, name: str) -> str | None:
        """A text kept with the index."""
        found: str | None = self._header()["notes"].get(name)
        return found

    def put_note(self, name: str, text: str) -> None:
        """Keep a text with the index; replaces what was there under this name."""
        self._changed(notes={**self._header()["notes"], name: text})

    def _header(self) -> Json:
        """What is kept beside the videos. Raises IndexFolderError when it was deleted meanwhile."""
        found = self._points.retrieve(HEADER, vectors=False)
        if found is None:
            raise IndexFolderError("the index is no longer in this collection; make it with `prvr index PATH`")
        payload: Json = found["payload"]
        return payload

    def _changed(self, **beside: Json) -> None:
        """Say that there is something new, after it is there."""
        self._points.set_payload(HEADER, {"generation": uuid4().hex, **beside})

    def _request(self, direction: Tensor, k: int, filter_: Json) -> Json:
        """A search as Qdrant reads it: by one branch, or the best by clips scored by both."""
        nearest, weight = {"nearest": [direction.tolist()]}, self.header.clip_weight
        if weight in (0, 1):
            return {"query": nearest, "using": "clips" if weight else "frames", "filter": filter_, "limit": k}
        most = max(SHORTLIST, 4 * k)
        clips = {"query": nearest, "using": "clips", "filter": filter_, "limit": most}
        frames = {"query": nearest, "using": "frames", "prefetch": [clips], "limit": most}
        terms = [{"mult": [1 - weight, "$score[0]"]}, {"mult": [weight, "$score[1]"]}]
        return {"prefetch": [frames, clips], "query": {"formula": {"sum": terms}}, "limit": k}

    def _filter(self, where: Where | None) -> Json:
        """A filter as Qdrant reads it; paths are compared here, since it has no patterns."""
        found: Json = {"must": [], "must_not": [{"has_id": [HEADER]}]}
        if not where:
            return found
        for key, low, high in (
            ("modified", where.after, where.before),
            ("duration_s", where.longer_s, where.shorter_s),
        ):
            limits = {name: value for name, value in (("gte", low), ("lt", high)) if value is not None}
            if limits:
                found["must"].append({"key": key, "range": limits})
        found["must"] += [{"key": "tags", "match": {"value": tag}} for tag in where.tags]
        if where.path is not None:
            paths = ((one["id"], Facts(path=one["payload"]["path"])) for one in self._videos(keys=("path",)))
            found["must"].append({"has_id": [id_ for id_, facts in paths if Where(path=where.path).holds(facts)]})
        return found

    def _videos(self, *, keys: Sequence[str]) -> Iterable[Json]:
        return self._points.scroll(self._filter(None), keys=keys, vectors=False)

    def _point(self, video_id: str, *, vectors: bool) -> Json:
        found = self._points.retrieve(point_id(video_id), vectors=vectors)
        if found is None:
            raise IndexFolderError(f"{video_id}: no such video in the index; add it with `prvr index PATH`")
        return found

    def _candidate(self, direction: Tensor, point: Json) -> Candidate:
        weight = self.header.clip_weight
        return score_bank(point["payload"]["video_id"], _bank(point), direction, clip_weight=weight)


def _bank(point: Json) -> Bank:
    rows = [torch.tensor(point["vector"].get(name) or []) for name in ("frames", "clips")]
    spans = torch.tensor(point["payload"]["spans"]).view(-1, 2)
    return Bank(torch.cat([part for part in rows if len(part)]), spans, len(rows[0]))


def _facts(payload: Json) -> Facts:
    return from_dict(Facts, {name: payload[name] for name in to_dict(UNKNOWN)})


def _cues(payload: Json) -> tuple[Cue, ...]:
    return tuple(Cue(*cue) for cue in payload["cues"])
