"""Qdrant's engine in this process: requests in its REST form, translated to the classes of qdrant-edge-py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from prvr.index.qdrant_server import Json


class EdgePoints:
    """A shard in a folder."""

    def __init__(self, folder: Path, width: int) -> None:
        folder.mkdir(exist_ok=True)
        vectors = edge.EdgeVectorParams(
            size=width,
            distance=edge.Distance.Dot,
            multivector_config=edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim),
            datatype=edge.VectorStorageDatatype.Float16,
            hnsw_config=edge.HnswIndexConfig(0, 100, 10_000),
        )
        if any(folder.iterdir()):
            self.shard = edge.EdgeShard.load(str(folder))
        else:
            config = edge.EdgeConfig(vectors={"frames": vectors, "clips": vectors}, max_search_threads=1)
            self.shard = edge.EdgeShard.create(str(folder), config)

    def upsert(self, point: Json) -> None:
        one = edge.Point(point["id"], point["vector"], point["payload"])
        self.shard.update(edge.UpdateOperation.upsert_points([one]))

    def delete(self, ids: Sequence[str]) -> None:
        self.shard.update(edge.UpdateOperation.delete_points(list(ids)))

    def set_payload(self, id_: str, payload: Json) -> None:
        self.shard.update(edge.UpdateOperation.set_payload([id_], payload))

    def query(self, request: Json) -> list[Json]:
        found = self.shard.query(
            edge.QueryRequest(
                request["limit"],
                query=_scoring(request),
                prefetches=_prefetches(request),
                filter=_filter(request.get("filter")),
                with_payload=True,
                with_vector=True,
            )
        )
        return [_plain(point) for point in found]

    def retrieve(self, id_: str, *, vectors: bool) -> Json | None:
        found = self.shard.retrieve([id_], True, vectors)
        return _plain(found[0]) if found else None

    def scroll(self, filter_: Json, *, keys: Sequence[str] | None, vectors: bool) -> Iterator[Json]:
        offset: Any = None
        while True:
            asked = edge.ScrollRequest(
                limit=7,
                offset=offset,
                filter=_filter(filter_),
                with_payload=list(keys) if keys else True,
                with_vector=vectors,
            )
            found, offset = self.shard.scroll(asked)
            yield from map(_plain, found)
            if offset is None:
                return

    def close(self) -> None:
        self.shard.close()


def _plain(point: Any) -> Json:
    return {"id": str(point.id), "payload": point.payload, "vector": point.vector}


def _scoring(request: Json) -> Any:
    query = request["query"]
    if "nearest" in query:
        return edge.Query.Nearest(query["nearest"], request["using"])
    return edge.Formula(_expression(query["formula"]))


def _expression(value: Any) -> Any:
    if isinstance(value, str):
        return edge.Expression.Variable(value)
    if isinstance(value, float):
        return edge.Expression.Constant(value)
    ((name, parts),) = value.items()
    return {"sum": edge.Expression.Sum, "mult": edge.Expression.Mult}[name]([_expression(part) for part in parts])


def _prefetches(request: Json) -> list[Any]:
    return [
        edge.Prefetch(one["limit"], _scoring(one), _prefetches(one), filter=_filter(one.get("filter")))
        for one in request.get("prefetch", [])
    ]


def _filter(value: Json | None) -> Any:
    if value is None:
        return None
    must, must_not = ([_condition(one) for one in value.get(name, [])] for name in ("must", "must_not"))
    return edge.Filter(must=must, must_not=must_not)


def _condition(value: Json) -> Any:
    if "has_id" in value:
        return edge.HasIdCondition(set(value["has_id"]))
    if "range" in value:
        return edge.FieldCondition(value["key"], range=edge.RangeFloat(**value["range"]))
    match = value["match"]
    return edge.FieldCondition(
        value["key"], match=edge.MatchAny(match["any"]) if "any" in match else edge.MatchValue(match["value"])
    )
