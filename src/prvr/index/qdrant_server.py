"""Requests in Qdrant's REST form brought to a server by its own client: to the first of its nodes that answers.

Whatever is asked here may be asked twice: an answer that did not come is asked for at the next node.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, Self, TypeVar
from urllib.parse import urlsplit

from prvr.core.errors import IndexFolderError
from prvr.core.places import is_loopback
from prvr.index.collection import CollectionForm, check_form, form_of, index_payload, make_collection
from prvr.index.points import Json

PAGE, PAGE_OF_VECTORS = 1000, 16  # points read at a time; a video's vectors are about a megabyte
ANSWER_S = 30  # that one node is waited for
PORT = 6333

P = ParamSpec("P")
R = TypeVar("R")


class ServerPlace(NamedTuple):
    """What a URL says: `qdrant://host:port,host:port/collection`, or `qdrants://` over TLS."""

    addresses: tuple[str, ...]  # of the nodes, as http:// or https://
    collection: str
    local: bool  # whether all of them are this machine

    @classmethod
    def of(cls, url: str) -> Self:
        """Raises IndexFolderError for what is no such place, and where QDRANT_API_KEY would go in clear."""
        scheme, _, rest = url.partition("://")
        nodes, _, collection = rest.partition("/")
        collection = collection.strip("/")
        try:
            parts = [urlsplit(f"//{node}") for node in nodes.split(",")]
            hosts = [(part.hostname or "", part.port or PORT) for part in parts]
        except ValueError as error:
            raise _no_place(url) from error
        if not collection or "/" in collection or not all(part.hostname and not part.username for part in parts):
            raise _no_place(url)
        local = all(is_loopback(host) for host, _ in hosts)
        if api_key() and scheme != "qdrants" and not local:
            raise IndexFolderError(
                f"{url}: QDRANT_API_KEY would be sent in clear; write qdrants://{rest} for TLS, or unset the key"
            )
        protocol = "https" if scheme == "qdrants" else "http"
        found = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in hosts)
        return cls(tuple(f"{protocol}://{host}" for host in found), collection, local)

    def __str__(self) -> str:
        return f"{','.join(self.addresses)}/{self.collection}"


def _no_place(url: str) -> IndexFolderError:
    return IndexFolderError(
        f"{url}: is no place for an index; write qdrant://host:port/collection (several nodes with commas between, the "
        "key as QDRANT_API_KEY)"
    )


def _explained(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Asked of the next node where one does not answer; who refuses, or the last one, as an IndexFolderError."""

    @wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        from qdrant_client.common.client_exceptions import QdrantException
        from qdrant_client.http.exceptions import ApiException

        met: list[Exception] = []
        for _ in self.clients:
            try:
                return method(self, *args, **kwargs)
            except (ApiException, QdrantException, ConnectionError, TimeoutError) as error:
                met.append(error)
                if not _away(error):
                    break
                self.turn += 1
        worst = max(met, key=lambda error: (hasattr(error, "status_code"), met.index(error)))  # rather what one says
        raise _refused(self.place, worst) from worst

    return call


def _away(error: Exception) -> bool:
    """Whether another node may answer what this one does not."""
    status = getattr(error, "status_code", None)
    return status >= 500 if isinstance(status, int) else not hasattr(error, "retry_after_s")


def _refused(place: str, error: Exception) -> IndexFolderError:
    """What a server did not do, why, and what to do next."""
    status, source = getattr(error, "status_code", None), getattr(error, "source", error)
    said = _said(error)
    if status in (401, 403):
        return IndexFolderError(
            f"{place}: the index server refuses the key ({said}); export its own as QDRANT_API_KEY, one that may write "
            "where an index is made"
        )
    if status == 404:
        return IndexFolderError(f"{place}: there is no such collection ({said}); make it with `prvr index PATH`")
    if status is not None and status >= 500 and any(word in said for word in ("replica", "read operations")):
        return IndexFolderError(
            f"{place}: a part of the collection is on no node that answers ({said}); nothing is answered in part: "
            "start that node, and copy into a collection with `--replicas 2` to do without one"
        )
    why = f"no answer within {ANSWER_S} s" if "Timeout" in type(source).__name__ else said
    return IndexFolderError(
        f"{place}: the index server does not do what was asked ({why}); see that it runs, that this is its address, "
        "and run the command again"
    )


def _said(error: Exception) -> str:
    """What a server says itself, else what the client makes of it, in one line."""
    try:
        words = str(error.structured()["status"]["error"])  # type: ignore[attr-defined]
    except (AttributeError, KeyError, TypeError, ValueError):
        content = getattr(error, "content", b"")
        words = content.decode(errors="replace")[:200] or str(error)
    return (words.strip() or type(error).__name__).splitlines()[0]


