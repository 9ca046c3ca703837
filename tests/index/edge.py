"""Qdrant's engine in this process: requests in its REST form, translated to the classes of qdrant-edge-py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from prvr.index.points import Json


class EdgePoints:
    """A shard in a folder."""

    def __init__(self, folder: Path, width: int, *, quantised: str = "none") -> None:
        folder.mkdir(exist_ok=True, parents=True)
        self.place = str(folder)
        smaller: Any = {
            "none": None,
            "int8": edge.ScalarQuantizationConfig(edge.ScalarType.Int8, always_ram=True),
            "turbo4": edge.TurboQuantQuantizationConfig(bits=edge.TurboQuantBitSize.Bits4, always_ram=True),
        }[quantised]
        vectors = edge.EdgeVectorParams(
            size=width,
            distance=edge.Distance.Dot,
            multivector_config=edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim),
            datatype=edge.VectorStorageDatatype.Float16,
            hnsw_config=edge.HnswIndexConfig(0, 100, 10_000),
            quantization_config=smaller,
        )
        if any(folder.iterdir()):
            self.shard = edge.EdgeShard.load(str(folder))
        else:
            config = edge.EdgeConfig(vectors={"frames": vectors, "clips": vectors}, max_search_threads=1)
            self.shard = edge.EdgeShard.create(str(folder), config)

    def upsert(self, points: Sequence[Json]) -> None:
        made = [edge.Point(one["id"], one["vector"], one.get("payload")) for one in points]
        self.shard.update(edge.UpdateOperation.upsert_points(made))

    def delete(self, ids: Sequence[str]) -> None:
        self.shard.update(edge.UpdateOperation.delete_points(list(ids)))

    def set_payload(self, id_: str, payload: Json) -> None:
        self.shard.update(edge.UpdateOperation.set_payload([id_], payload))

    def index_payload(self, field: str, kind: str) -> None:
        schema = getattr(edge.PayloadSchemaType, kind.capitalize())
        self.shard.update(edge.UpdateOperation.create_field_index(field, schema))

    def query(self, requests: Sequence[Json]) -> list[list[Json]]:
        return [self._query(request) for request in requests]

    def _query(self, request: Json) -> list[Json]:
        found = self.shard.query(
            edge.QueryRequest(
                request["limit"],
                query=_scoring(request),
                prefetches=_prefetches(request),
                filter=_filter(request.get("filter")),
                params=_params(request),
                with_payload=request.get("with_payload", False),
                with_vector=request.get("with_vector", False),
            )
        )
        return [{**_plain(point), "score": point.score} for point in found]

    def retrieve(self, ids: Sequence[str], *, keys: Sequence[str] | None, vectors: bool) -> list[Json]:
        return [_plain(point) for point in self.shard.retrieve(list(ids), list(keys) if keys else True, vectors)]

    def page(self, filter_: Json | None, *, limit: int, offset: Any, keys: Any, vectors: Any) -> tuple[list[Json], Any]:
        asked = edge.ScrollRequest(
            limit=limit, offset=offset, filter=_filter(filter_), with_payload=keys, with_vector=vectors
        )
        found, after = self.shard.scroll(asked)
        return [_plain(point) for point in found], after

    def scroll(self, filter_: Json, *, keys: Sequence[str] | None, vectors: bool) -> Iterator[Json]:
        offset: Any = None
        while True:
            found, offset = self.page(
                filter_, limit=7, offset=offset, keys=list(keys) if keys else True, vectors=vectors
            )
            yield from found
            if offset is None:
                return

    def count(self, filter_: Json | None) -> int:
        return self.shard.count(edge.CountRequest(exact=True, filter=_filter(filter_)))

    def problems(self) -> list[str]:
        return []

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
        edge.Prefetch(
            one["limit"],
            _scoring(one),
            _prefetches(one),
            filter=_filter(one.get("filter")),
            params=_params(one),
        )
        for one in request.get("prefetch", [])
    ]


def _params(request: Json) -> Any:
    params = request.get("params")
    if params is None:
        return None
    smaller = edge.QuantizationSearchParams(ignore=params["quantization"]["ignore"])
    return edge.SearchParams(exact=params["exact"], quantization=smaller)


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
