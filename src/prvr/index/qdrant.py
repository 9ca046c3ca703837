"""The distributed engine: a Qdrant collection through the same verbs, for whoever outgrows one machine.

One point a video with two named multivectors, `frames` and `clips`, in float16 and without a graph (building one over
multivectors takes hours). A first look takes the best videos of each branch, all inside the filter; a second one scores
these by both maxima, in the server too. That is half the work of one nested request, in which every branch would be
looked through twice (qdrant-edge, 800 videos: 30 instead of 45 ms). Requests are written as in Qdrant's REST
interface; `Points` brings them to a server.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self
from uuid import uuid4

import torch
from torch import Tensor

from prvr.core.config import from_dict, to_dict
from prvr.core.errors import ConfigError, IndexFolderError
from prvr.core.facts import UNKNOWN, Cue, Facts, Where
from prvr.core.ranking import score_bank, score_banks
from prvr.core.types import Bank, Candidate
from prvr.index.base import VERSION, IndexHeader, Video, WordHit, check_bank, difference, unit
from prvr.index.collection import BRANCHES, CollectionForm
from prvr.index.points import (
    EVIDENCE,
    FACTS,
    HEADER,
    VIDEOS,
    Json,
    Points,
    bank_of,
    cues_of,
    facts_of,
    point_id,
    point_of,
    video_of,
)
from prvr.index.qdrant_server import PAGE_OF_VECTORS, ServerPlace, ServerPoints
from prvr.index.words import content, fold, informative, of_kind, passages_of, rank_words

SHORTLIST = 200  # videos of each branch that are scored by both
BATCH, BYTES = 64, 12 << 20  # videos that are sent together, and how long their request is at most; servers take 32 MB
PER_NUMBER = 10  # bytes of one in a request
EXACT = {"exact": True, "quantization": {"ignore": True}}  # scores of the vectors themselves
NOTE = "note_"  # begins the names of notes in the header's point


class QdrantIndex:
    """An index over a collection. Threads may share it; no vector stays here but those that are not yet sent."""

    num_bytes = 0  # on this machine

    def __init__(self, points: Points, header: IndexHeader | None = None) -> None:
        self._points = points
        self._pending: dict[str, Json] = {}  # video id -> its point, to be sent with others
        self._size = 0  # bytes of these
        self._lock = threading.RLock()
        self._known: tuple[str, int, dict[str, str]] = ("", 0, {})  # generation, passages of all videos, id -> path
        (found,) = points.retrieve([HEADER], keys=("header",), vectors=False) or (None,)
        if found is not None:
            self.header = _header_of(found, points.place, header)
            return
        if header is None:
            raise IndexFolderError(f"{points.place}: no index here; make one with `prvr index PATH --engine URL`")
        if others := points.count(VIDEOS):
            raise IndexFolderError(
                f"{points.place}: holds {others} points that are not of prvr; name another collection, which is then "
                "made"
            )
        points.upsert([{"id": HEADER, "vector": {}, "payload": {"header": json.dumps(to_dict(header))}}])
        self.header = header

    @classmethod
    def connect(cls, url: str, header: IndexHeader | None = None, *, form: CollectionForm | None = None) -> Self:
        """`qdrant://host:port/collection`, or `qdrants://` over TLS; with a header it is made if there is none.

        Several nodes have commas between: the first that answers is asked. QDRANT_API_KEY is sent along, over TLS or to
        this machine only. Raises IndexFolderError when no node can be reached, when the index there was made or is kept
        otherwise, and where the key would go in clear.
        """
        points = ServerPoints.at(ServerPlace.of(url), header.width if header else None, form or CollectionForm())
        try:
            return cls(points, header)
        except IndexFolderError:
            points.close()
            raise

    @property
    def problems(self) -> Sequence[str]:
        """Nodes of the server that do not answer; it looks after its own files."""
        return self._points.problems()

    @property
    def generation(self) -> str:
        """Another one after every change, whoever made it."""
        self._flush()
        return str(self._of_header("generation").get("generation", ""))

    @property
    def versions(self) -> Mapping[str, str]:
        """Every video's `version`, as it was given to `add`."""
        found = self._videos(keys=("video_id", "version"))
        return dict(sorted((one["payload"]["video_id"], one["payload"]["version"]) for one in found))

    def add(
        self, video_id: str, bank: Bank, *, version: str = "", facts: Facts = UNKNOWN, cues: Sequence[Cue] = ()
    ) -> None:
        """One video; replaces what was there under this id. bank.tokens (N, D) of unit length.

        It is sent with the next ones, by `save`, or before anything is read here, whichever is first. Raises
        IndexFolderError when the vectors are not as wide as the index, and for those that did not arrive.
        """
        check_bank(video_id, bank, self.header)
        size = PER_NUMBER * bank.tokens.numel()
        with self._lock:
            over = self._taken() if self._size + size > BYTES else {}
            self._pending[video_id] = point_of(Video(video_id, bank, version, facts, tuple(cues)))
            self._size += size
            full = self._taken() if len(self._pending) >= BATCH else {}
        for points in (over, full):
            self._send(points)

    def remove(self, *video_ids: str) -> None:
        """Forget videos; nothing happens for those that are not there."""
        self._flush()
        self._points.delete([point_id(video_id) for video_id in video_ids])
        self._changed()

    def search(self, query: Tensor, *, k: int, where: Where | None = None) -> list[Candidate]:
        """query (D,) -> the k best videos, best first; equal scores in order of their ids."""
        if k < 1:
            return []
        self._flush()
        direction, filter_, weight = unit(query), self._filter(where), self.header.clip_weight
        nearest = {"nearest": [direction.tolist()]}
        request: Json = {"limit": k, "with_payload": list(EVIDENCE), "with_vector": True}
        if weight in (0, 1):
            branch = BRANCHES[int(weight)]
            request |= {"query": nearest, "using": branch, "filter": filter_, "params": EXACT}
        else:
            most = max(SHORTLIST, 4 * k)
            looks = [{"query": nearest, "using": one, "filter": filter_, "limit": most} for one in BRANCHES]
            ids = sorted({str(point["id"]) for found in self._points.query(looks) for point in found})
            both = {"query": nearest, "filter": {"must": [{"has_id": ids}]}, "params": EXACT, "limit": max(len(ids), 1)}
            terms = [{"mult": [1 - weight, "$score[0]"]}, {"mult": [weight, "$score[1]"]}]
            request |= {"prefetch": [{**both, "using": one} for one in BRANCHES], "query": {"formula": {"sum": terms}}}
        (found,) = self._points.query([request])
        best = [self._candidate(direction, point) for point in found]
        return sorted(best, key=lambda one: (-one.score, one.video_id))

    def save(self, folder: Path) -> None:  # noqa: ARG002
        """Send what is pending; what was sent is durable."""
        self._flush()

    def __len__(self) -> int:
        self._flush()
        return self._points.count(VIDEOS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:  # else the error says what went wrong; the next run adds what is missing
                self._flush()
        finally:
            self._points.close()

    def facts(self, video_id: str) -> Facts:
        """What is known of one video. Raises IndexFolderError when it is not there."""
        return facts_of(self._point(video_id, keys=FACTS, vectors=False)["payload"])

    def all_facts(self) -> dict[str, Facts]:
        """What is known of every video, in order of their ids."""
        found = [one["payload"] for one in self._videos(keys=("video_id", *FACTS))]
        return {one["video_id"]: facts_of(one) for one in sorted(found, key=lambda one: str(one["video_id"]))}

    def candidate(self, query: Tensor, video_id: str) -> Candidate:
        """query (D,) -> one named video, scored. Raises IndexFolderError when it is not there."""
        return self._candidate(unit(query), self._point(video_id, keys=EVIDENCE, vectors=True))

    def score_all(self, queries: Tensor, *, where: Where | None = None) -> tuple[list[str], Tensor]:
        """queries (B, D) -> ids in order, and the fused score of every video (B, V). Every vector travels here."""
        self._flush()
        directions, weight = unit(queries), self.header.clip_weight
        found = self._points.scroll(self._filter(where), keys=EVIDENCE, vectors=True)
        scores = {
            point["payload"]["video_id"]: score_banks([bank_of(point)], directions, clip_weight=weight)
            for point in found
        }
        ids = sorted(scores)
        return ids, torch.cat([torch.empty(len(queries), 0), *(scores[video_id] for video_id in ids)], 1)

    def words(self, text: str, *, k: int, where: Where | None = None, kind: str | None = None) -> list[WordHit]:
        """The k videos whose names or words of a kind hold most of a text, best first."""
        wanted = content(text)
        _, total, _ = self._all()
        holds = {"must": [{"key": "words", "match": {"any": sorted(set(wanted))}}]}
        found = [one["payload"] for one in self._points.scroll(holds, keys=None, vectors=False)] if wanted else []
        empty = Bank(torch.empty(0, self.header.width), torch.empty(0, 2), 0)
        videos = [Video(one["video_id"], empty, "", facts_of(one), cues_of(one)) for one in found]
        frequency = Counter(word for v in videos for passage in passages_of(v) for word in set(fold(passage.text)))
        meant = (video for video in videos if not where or where.holds(video.facts))
        passages = (passage for video in meant for passage in passages_of(video))
        return rank_words(informative(text, frequency, total), of_kind(passages, kind), k=k)

    def put_tags(self, tags: Mapping[str, Sequence[str]]) -> None:
        """Set `Facts.tags` of some videos."""
        self._flush()
        there = self._points.retrieve([point_id(video_id) for video_id in tags], keys=("video_id",), vectors=False)
        for one in there:
            self._points.set_payload(one["id"], {"tags": list(tags[one["payload"]["video_id"]])})
        self._changed()

    def note(self, name: str) -> str | None:
        """A text kept with the index."""
        found = self._of_header(NOTE + name, "notes")  # "notes" as an earlier version kept them
        text: str | None = found.get(NOTE + name, found.get("notes", {}).get(name))
        return text

    def notes(self) -> dict[str, str]:
        """All notes by their names."""
        found = self._of_header()
        new = {key.removeprefix(NOTE): text for key, text in found.items() if key.startswith(NOTE)}
        return {**found.get("notes", {}), **new}

    def put_note(self, name: str, text: str) -> None:
        """Keep a text with the index; replaces what was there under this name."""
        self._flush()
        self._changed(**{NOTE + name: text})

    def videos(self, ids: Iterable[str] | None = None) -> Iterator[Video]:
        """These videos, or all, with all that was given to `add`, in order of their ids.

        Raises IndexFolderError for one that is not there.
        """
        wanted = sorted(self.versions if ids is None else ids)
        self._flush()
        for at in range(0, len(wanted), PAGE_OF_VECTORS):
            some = wanted[at : at + PAGE_OF_VECTORS]
            found = self._points.retrieve([point_id(one) for one in some], keys=None, vectors=True)
            points = {one["payload"]["video_id"]: one for one in found}
            for video_id in some:
                if video_id not in points:
                    raise _absent(video_id)
                yield video_of(points[video_id])

    def _taken(self) -> dict[str, Json]:
        """What is pending, which is then the caller's to send."""
        points, self._pending, self._size = self._pending, {}, 0
        return points

    def _flush(self) -> None:
        with self._lock:
            points = self._taken()
        self._send(points)

    def _send(self, points: Mapping[str, Json]) -> None:
        """Raises IndexFolderError that names those which did not arrive."""
        if not points:
            return
        try:
            self._points.upsert(list(points.values()))
            self._changed()
        except IndexFolderError as error:
            names = list(points)
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise IndexFolderError(f"{error}; not there yet: {', '.join(names[:3])}{more}") from error

    def _of_header(self, *keys: str) -> Json:
        """What is kept beside the videos. Raises IndexFolderError when it was deleted meanwhile."""
        found = self._points.retrieve([HEADER], keys=keys or None, vectors=False)
        if not found:
            raise IndexFolderError(
                f"{self._points.place}: the index is no longer in this collection; make it with `prvr index PATH`"
            )
        payload: Json = found[0]["payload"] or {}
        return payload

    def _changed(self, **beside: str) -> None:
        """Say that there is something new, after it is there."""
        self._points.set_payload(HEADER, {"generation": uuid4().hex, **beside})

    def _filter(self, where: Where | None) -> Json:
        """A filter as Qdrant reads it; paths are compared here, since it has no patterns."""
        found: Json = {**VIDEOS, "must": []}
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
            _, _, paths = self._all()
            meant = [id_ for id_, path in paths.items() if Where(path=where.path).holds(Facts(path=path))]
            found["must"].append({"has_id": meant})
        return found

    def _all(self) -> tuple[str, int, dict[str, str]]:
        """The generation, how many passages there are, and where every video lies; read once a generation."""
        generation = self.generation
        if self._known[0] != generation or not generation:
            found = list(self._videos(keys=("path", "passages")))
            total = sum(one["payload"]["passages"] for one in found)
            self._known = generation, total, {str(one["id"]): one["payload"]["path"] for one in found}
        return self._known

    def _videos(self, *, keys: Sequence[str]) -> Iterable[Json]:
        self._flush()
        return self._points.scroll(VIDEOS, keys=keys, vectors=False)

    def _point(self, video_id: str, *, keys: Sequence[str], vectors: bool) -> Json:
        self._flush()
        found = self._points.retrieve([point_id(video_id)], keys=keys, vectors=vectors)
        if not found:
            raise _absent(video_id)
        return found[0]

    def _candidate(self, direction: Tensor, point: Json) -> Candidate:
        weight = self.header.clip_weight
        return score_bank(point["payload"]["video_id"], bank_of(point), direction, clip_weight=weight)


def _header_of(point: Json, place: str, asked: IndexHeader | None) -> IndexHeader:
    """Raises IndexFolderError where an index is of another version, or was made otherwise than is asked for."""
    try:
        header = from_dict(IndexHeader, json.loads(point["payload"]["header"]))
    except (ConfigError, ValueError, TypeError, KeyError) as error:
        raise IndexFolderError(
            f"{place}: was made by another version of prvr ({error}); install that one, or name another collection"
        ) from error
    if header.version != VERSION:
        raise IndexFolderError(
            f"{place}: was made by another version of prvr (format {header.version}, and this one has {VERSION}); "
            "install that one, or name another collection"
        )
    if asked is not None and (other := difference(header, asked)):
        raise IndexFolderError(
            f"{place}: holds an index that was made otherwise: {other}; name another collection, which is then made"
        )
    return header


def _absent(video_id: str) -> IndexFolderError:
    return IndexFolderError(f"{video_id}: no such video in the index; add it with `prvr index PATH`")
