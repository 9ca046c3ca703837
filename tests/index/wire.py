"""A small Qdrant: its REST interface over loopback, several nodes, and its own engine in every shard.

Every request is parsed by the client's own models, which are made from the schema of Qdrant 1.20 and forbid what it
does not know; every answer is one of them. Shards, copies and what a server says when a node is away are as in Qdrant.
"""

from __future__ import annotations

import json
import shutil
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import RLock, Thread
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import BaseModel, ValidationError
from qdrant_client.http import models

from prvr.index.points import Json
from tests.index.edge import EdgePoints

LARGEST = 32 << 20  # bytes of a request, as Qdrant has it


class Refused(Exception):
    """What a server answers instead."""

    def __init__(self, status: int, says: str) -> None:
        super().__init__(says)
        self.status = status


class Copy:
    """One copy of a shard, on one node."""

    def __init__(self, node: int, folder: Path, width: int, quantised: str) -> None:
        self.node, self.dead = node, False
        self._make: Callable[[], EdgePoints] = lambda: EdgePoints(folder, width, quantised=quantised)
        self.folder = folder
        self.points = self._make()

    def follow(self, other: EdgePoints) -> None:
        """Become as another copy is."""
        self.points.close()
        shutil.rmtree(self.folder)
        self.points = self._make()
        found = list(other.scroll({}, keys=None, vectors=True))
        if found:
            self.points.upsert(found)
        self.dead = False


class Collection:
    """Shards, and what was asked for when they were made."""

    def __init__(self, folder: Path, asked: models.CreateCollection, nodes: int) -> None:
        assert isinstance(asked.vectors, dict)
        assert asked.vectors.keys() == {"frames", "clips"}
        self.asked = asked
        self.vectors: dict[str, models.VectorParams] = asked.vectors
        self.fields: dict[str, models.PayloadSchemaType] = {}
        clips = self.vectors["clips"]
        assert clips.hnsw_config is not None
        assert clips.hnsw_config.m == 0, "a graph over multivectors takes hours"
        kinds = {models.ScalarQuantization: "int8", models.TurboQuantization: "turbo4"}
        quantised = kinds[type(clips.quantization_config)] if clips.quantization_config else "none"
        self.num_shards, self.num_copies = asked.shard_number or nodes, asked.replication_factor or 1
        self.shards = [
            [Copy((s + c) % nodes, folder / f"{s}-{c}", clips.size, quantised) for c in range(self.num_copies)]
            for s in range(self.num_shards)
        ]

    def of(self, id_: str) -> int:
        return UUID(id_).int % self.num_shards