class ServerPoints:
    """A collection of a server of one or more nodes."""

    def __init__(self, clients: Sequence[Any], collection: str, place: str) -> None:
        self.clients = clients  # one a node
        self.turn = 0  # which of them is asked
        self.collection = collection
        self.place = place

    @classmethod
    def at(cls, place: ServerPlace, width: int | None, form: CollectionForm) -> Self:
        """A collection; made if there is none and a width is given. Raises IndexFolderError."""
        try:
            from qdrant_client import QdrantClient
        except ImportError as error:
            raise IndexFolderError(f"{place}: needs a client; pip install 'prvr[qdrant]'") from error
        clients = [
            QdrantClient(
                url=address,
                api_key=api_key(),
                timeout=ANSWER_S,
                check_compatibility=False,
                trust_env=address.startswith("https") or not place.local,  # a key in clear goes through no proxy
            )
            for address in place.addresses
        ]
        points = cls(clients, place.collection, str(place))
        points.make(width, form)
        return points

    @property
    def client(self) -> Any:
        """That of the node which answered last."""
        return self.clients[self.turn % len(self.clients)]

    @_explained
    def make(self, width: int | None, form: CollectionForm) -> None:
        """The collection, if there is none. Raises IndexFolderError when it may not be made, or is another one."""
        if not self.client.collection_exists(self.collection):
            if width is None:
                raise IndexFolderError(
                    f"{self.place}: no index here; make one with `prvr index PATH --engine qdrant://…`"
                )
            make_collection(self.client, self.collection, width, form)
            return
        info = self.client.get_collection(self.collection)
        found, is_wide = form_of(info, self.place)
        if width is not None and is_wide != width:
            raise IndexFolderError(
                f"{self.place}: its vectors are {is_wide} wide, and those of this encoder or model {width}; name "
                "another collection, which is then made"
            )
        if width is not None and not info.points_count:  # whoever made it was interrupted
            index_payload(self.client, self.collection, form)
            found, _ = form_of(self.client.get_collection(self.collection), self.place)
        check_form(found, form, self.place)

    @_explained
    def form(self) -> CollectionForm:
        """How the server keeps the collection."""
        return form_of(self.client.get_collection(self.collection), self.place)[0]

    @_explained
    def upsert(self, points: Sequence[Json]) -> None:
        """Some points; written, and found by whoever asks, when it returns."""
        from qdrant_client import models

        self._done(
            self.client.upsert(
                self.collection, [models.PointStruct.model_validate(one) for one in points], wait=True, timeout=ANSWER_S
            )
        )

    @_explained
    def delete(self, ids: Sequence[str]) -> None:
        """Nothing happens for those that are not there."""
        self._done(self.client.delete(self.collection, list(ids), wait=True, timeout=ANSWER_S))

    @_explained
    def set_payload(self, id_: str, payload: Json) -> None:
        """Changes these keys only."""
        self._done(self.client.set_payload(self.collection, payload, [id_], wait=True, timeout=ANSWER_S))

    @_explained
    def query(self, requests: Sequence[Json]) -> list[list[Json]]:
        """The answer to each: points with what was asked for of them, best first."""
        from qdrant_client import models

        asked = [models.QueryRequest.model_validate(request) for request in requests]
        found = self.client.query_batch_points(self.collection, asked, timeout=ANSWER_S)
        return [[_plain(point) for point in answer.points] for answer in found]

    @_explained
    def retrieve(self, ids: Sequence[str], *, keys: Sequence[str] | None, vectors: bool) -> list[Json]:
        """Those of some points that are there; of the payload these keys, or all."""
        found = self.client.retrieve(
            self.collection,
            list(ids),
            with_payload=list(keys) if keys else True,
            with_vectors=vectors,
            timeout=ANSWER_S,
        )
        return [_plain(point) for point in found]

    @_explained
    def count(self, filter_: Json) -> int:
        """How many points a filter means."""
        from qdrant_client import models

        meant = models.Filter.model_validate(filter_)
        return int(self.client.count(self.collection, meant, exact=True, timeout=ANSWER_S).count)

    def scroll(self, filter_: Json, *, keys: Sequence[str] | None, vectors: bool) -> Iterator[Json]:
        """All points that a filter means."""
        offset: Any = None
        while True:
            found, offset = self._page(filter_, list(keys) if keys else True, vectors, offset)
            yield from map(_plain, found)
            if offset is None:
                return

    def problems(self) -> list[str]:
        """Copies of parts of the collection that do not answer; answers are whole as long as one of each does."""
        try:
            missing, shards = self._missing()
        except IndexFolderError:  # a key may be good for searches alone
            return []
        if not missing:
            return []
        return [
            f"{self.place}: {missing} of {shards} copies of its parts are on nodes that do not answer, or are being "
            "made again; answers are whole while another copy of each is there: see that every node runs"
        ]

    def close(self) -> None:
        """Let go of it."""
        for client in self.clients:
            client.close()

    @_explained
    def _missing(self) -> tuple[int, int]:
        info = self.client.collection_cluster_info(self.collection)
        copies = [*info.local_shards, *info.remote_shards]
        return sum(one.state.value not in ("Active", "ActiveRead") for one in copies), len(copies)

    @_explained
    def _page(self, filter_: Json, keys: list[str] | bool, vectors: bool, offset: Any) -> tuple[list[Any], Any]:
        from qdrant_client import models

        page: tuple[list[Any], Any] = self.client.scroll(
            self.collection,
            models.Filter.model_validate(filter_),
            limit=PAGE_OF_VECTORS if vectors else PAGE,
            offset=offset,
            with_payload=keys,
            with_vectors=vectors,
            timeout=ANSWER_S,
        )
        return page

    def _done(self, result: Any) -> None:
        """Raises IndexFolderError where a server took a change but did not make it in time."""
        if result.status.value != "completed":
            raise IndexFolderError(
                f"{self.place}: the index server has not made a change within {ANSWER_S} s ({result.status.value}); "
                "run the command again, which makes only what is missing"
            )


def _plain(point: Any) -> Json:
    """What the client's own `model_dump` makes of a point, which takes five times as long as reading the answer."""
    return {"id": point.id, "payload": point.payload, "vector": point.vector}


def api_key() -> str | None:
    """What opens a server that wants a key."""
    return os.environ.get("QDRANT_API_KEY")
