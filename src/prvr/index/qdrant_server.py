"""Requests in Qdrant's REST form brought to a server by its own client."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from prvr.core.errors import IndexFolderError

PAGE = 256  # points read at a time
Json = dict[str, Any]

P = ParamSpec("P")
R = TypeVar("R")


def _explained(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """A server that does not answer, or refuses, as an IndexFolderError."""

    @wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        from qdrant_client.http.exceptions import ApiException

        try:
            return method(self, *args, **kwargs)
        except (ApiException, ConnectionError, TimeoutError) as error:
            raise IndexFolderError(
                f"{self.place}: the index server does not do what was asked ({str(error).strip().splitlines()[0]}); "
                "see that it runs, and that QDRANT_API_KEY is its key"
            ) from error

    return call


class ServerPoints:
    """A collection of a server."""

    def __init__(self, client: Any, collection: str, place: str) -> None:
        self.client = client
        self.collection = collection
        self.place = place

    @classmethod
    def at(cls, address: str, collection: str, width: int | None) -> Self:
        """A collection; made if there is none and a width is given. Raises IndexFolderError."""
        try:
            from qdrant_client import QdrantClient
        except ImportError as error:
            raise IndexFolderError(f"{address}: needs a client; pip install 'prvr[qdrant]'") from error
        client = QdrantClient(url=address, api_key=api_key(), timeout=60, check_compatibility=False)
        points = cls(client, collection, f"{address}/{collection}")
        points.make(width)
        return points

    @_explained
    def make(self, width: int | None) -> None:
        """The collection, if there is none. Raises IndexFolderError when it may not be made."""
        from qdrant_client import models

        if self.client.collection_exists(self.collection):
            return
        if width is None:
            raise IndexFolderError(f"{self.place}: no index here; make one with `prvr index PATH --engine qdrant://…`")
        vectors = models.VectorParams(
            size=width,
            distance=models.Distance.DOT,
            multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
            datatype=models.Datatype.FLOAT16,
            hnsw_config=models.HnswConfigDiff(m=0),
            on_disk=True,
        )
        self.client.create_collection(self.collection, vectors_config={"frames": vectors, "clips": vectors})
        for key, kind in (("tags", "keyword"), ("words", "keyword"), ("modified", "float"), ("duration_s", "float")):
            self.client.create_payload_index(self.collection, key, kind)

    @_explained
    def upsert(self, point: Json) -> None:
        """One point; on the disk when it returns."""
        from qdrant_client import models

        self.client.upsert(self.collection, [models.PointStruct.model_validate(point)], wait=True)

    @_explained
    def delete(self, ids: Sequence[str]) -> None:
        """Nothing happens for those that are not there."""
        self.client.delete(self.collection, list(ids), wait=True)

    @_explained
    def set_payload(self, id_: str, payload: Json) -> None:
        """Changes these keys only."""
        self.client.set_payload(self.collection, payload, [id_], wait=True)

    @_explained
    def query(self, request: Json) -> list[Json]:
        """Points with payload and vectors, best first."""
        from qdrant_client import models

        asked = models.QueryRequest.model_validate({**request, "with_payload": True, "with_vector": True})
        (found,) = self.client.query_batch_points(self.collection, [asked])
        return [point.model_dump() for point in found.points]

    @_explained
    def retrieve(self, id_: str, *, vectors: bool) -> Json | None:
        """One point."""
        found = self.client.retrieve(self.collection, [id_], with_payload=True, with_vectors=vectors)
        return found[0].model_dump() if found else None

    def scroll(self, filter_: Json, *, keys: Sequence[str] | None, vectors: bool) -> Iterator[Json]:
        """All points that a filter means."""
        offset: Any = None
        while True:
            found, offset = self._page(filter_, list(keys) if keys else True, vectors, offset)
            yield from (point.model_dump() for point in found)
            if offset is None:
                return

    def close(self) -> None:
        """Let go of it."""
        self.client.close()

    @_explained
    def _page(self, filter_: Json, keys: list[str] | bool, vectors: bool, offset: Any) -> tuple[list[Any], Any]:
        from qdrant_client import models

        meant = models.Filter.model_validate(filter_)
        page: tuple[list[Any], Any] = self.client.scroll(
            self.collection, meant, limit=PAGE, offset=offset, with_payload=keys, with_vectors=vectors
        )
        return page


def api_key() -> str | None:
    """What opens a server that wants a key."""
    return os.environ.get("QDRANT_API_KEY")