class Qdrant:
    """The server: its nodes share one memory here, and nothing else."""

    def __init__(self, folder: Path, *, nodes: int = 1, key: str | None = None) -> None:
        self.folder, self.nodes, self.key = folder, nodes, key
        self.collections: dict[str, Collection] = {}
        self.away: set[int] = set()
        self.slow_s = 0.0
        self.asked: list[tuple[int, str, str, int]] = []  # node, method, path, bytes of every request
        self.breaks: Callable[[str, str], None] = lambda method, path: None  # raises Refused where a test wants it
        self.ports: list[int] = []
        self._lock = RLock()

    def url(self, collection: str = "videos") -> str:
        return f"qdrant://{','.join(f'127.0.0.1:{port}' for port in self.ports)}/{collection}"

    def come_back(self, node: int) -> None:
        """A node that was away is there again, and its copies catch up."""
        with self._lock:
            self.away.discard(node)
            for collection in self.collections.values():
                for copies in collection.shards:
                    for copy in copies:
                        if copy.dead:
                            copy.follow(self._live(copies)[0].points)

    def _live(self, copies: list[Copy]) -> list[Copy]:
        return [copy for copy in copies if copy.node not in self.away and not copy.dead]

    def _read(self, collection: Collection, s: int) -> EdgePoints:
        live = self._live(collection.shards[s])
        if not live:
            raise Refused(
                500,
                f"Service internal error: The replica set for shard {s} on peer 7 does not have enough active replicas",
            )
        return live[0].points

    def _write(self, collection: Collection, s: int, change: Callable[[EdgePoints], None]) -> None:
        self._read(collection, s)
        for copy in collection.shards[s]:
            if copy.node in self.away:
                copy.dead = True
            elif not copy.dead:
                change(copy.points)

    def answer(self, node: int, method: str, path: str, body: bytes) -> Any:
        """A request -> the `result` of its answer."""
        with self._lock:
            self.asked.append((node, method, path, len(body)))
            self.breaks(method, path)
            parts = path.strip("/").split("/")
            name, rest = parts[1], "/".join(parts[2:])
            if (method, rest) == ("GET", "exists"):
                return models.CollectionExistence(exists=name in self.collections)
            if (method, rest) == ("PUT", ""):
                return self._create(name, models.CreateCollection.model_validate_json(body))
            if name not in self.collections:
                raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
            verb: Callable[[Collection, bytes], Any] | None = {
                ("GET", ""): self._info,
                ("GET", "cluster"): self._cluster,
                ("PUT", "index"): self._index,
                ("PUT", "points"): self._upsert,
                ("POST", "points"): self._retrieve,
                ("POST", "points/delete"): self._delete,
                ("POST", "points/payload"): self._set_payload,
                ("POST", "points/query/batch"): self._query,
                ("POST", "points/scroll"): self._scroll,
                ("POST", "points/count"): self._count,
            }.get((method, rest))
            if verb is None:
                raise Refused(404, f"no {method} {path} here")
            return verb(self.collections[name], body)

    def _create(self, name: str, asked: models.CreateCollection) -> bool:
        if name in self.collections:
            raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
        self.collections[name] = Collection(self.folder / name, asked, self.nodes)
        return True

    def _info(self, collection: Collection, _: bytes) -> models.CollectionInfo:
        points = sum(self._read(collection, s).count(None) for s in range(collection.num_shards))
        params = models.CollectionParams(
            vectors=collection.vectors,
            shard_number=collection.num_shards,
            replication_factor=collection.num_copies,
        )
        return models.CollectionInfo(
            status=models.CollectionStatus.GREEN,
            optimizer_status=models.OptimizersStatusOneOf.OK,
            segments_count=collection.num_shards,
            points_count=points,
            config=models.CollectionConfig(
                params=params,
                hnsw_config=models.HnswConfig(m=16, ef_construct=100, full_scan_threshold=10000),
                optimizer_config=models.OptimizersConfig(default_segment_number=0, flush_interval_sec=5),
            ),
            payload_schema={
                field: models.PayloadIndexInfo(data_type=kind, points=points)
                for field, kind in collection.fields.items()
            },
        )

    def _cluster(self, collection: Collection, _: bytes) -> models.CollectionClusterInfo:
        local, remote = [], []
        for s, copies in enumerate(collection.shards):
            for copy in copies:
                state = models.ReplicaState.DEAD if copy.dead or copy.node in self.away else models.ReplicaState.ACTIVE
                if copy.node == 0:
                    local.append(models.LocalShardInfo(shard_id=s, points_count=0, state=state))
                else:
                    remote.append(models.RemoteShardInfo(shard_id=s, peer_id=copy.node, state=state))
        return models.CollectionClusterInfo(
            peer_id=0, shard_count=collection.num_shards, local_shards=local, remote_shards=remote, shard_transfers=[]
        )

    def _index(self, collection: Collection, body: bytes) -> models.UpdateResult:
        asked = models.CreateFieldIndex.model_validate_json(body)
        kind = asked.field_schema
        assert isinstance(kind, models.PayloadSchemaType)
        collection.fields[asked.field_name] = kind
        for s in range(collection.num_shards):
            self._write(collection, s, lambda points: points.index_payload(asked.field_name, kind.value))
        return _completed()

    def _upsert(self, collection: Collection, body: bytes) -> models.UpdateResult:
        asked = models.PointsList.model_validate_json(body)
        parts: dict[int, list[Json]] = {}
        for point in asked.points:
            assert isinstance(point.vector, dict)
            one = {"id": point.id, "vector": point.vector, "payload": point.payload}
            parts.setdefault(collection.of(str(point.id)), []).append(one)
        return self._each(collection, parts, lambda points, some: points.upsert(some))

    def _delete(self, collection: Collection, body: bytes) -> models.UpdateResult:
        return self._each(
            collection,
            _by_shard(collection, models.PointIdsList.model_validate_json(body).points),
            lambda points, ids: points.delete(ids),
        )

    def _set_payload(self, collection: Collection, body: bytes) -> models.UpdateResult:
        asked = models.SetPayload.model_validate_json(body)
        assert asked.points is not None

        def change(points: EdgePoints, ids: list[Any]) -> None:
            for id_ in ids:
                points.set_payload(id_, asked.payload)

        return self._each(collection, _by_shard(collection, asked.points), change)

    def _each(
        self, collection: Collection, parts: dict[int, list[Any]], change: Callable[[EdgePoints, list[Any]], None]
    ) -> models.UpdateResult:
        """Every part at its shard; those that can be changed are, and then it is said which could not."""
        refused: Refused | None = None
        for s, part in parts.items():
            try:
                self._write(collection, s, lambda points, part=part: change(points, part))  # type: ignore[misc]
            except Refused as error:
                refused = error
        if refused:
            raise refused
        return _completed()

    def _retrieve(self, collection: Collection, body: bytes) -> list[models.Record]:
        asked = models.PointRequest.model_validate_json(body)
        keys = asked.with_payload if isinstance(asked.with_payload, list) else None
        found = []
        for s, ids in _by_shard(collection, asked.ids).items():
            found += self._read(collection, s).retrieve(ids, keys=keys, vectors=bool(asked.with_vector))
        return [models.Record(**_told(point)) for point in found]

    def _query(self, collection: Collection, body: bytes) -> list[models.QueryResponse]:
        asked = models.QueryRequestBatch.model_validate_json(body)
        answers = []
        for search in asked.searches:
            request = search.model_dump(mode="json", exclude_none=True)
            found: list[Json] = []
            for s in range(collection.num_shards):
                found += self._read(collection, s).query([request])[0]
            best = sorted(found, key=lambda point: -point["score"])[: request["limit"]]
            answers.append(
                models.QueryResponse(points=[models.ScoredPoint(version=0, **_told(point)) for point in best])
            )
        return answers

    def _scroll(self, collection: Collection, body: bytes) -> models.ScrollResult:
        asked = models.ScrollRequest.model_validate_json(body)
        limit = asked.limit or 10
        filter_ = asked.filter.model_dump(mode="json", exclude_none=True) if asked.filter else None
        found = []
        for s in range(collection.num_shards):
            found += self._read(collection, s).page(
                filter_,
                limit=limit + 1,
                offset=asked.offset,
                keys=True if asked.with_payload is None else asked.with_payload,
                vectors=bool(asked.with_vector),
            )[0]
        found.sort(key=lambda point: UUID(point["id"]).int)
        after = found[limit]["id"] if len(found) > limit else None
        return models.ScrollResult(
            points=[models.Record(**_told(point)) for point in found[:limit]], next_page_offset=after
        )

    def _count(self, collection: Collection, body: bytes) -> models.CountResult:
        asked = models.CountRequest.model_validate_json(body)
        filter_ = asked.filter.model_dump(mode="json", exclude_none=True) if asked.filter else None
        return models.CountResult(
            count=sum(self._read(collection, s).count(filter_) for s in range(collection.num_shards))
        )


def _by_shard(collection: Collection, ids: list[Any]) -> dict[int, list[Any]]:
    parts: dict[int, list[Any]] = {}
    for id_ in ids:
        parts.setdefault(collection.of(str(id_)), []).append(str(id_))
    return parts


def _told(point: Json) -> Json:
    """Without what was not asked for."""
    return {name: value for name, value in point.items() if value not in ({}, None)}


def _completed() -> models.UpdateResult:
    return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)


def _json(value: Any) -> Any:
    if isinstance(value, list):
        return [_json(one) for one in value]
    return value.model_dump(mode="json", exclude_none=True) if isinstance(value, BaseModel) else value


def _handler(server: Qdrant, node: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            time.sleep(server.slow_s)
            if node in server.away:
                self.close_connection = True  # without a word, as from a machine that went down
                return
            status, answer = self._answered(body)
            content = json.dumps({"time": 0.001, **answer}).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _answered(self, body: bytes) -> tuple[int, Json]:
            try:
                if server.key is not None and self.headers.get("api-key") != server.key:
                    raise Refused(401, "Invalid API key or JWT")
                if len(body) > LARGEST:
                    raise Refused(413, "Payload error: JSON payload is larger than allowed")
                result = server.answer(node, self.command, urlsplit(self.path).path, body)
            except Refused as error:
                return error.status, {"status": {"error": str(error)}}
            except ValidationError as error:
                return 400, {"status": {"error": f"Format error in JSON body: {error}"}}
            return 200, {"status": "ok", "result": _json(result)}

        do_GET = do_PUT = do_POST = do_DELETE = _serve

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def qdrant(
    folder: Path, *, nodes: int = 1, key: str | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[Qdrant]:
    """A server that runs, on ports of its own choice."""
    server = Qdrant(folder, nodes=nodes, key=key)
    with ExitStack() as stack:
        for node in range(nodes):
            http = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), _handler(server, node)))
            http.daemon_threads = True
            if tls is not None:
                http.socket = tls.wrap_socket(http.socket, server_side=True)
            Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            stack.callback(http.shutdown)
            server.ports.append(http.server_address[1])
        yield server
